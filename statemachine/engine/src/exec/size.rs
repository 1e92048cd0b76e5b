//! The payload limit: 256 KiB of JSON text on every input, output and task payload.

use std::io::{self, Write};

use serde_json::Value;

use crate::PAYLOAD_LIMIT_BYTES;
use crate::fault::{DATA_LIMIT_EXCEEDED, Fault};

/// Counts what is written, and stops as soon as it is too much.
struct Counter {
    bytes: usize,
}

impl Write for Counter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes = self.bytes.saturating_add(buffer.len());
        if self.bytes > PAYLOAD_LIMIT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fails with `States.DataLimitExceeded` if `value` as JSON text is larger than the limit; `what`
/// begins the sentence.
pub(super) fn within_limit(value: &Value, what: &str) -> Result<(), Fault> {
    serde_json::to_writer(Counter { bytes: 0 }, value).map_err(|_| {
        let cause = format!(
            "{what} has a size exceeding the maximum number of bytes service limit \
             ({PAYLOAD_LIMIT_BYTES})."
        );
        Fault::new(DATA_LIMIT_EXCEEDED, cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_counts_bytes_of_json_text() {
        let fits = Value::String("x".repeat(PAYLOAD_LIMIT_BYTES - 2));
        assert_eq!(within_limit(&fits, "it"), Ok(()));
        let over = Value::String("x".repeat(PAYLOAD_LIMIT_BYTES - 1));
        assert_eq!(within_limit(&over, "it").unwrap_err().error, "States.DataLimitExceeded");
        let wide = Value::String("ü".repeat(PAYLOAD_LIMIT_BYTES / 2));
        assert!(within_limit(&wide, "it").is_err());
    }
}
