//! The tests of this package against running servers: one binary, so that helpers are built once.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod login;
#[cfg(test)]
mod world;
