//! Metrics out of the log: what a library tells under [`domain::METRICS`] becomes a line in
//! CloudWatch's embedded metric format, so that libraries need to know nothing of CloudWatch.

use std::fmt::Debug;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Writes metric lines with the given function.
pub(crate) struct Metrics<W>(pub(crate) W);

impl<S: Subscriber, W: Fn(&str) + 'static> Layer<S> for Metrics<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == domain::METRICS {
            let mut found = Fields::default();
            event.record(&mut found);
            self.0(&found.line());
        }
    }
}

/// Numbers are metrics, texts are dimensions.
#[derive(Default)]
struct Fields {
    metrics: Map<String, Value>,
    dimensions: Map<String, Value>,
}

impl Fields {
    fn line(self) -> String {
        let names: Vec<&String> = self.dimensions.keys().collect();
        let metrics: Vec<Value> =
            self.metrics.keys().map(|name| json!({"Name": name, "Unit": "Count"})).collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": jiff::Timestamp::now().as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": "Drayage",
                    "Dimensions": [names],
                    "Metrics": metrics,
                }],
            },
        });
        if let Some(fields) = line.as_object_mut() {
            fields.extend(self.dimensions);
            fields.extend(self.metrics);
        }
        line.to_string()
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.metrics.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.metrics.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.dimensions.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            self.dimensions.insert(field.name().to_owned(), format!("{value:?}").into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn what_is_told_as_a_metric_becomes_one_line_and_nothing_else_does() {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let layer = Metrics(move |line: &str| kept.lock().expect("lines").push(line.to_owned()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(server = "h:22", "not a metric");
            tracing::info!(target: domain::METRICS, server = "h:22", sftp_connections_at_once = 4);
        });
        let lines = lines.lock().expect("lines");
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line: Value = serde_json::from_str(&lines[0]).expect("JSON");
        let told = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(told["Dimensions"], json!([["server"]]));
        assert_eq!(told["Metrics"][0]["Name"], "sftp_connections_at_once");
        assert_eq!(
            (&line["server"], &line["sftp_connections_at_once"]),
            (&json!("h:22"), &json!(4))
        );
    }
}
