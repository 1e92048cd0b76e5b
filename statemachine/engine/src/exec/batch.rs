//! ItemBatcher: items that share a child.

use serde_json::{Map, Value};

use super::perform::{fill, limit};
use super::step::Visit;
use crate::fault::Fault;
use crate::machine::model::Batcher;

/// The input of one child, and how many items it stands for.
pub(super) struct Batch {
    pub(super) input: Value,
    pub(super) items: usize,
}

/// Packs items, in their order, into batches as full as the batcher allows.
pub(super) fn batches(
    visit: &Visit<'_>,
    batcher: &Batcher,
    input: &Value,
    items: Vec<Value>,
) -> Result<Vec<Batch>, Fault> {
    let common = batcher.input.as_ref().map(|common| fill(visit, common, input)).transpose()?;
    let most = |field: &str, most| match limit(visit, field, most, input, 1)? {
        0 => Ok(usize::MAX),
        number => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
    };
    let most_items = most("MaxItemsPerBatchPath", &batcher.most_items)?;
    let most_bytes = most("MaxInputBytesPerBatchPath", &batcher.most_bytes)?;
    let empty_bytes = length(&batch(common.as_ref(), Vec::new()).input);
    let mut found = Vec::new();
    let mut packed = Vec::new();
    let mut bytes = empty_bytes;
    for item in items {
        // A comma stands between two items.
        let more = length(&item).saturating_add(usize::from(!packed.is_empty()));
        let full = packed.len() >= most_items || bytes.saturating_add(more) > most_bytes;
        if full && !packed.is_empty() {
            found.push(batch(common.as_ref(), std::mem::take(&mut packed)));
            bytes = empty_bytes;
        }
        bytes = bytes.saturating_add(more);
        if packed.is_empty() && bytes > most_bytes {
            return Err(Fault::runtime(format!(
                "An item does not fit into a batch of MaxInputBytesPerBatch {most_bytes}."
            )));
        }
        packed.push(item);
    }
    if !packed.is_empty() {
        found.push(batch(common.as_ref(), packed));
    }
    Ok(found)
}

fn batch(common: Option<&Value>, items: Vec<Value>) -> Batch {
    let count = items.len();
    let mut input = Map::new();
    if let Some(common) = common {
        input.insert("BatchInput".into(), common.clone());
    }
    input.insert("Items".into(), Value::Array(items));
    Batch { input: Value::Object(input), items: count }
}

fn length(value: &Value) -> usize {
    value.to_string().len()
}
