//! Glue between a stage and the place that runs it: AWS Lambda, or any caller with JSON.
//!
//! Both go through [`invoke`], so a stage cannot behave differently on a laptop.

mod application;
mod config;
mod executions;
mod invoke;
mod lambda;
mod metrics;

pub use application::SparkApplication;
pub use config::Config;
pub use executions::StepFunctions;
pub use invoke::{BoxedStage, boxed, invoke};
pub use lambda::{Error, serve};
