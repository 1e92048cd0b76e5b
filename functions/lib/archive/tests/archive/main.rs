//! Archives from real makers and from attackers, against the public interface.
#![cfg(test)]

mod damage;
mod edges;
mod hostile;
mod makers;
mod pauses;
mod places;
mod requests;
mod world;
