//! Every construct of the engine, against fake services and a clock that skips its sleeps.

#[cfg(test)]
mod distributed;
#[cfg(test)]
mod history;
#[cfg(test)]
mod injections;
#[cfg(test)]
mod inline;
#[cfg(test)]
mod load;
#[cfg(test)]
mod parallel;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod states;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod time;
#[cfg(test)]
mod tolerance;
#[cfg(test)]
mod world;
