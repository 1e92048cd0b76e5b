//! A function under AWS' own runtime interface emulator: the Lambda that its `bootstrap` sees is not
//! ours.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::wait_until;

const EMULATOR: &str = "../.venv/bin/aws-lambda-rie";
/// The emulator's one function, by the path that the API of Lambda has for it.
const INVOKE: &str = "/2015-03-31/functions/function/invocations";
/// What a test may wait for one answer; a function's own timeout comes first.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// How a function is set up.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Environment variables, beside those that Lambda sets.
    pub environment: Vec<(String, String)>,
    /// The function's timeout.
    pub timeout_seconds: Option<u32>,
}

impl Setting {
    /// With one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }
}

/// A running emulator with one function. It takes one event at a time.
pub struct Rie {
    address: SocketAddr,
    child: Child,
    room: TempDir,
}

impl Rie {
    /// Starts a program, with its arguments, as a function. Nothing but the setting is in its environment.
    ///
    /// # Panics
    /// When the emulator is missing or does not start.
    #[must_use]
    pub fn start<A: AsRef<OsStr>>(bootstrap: &[A], setting: &Setting) -> Self {
        let emulator = Path::new(env!("CARGO_MANIFEST_DIR")).join(EMULATOR);
        assert!(emulator.is_file(), "{} is missing: run `make tools`", emulator.display());
        let room = tempfile::tempdir().expect("a folder for the emulator");
        let output = File::create(room.path().join("output")).expect("a file for the output");
        let [address, runtime] = addresses();
        let mut command = Command::new(emulator);
        command
            .args(["--runtime-interface-emulator-address", &address.to_string()])
            .args(["--runtime-api-address", &runtime.to_string()])
            .args(bootstrap)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(setting.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output);
        if let Some(seconds) = setting.timeout_seconds {
            command.env("AWS_LAMBDA_FUNCTION_TIMEOUT", seconds.to_string());
        }
        let child = command.spawn().expect("the emulator starts");
        let mut rie = Self { address, child, room };
        wait_until("the emulator listens", || {
            let ended = rie.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the emulator ended: {}", rie.output());
            TcpStream::connect(address).is_ok()
        });
        rie
    }

    /// Hands an event over and returns the answer, or the error as `{errorType, errorMessage}`.
    ///
    /// # Panics
    /// When there is no answer in JSON.
    #[must_use]
    pub fn invoke(&self, event: &[u8]) -> Value {
        let answer = self.post(event).expect("an answer of the emulator");
        let text = String::from_utf8(answer).expect("an answer in text");
        let (_, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no body: {text}"));
        serde_json::from_str(body)
            .unwrap_or_else(|error| panic!("{error}: {body:?}\n{}", self.output()))
    }

    /// HTTP/1.0, so that the answer ends with the connection.
    fn post(&self, event: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = event.len();
        let head = format!("POST {INVOKE} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), event].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// All that the emulator and the function printed so far.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn output(&self) -> String {
        let bytes = std::fs::read(self.room.path().join("output")).expect("the output");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Rie {
    fn drop(&mut self) {
        // Asked to end, it ends its function first.
        let id = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status());
        drop(self.child.wait());
    }
}

/// Free ports on an address of loopback that no other test has: the emulator cannot choose for itself.
fn addresses() -> [SocketAddr; 2] {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, a.max(1), b, c);
    let held = [(); 2].map(|()| TcpListener::bind((host, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("an address"))
}
