//! The engine: a machine, the services and clock that it runs with, and how it names itself.

use std::sync::Arc;

use serde_json::Value;

use super::execution::{self, Execution};
use crate::clock::Clock;
use crate::history::Observer;
use crate::inject::{Armed, InjectionError, Injections};
use crate::machine::Machine;
use crate::services::Services;

/// What ARNs and the context object are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Region in ARNs.
    pub region: String,
    /// Account in ARNs.
    pub account: String,
    /// Name of the state machine.
    pub state_machine: String,
    /// `$$.Execution.RoleArn`.
    pub role_arn: String,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            region: "local".into(),
            account: "000000000000".into(),
            state_machine: "machine".into(),
            role_arn: "arn:aws:iam::000000000000:role/local".into(),
        }
    }
}

impl Identity {
    /// An ARN of the Step Functions service, such as that of an execution.
    pub(super) fn arn(&self, kind: &str, rest: &str) -> String {
        format!("arn:aws:states:{}:{}:{kind}:{rest}", self.region, self.account)
    }
}

/// Starts executions of one machine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all executions of an engine share.
pub(super) struct Shared {
    pub(super) machine: Arc<Machine>,
    pub(super) services: Arc<dyn Services>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) injections: Armed,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) identity: Identity,
}

impl Engine {
    /// An engine without injections or observer, with the default [`Identity`].
    pub fn new(machine: Arc<Machine>, services: Arc<dyn Services>, clock: Arc<dyn Clock>) -> Self {
        let (observer, identity) = (None, Identity::default());
        let injections = Armed::default();
        Self {
            shared: Arc::new(Shared { machine, services, clock, injections, observer, identity }),
        }
    }

    /// An engine to be furnished further.
    pub fn builder(
        machine: Arc<Machine>,
        services: Arc<dyn Services>,
        clock: Arc<dyn Clock>,
    ) -> EngineBuilder {
        EngineBuilder {
            machine,
            services,
            clock,
            injections: Injections::new(),
            observer: None,
            identity: Identity::default(),
        }
    }

    /// Starts an execution in the background of the present Tokio runtime. It runs on if the
    /// handle is dropped.
    pub fn start(&self, name: impl Into<String>, input: Value) -> Execution {
        execution::start(Arc::clone(&self.shared), name.into(), input)
    }

    /// The machine that runs.
    pub fn machine(&self) -> &Machine {
        &self.shared.machine
    }
}

/// Furnishes an [`Engine`].
pub struct EngineBuilder {
    machine: Arc<Machine>,
    services: Arc<dyn Services>,
    clock: Arc<dyn Clock>,
    injections: Injections,
    observer: Option<Arc<dyn Observer>>,
    identity: Identity,
}

impl EngineBuilder {
    /// Failures on purpose. They are counted over all executions of the engine.
    #[must_use]
    pub fn injections(mut self, injections: Injections) -> Self {
        self.injections = injections;
        self
    }

    /// Who sees every event as it happens.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// What ARNs and the context object are made of.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// The engine.
    ///
    /// # Errors
    /// An injection names a state that the machine does not have, or one that is no Task.
    pub fn build(self) -> Result<Engine, InjectionError> {
        let injections = self.injections.arm(&self.machine)?;
        let shared = Shared {
            machine: self.machine,
            services: self.services,
            clock: self.clock,
            injections,
            observer: self.observer,
            identity: self.identity,
        };
        Ok(Engine { shared: Arc::new(shared) })
    }
}
