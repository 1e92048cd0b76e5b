//! The context object, `$$`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::run::{Item, Run};

/// A time as Step Functions writes it, to the millisecond.
pub(super) fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The context object of a state that was entered at `entered` and retried `retries` times.
pub(super) fn context(
    run: &Run,
    state: &str,
    entered: Timestamp,
    retries: u32,
    item: Option<&Item>,
) -> Value {
    let identity = &run.shared.identity;
    let mut context = json!({
        "Execution": {
            "Id": run.id,
            "Input": run.input,
            "Name": run.name,
            "RedriveCount": 0,
            "RoleArn": identity.role_arn,
            "StartTime": written(run.started),
        },
        "State": {"EnteredTime": written(entered), "Name": state, "RetryCount": retries},
        "StateMachine": {
            "Id": identity.arn("stateMachine", &run.machine_name),
            "Name": run.machine_name,
        },
    });
    if let (Some(item), Some(fields)) = (item, context.as_object_mut()) {
        fields.insert("Map".into(), map_item(item.index, &item.value));
    }
    context
}

/// The part of the context object that belongs to an item of a Map.
pub(super) fn map_item(index: usize, value: &Value) -> Value {
    json!({"Item": {"Index": index, "Value": value}})
}
