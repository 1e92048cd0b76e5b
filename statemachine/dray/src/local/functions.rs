//! The table of functions: each stage's own handler under the name that the definition calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{Deadline, Executions, INVOCATION_MAX, SecretStore, Stage, sealable_bytes};
use runtime::{BoxedStage, boxed};
use storage::Store;

use super::{JOBS, LOCAL_CONCURRENCY, LocalExecutions};

/// Every Lambda function, in this process.
#[derive(Clone)]
pub struct Functions {
    table: Arc<BTreeMap<&'static str, BoxedStage>>,
}

impl Functions {
    /// Every function's name, in pipeline order.
    pub const NAMES: [&'static str; 11] = [
        discover::Discover::NAME,
        plan::Plan::NAME,
        download::Download::NAME,
        unpack::Unpack::NAME,
        inspect::Inspect::NAME,
        size::Size::NAME,
        report::Report::NAME,
        encrypt::Encrypt::NAME,
        upload::Upload::NAME,
        quarantine::Quarantine::NAME,
        finish::Finish::NAME,
    ];

    /// The functions over one bucket.
    #[must_use]
    pub fn new(
        store: &Store,
        secrets: &Arc<dyn SecretStore>,
        executions: &Arc<LocalExecutions>,
    ) -> Self {
        let sealable = sealable_bytes(INVOCATION_MAX, Deadline::MARGIN);
        Self::with_sealable_bytes(store, secrets, executions, sealable)
    }

    /// The functions over one bucket, with an Encrypt that seals members of at most that size.
    #[must_use]
    pub fn with_sealable_bytes(
        store: &Store,
        secrets: &Arc<dyn SecretStore>,
        executions: &Arc<LocalExecutions>,
        sealable_bytes: u64,
    ) -> Self {
        Self::with_stores(&|_| store.clone(), secrets, executions, sealable_bytes)
    }

    /// The same, each stage with the store that it is given by its name.
    #[must_use]
    pub fn with_stores(
        store: &dyn Fn(&'static str) -> Store,
        secrets: &Arc<dyn SecretStore>,
        executions: &Arc<LocalExecutions>,
        sealable_bytes: u64,
    ) -> Self {
        let settings = discover::Settings {
            inspect_concurrency: LOCAL_CONCURRENCY,
            seal_concurrency: LOCAL_CONCURRENCY,
        };
        let bucket = store(size::Size::NAME);
        let jobs = format!("s3://{}/{JOBS}", bucket.bucket());
        let k = || Arc::clone(secrets);
        let executions: Arc<dyn Executions> = Arc::clone(executions) as _;
        let stages = [
            boxed(discover::Discover::new(
                store(discover::Discover::NAME),
                k(),
                executions,
                settings,
            )),
            boxed(plan::Plan::new(store(plan::Plan::NAME))),
            boxed(download::Download::new(store(download::Download::NAME), k())),
            boxed(unpack::Unpack::new(store(unpack::Unpack::NAME), k())),
            boxed(inspect::Inspect::new(store(inspect::Inspect::NAME), sealable_bytes)),
            boxed(size::Size::new(bucket, jobs)),
            boxed(report::Report::new(store(report::Report::NAME), k())),
            boxed(encrypt::Encrypt::new(store(encrypt::Encrypt::NAME), k())),
            boxed(upload::Upload::new(store(upload::Upload::NAME), k())),
            boxed(quarantine::Quarantine::new(store(quarantine::Quarantine::NAME))),
            boxed(finish::Finish::new(store(finish::Finish::NAME), k())),
        ];
        Self { table: Arc::new(Self::NAMES.into_iter().zip(stages).collect()) }
    }

    /// The function of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&BoxedStage> {
        self.table.get(name)
    }
}
