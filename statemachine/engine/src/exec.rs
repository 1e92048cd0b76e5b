//! Runs machines: the engine, the executions that it starts, and their outcomes.

mod batch;
mod child;
mod context;
mod distributed;
mod engine;
mod execution;
mod fan;
mod map;
mod outcome;
mod parallel;
mod perform;
mod reader;
mod retry;
mod run;
mod size;
mod step;
mod task;
mod tolerance;
mod writer;

pub use engine::{Engine, EngineBuilder, Identity};
pub use execution::Execution;
pub use outcome::{MapChild, Outcome, Status};
