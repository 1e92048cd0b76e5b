//! ResultWriter: the results of a distributed Map, written to S3 in the form that AWS documents.

use serde_json::{Map, Value, json};

use super::child::Brood;
use super::context::written;
use super::outcome::{Outcome, Status};
use super::run::lock;
use super::step::Visit;
use crate::fault::Fault;
use crate::services::TaskError;

/// Writes `SUCCEEDED_0.json`, `FAILED_0.json` and `manifest.json` below `<Prefix>/<id>/`; answers
/// what the Map's result becomes. A file without entries is not written.
pub(super) async fn write(
    visit: &Visit<'_>,
    target: &Value,
    brood: &Brood,
    id: &str,
) -> Result<Value, Fault> {
    let text = |name: &str| target.get(name).and_then(Value::as_str).unwrap_or_default();
    let bucket = text("Bucket");
    let prefix = match text("Prefix").trim_end_matches('/') {
        "" => id.to_owned(),
        prefix => format!("{prefix}/{id}"),
    };
    let machine = visit.run.shared.identity.arn(
        "stateMachine",
        &format!("{}/{}", visit.run.shared.identity.state_machine, brood.label),
    );
    let services = &visit.run.shared.services;
    let mut files = Map::new();
    files.insert("PENDING".into(), json!([]));
    for (name, succeeded) in [("FAILED", false), ("SUCCEEDED", true)] {
        let rows = rows(brood, succeeded, &machine);
        let mut written = json!([]);
        if !rows.is_empty() {
            let key = format!("{prefix}/{name}_0.json");
            let body = Value::Array(rows).to_string().into_bytes();
            written = json!([{"Key": key, "Size": body.len()}]);
            services.s3_put_object(bucket, &key, body).await.map_err(failed)?;
        }
        files.insert(name.into(), written);
    }
    let manifest = json!({
        "DestinationBucket": bucket,
        "MapRunArn": brood.map_run_arn,
        "ResultFiles": files,
    });
    let key = format!("{prefix}/manifest.json");
    let body = manifest.to_string().into_bytes();
    services.s3_put_object(bucket, &key, body).await.map_err(failed)?;
    Ok(json!({
        "MapRunArn": brood.map_run_arn,
        "ResultWriterDetails": {"Bucket": bucket, "Key": key},
    }))
}

fn failed(error: TaskError) -> Fault {
    Fault::new("States.ResultWriterFailed", error.to_string())
}

fn rows(brood: &Brood, succeeded: bool, machine: &str) -> Vec<Value> {
    let map_runs = lock(&brood.parent.map_runs);
    let Some(children) = map_runs.get(brood.slot) else { return Vec::new() };
    let mut children: Vec<&Outcome> =
        children.iter().filter(|child| (child.status == Status::Succeeded) == succeeded).collect();
    children.sort_by_key(|child| child.item.as_ref().map(|item| item.index));
    children.into_iter().map(|child| row(child, machine)).collect()
}

fn row(child: &Outcome, machine: &str) -> Value {
    let status = serde_json::to_value(child.status).unwrap_or_default();
    let reason = match child.status {
        Status::Succeeded => "Execution is SUCCEEDED and cannot be redriven",
        _ => "this engine redrives nothing",
    };
    let mut row = json!({
        "ExecutionArn": child.id,
        "Input": child.input.to_string(),
        "InputDetails": {"Included": true},
        "Name": child.name,
        "RedriveCount": 0,
        "RedriveStatus": "NOT_REDRIVABLE",
        "RedriveStatusReason": reason,
        "StartDate": written(child.started),
        "StateMachineArn": machine,
        "Status": status,
        "StopDate": written(child.stopped),
    });
    let more = match (&child.output, &child.error, &child.cause) {
        (Some(output), ..) => json!({
            "Output": output.to_string(),
            "OutputDetails": {"Included": true},
        }),
        (None, error, cause) => json!({"Error": error, "Cause": cause}),
    };
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
    row
}
