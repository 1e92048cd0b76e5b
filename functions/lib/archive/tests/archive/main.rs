//! Archives from real makers and from attackers, against the public interface.
#![cfg(test)]

mod damage;
mod hostile;
mod makers;
mod world;
