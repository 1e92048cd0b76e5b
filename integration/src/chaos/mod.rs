//! Chaos: seeds from which a schedule of faults is drawn, run on a small world until it is at rest,
//! and the laws that must hold then.
//!
//! A seed has a few runs. In each, a child process (this very program) makes a run as `dray run` does
//! it, with doors before the bucket, the API and the partner's servers; what befalls a stage is done
//! at its door, so that it is known which stage was struck, and that it was. `kill -9` comes from
//! outside. Then follow clean runs until one finds nothing.

mod child;
mod clock;
mod dice;
mod fate;
mod http;
mod laws;
mod plan;
mod room;
mod rules;
mod seed;
mod tally;
mod wire;

pub use child::child;
pub use plan::{After, Aim, Fault, Plan, STAGES};
pub use seed::{Outcome, try_seed};
pub use tally::Tally;
