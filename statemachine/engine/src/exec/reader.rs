//! ItemReader: the items of a distributed Map that stand in S3.

use serde_json::{Value, json};

use super::perform::{fill, limit};
use super::step::Visit;
use crate::fault::Fault;
use crate::machine::model::{Header, Reader, Source};
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
    let most = limit(visit, "MaxItemsPath", &reader.max_items, input, 0)?;
    let most = if most == 0 { usize::MAX } else { usize::try_from(most).unwrap_or(usize::MAX) };
    if reader.source == Source::Listing {
        let objects = services.s3_list_objects_v2(bucket, text("Prefix")?).await;
        return Ok(objects
            .map_err(|error| unread(&error))?
            .iter()
            .take(most)
            .map(listed)
            .collect());
    }
    let key = text("Key")?;
    let bytes = services.s3_get_object(bucket, key).await.map_err(|error| unread(&error))?;
    let place = format!("s3://{bucket}/{key}");
    let mut items = match &reader.source {
        Source::Csv { header, delimiter } => rows(&bytes, header, *delimiter, most, &place)?,
        Source::JsonLines => lines(&bytes, most, &place)?,
        Source::Json | Source::Listing => parsed(&bytes, &place)?,
    };
    items.truncate(most);
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

/// One JSON value per line; empty lines are no items.
fn lines(bytes: &[u8], most: usize, place: &str) -> Result<Vec<Value>, Fault> {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).take(most);
    let parse = |(number, line): (usize, &[u8])| {
        serde_json::from_slice(line)
            .map_err(|error| failed(format!("line {} of {place} is no JSON: {error}", number + 1)))
    };
    lines.map(parse).collect()
}

/// The records of a CSV file as objects of texts. What a short record lacks is empty, what a long one
/// has beyond the header is left out, as AWS documents.
fn rows(
    bytes: &[u8],
    header: &Header,
    delimiter: u8,
    most: usize,
    place: &str,
) -> Result<Vec<Value>, Fault> {
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(delimiter).flexible(true).has_headers(false);
    let mut reader = builder.from_reader(bytes);
    let mut records = reader.records().map(|record| {
        record.map_err(|error| failed(format!("{place} is no CSV of UTF-8: {error}")))
    });
    let names: Vec<String> = match header {
        Header::Given(names) => names.clone(),
        Header::FirstRow => match records.next().transpose()? {
            Some(names) => names.iter().map(str::to_owned).collect(),
            None => return Err(failed(format!("{place} has no first row"))),
        },
    };
    let row = |record: csv::StringRecord| {
        let value = |index: usize| Value::from(record.get(index).unwrap_or_default());
        names.iter().enumerate().map(|(index, name)| (name.clone(), value(index))).collect()
    };
    records.take(most).map(|record| record.map(row)).collect()
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
