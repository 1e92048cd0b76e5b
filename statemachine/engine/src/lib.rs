//! Runs a state machine written in the Amazon States Language on one machine.
//!
//! The engine interprets exactly the constructs listed in its README, by the language's
//! specification and AWS' documentation, and refuses any other when the machine is loaded. It knows
//! no stage and no AWS: what a Task asks for is done by the caller's [`Services`], time comes from a
//! [`Clock`].

mod choice;
mod clock;
mod exec;
mod fault;
mod history;
mod inject;
mod intrinsic;
mod machine;
mod path;
mod query;
mod services;
mod template;

pub use clock::{Clock, FastClock, SystemClock};
pub use exec::{Engine, EngineBuilder, Execution, Identity, MapChild, Outcome, Status};
pub use history::{Event, EventType, Notice, Observer};
pub use inject::{Injection, InjectionError, Injections, When};
pub use machine::{CatchRow, LoadError, Machine, Problem, RetryRow, StateInfo, StateKind};
pub use services::{LambdaCall, S3Object, Services, TaskError};

/// The most bytes (256 KiB of UTF-8) that a state's input or output, or a task's payload, may have.
pub const PAYLOAD_LIMIT_BYTES: usize = 262_144;
