//! The tests of this package against running servers: one binary, so that helpers are built once.

#[cfg(test)]
mod algorithms;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod login;
#[cfg(test)]
mod long;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod proftpd;
#[cfg(test)]
mod quirks;
#[cfg(test)]
mod world;
