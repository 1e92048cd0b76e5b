//! ItemReader: the items of a distributed Map that stand in S3.

use serde_json::{Value, json};

use super::perform::fill;
use super::step::Visit;
use crate::fault::Fault;
use crate::machine::model::{Reader, Source};
use crate::path::kind_of;
use crate::services::{S3Object, TaskError};

fn failed(cause: impl Into<String>) -> Fault {
    Fault::new("States.ItemReaderFailed", cause)
}

/// The items, at most MaxItems of them.
pub(super) async fn items(
    visit: &Visit<'_>,
    reader: &Reader,
    input: &Value,
) -> Result<Vec<Value>, Fault> {
    let parameters = fill(visit, &reader.parameters, input)?;
    let text = |name: &str| match parameters.get(name) {
        None => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(other) => Err(failed(format!("`{name}` must be a string, it is {}", kind_of(other)))),
    };
    let bucket = text("Bucket")?;
    let services = &visit.run.shared.services;
    let mut items = match reader.source {
        Source::Json => {
            let key = text("Key")?;
            let bytes =
                services.s3_get_object(bucket, key).await.map_err(|error| unread(&error))?;
            parsed(&bytes, &format!("s3://{bucket}/{key}"))?
        }
        Source::Listing => {
            let objects = services.s3_list_objects_v2(bucket, text("Prefix")?).await;
            objects.map_err(|error| unread(&error))?.iter().map(listed).collect()
        }
    };
    if let Some(most) = reader.max_items {
        items.truncate(most);
    }
    Ok(items)
}

fn unread(error: &TaskError) -> Fault {
    failed(error.to_string())
}

fn parsed(bytes: &[u8], place: &str) -> Result<Vec<Value>, Fault> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Array(items)) => Ok(items),
        Ok(other) => Err(failed(format!("{place} holds {}, not an array", kind_of(&other)))),
        Err(error) => Err(failed(format!("{place} is no JSON: {error}"))),
    }
}

/// An object of a listing as Step Functions hands it to a child; LastModified is in seconds.
fn listed(object: &S3Object) -> Value {
    json!({
        "Etag": object.etag,
        "Key": object.key,
        "LastModified": object.last_modified.as_second(),
        "Size": object.size,
        "StorageClass": object.storage_class,
    })
}
