//! Waiting for a state, and the runtime that servers live on.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

/// Polls a state; the limit only ends a test that would hang.
///
/// # Panics
/// After two minutes.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The runtime of every server in this process: a test may block its own thread, on a child process
/// for example, while its servers go on.
///
/// # Panics
/// When the system gives no thread.
pub fn servers() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("test-servers")
            .enable_all()
            .build()
            .expect("a runtime for the servers of the tests")
    })
}

/// Runs something on the servers' runtime and waits for it on this thread.
pub(crate) fn on_servers<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (send, receive) = std::sync::mpsc::channel();
    servers().spawn(async move { send.send(work.await) });
    receive.recv().expect("a server of the tests started")
}
