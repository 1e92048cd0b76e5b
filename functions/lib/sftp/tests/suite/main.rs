//! The tests of this package against running servers: one binary, so that helpers are built once.

#[cfg(test)]
mod algorithms;
#[cfg(test)]
mod ceiling;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod login;
#[cfg(test)]
mod long;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod proftpd;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod quirks;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod world;
