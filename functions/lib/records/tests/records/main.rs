//! Counts against independent judges: a reference written for the tests, the `csv` crate, Python.
#![cfg(test)]

mod containers;
mod judges;
mod reference;
mod rules;
mod splits;
