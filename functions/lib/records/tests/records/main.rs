//! Counts against independent judges: a reference written for the tests, the `csv` crate, Python, and
//! verdicts written by hand beside files of real programs.
#![cfg(test)]

mod agree;
mod containers;
mod corpus;
mod judges;
mod reference;
mod rules;
mod splits;
mod wide;
