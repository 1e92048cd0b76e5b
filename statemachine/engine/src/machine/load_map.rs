//! Reads Map states: their mode, processor, reader and writer.

use std::sync::Arc;

use super::fields::Fields;
use super::load::{result_rule, scope, template};
use super::load_reader::reader;
use super::load_task::only_parameters;
use super::model::{Batcher, Distributed, Limit, Map, Mode, Percentage, Tolerance};
use super::problem::Problems;
use crate::path::Path;
use crate::template::Template;

const MAX_LABEL_CHARS: usize = 40;
/// AWS reads no more items.
pub(super) const MAX_ITEMS: u64 = 100_000_000;
const MAX_CONCURRENCY: u64 = 10_000;
/// AWS accepts no larger batches.
const MAX_BATCH_BYTES: u64 = 262_144;
/// What a Map state may have.
const FIELDS: [&str; 25] = [
    "Type",
    "Comment",
    "InputPath",
    "OutputPath",
    "ResultPath",
    "ResultSelector",
    "ItemsPath",
    "ItemSelector",
    "Parameters",
    "ItemProcessor",
    "Iterator",
    "ItemReader",
    "ItemBatcher",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
    "ResultWriter",
    "Label",
    "MaxConcurrency",
    "MaxConcurrencyPath",
    "Retry",
    "Catch",
    "Next",
    "End",
];
/// What an inline Map does not have.
const DISTRIBUTED_ONLY: [&str; 8] = [
    "ItemReader",
    "ItemBatcher",
    "ResultWriter",
    "Label",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
];
const WRITER_RESOURCE: &str = "arn:aws:states:::s3:putObject";
/// What AWS keeps out of labels, besides white space and control characters.
const NOT_IN_LABELS: &str = "?*<>{}[]:;,\\|^~$#%&`\"/";

pub(super) fn map(name: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Map> {
    fields.only(&FIELDS, "a Map state", problems);
    fields.one_of(&["ItemReader", "ItemsPath"], false, problems);
    let items = fields.path("ItemsPath", problems).unwrap_or_else(Path::whole);
    fields.one_of(&["ItemSelector", "Parameters"], false, problems);
    let selector = template(fields, "ItemSelector", problems);
    let selector = selector.or_else(|| template(fields, "Parameters", problems));
    let concurrency = concurrency(fields, problems);
    let result = result_rule(fields, problems);
    let distributed = Distributed {
        label: String::new(),
        reader: reader(fields, problems),
        batcher: batcher(fields, problems),
        tolerance: tolerance(fields, problems),
        writer: writer(fields, problems),
    };
    fields.one_of(&["ItemProcessor", "Iterator"], false, problems);
    let processor_field = if fields.has("Iterator") { "Iterator" } else { "ItemProcessor" };
    let Some(value) = fields.get(processor_field) else {
        problems.add(fields.at(), "a Map state needs the field `ItemProcessor`");
        return None;
    };
    let place = fields.place(processor_field);
    let what = format!("`{processor_field}`");
    let processor = Fields::of(value, &place, &what, problems)?;
    let allowed: &[&str] = match processor_field {
        "Iterator" => &["Comment", "StartAt", "States"],
        _ => &["Comment", "ProcessorConfig", "StartAt", "States"],
    };
    processor.only(allowed, &format!("an {processor_field}"), problems);
    let mode = if self::distributed(&processor, problems) {
        let label = label(name, fields, problems);
        Mode::Distributed(Box::new(Distributed { label, ..distributed }))
    } else {
        for key in DISTRIBUTED_ONLY.into_iter().filter(|key| fields.has(key)) {
            let sentence = format!("`{key}` is for a Map whose ProcessorConfig says DISTRIBUTED");
            problems.add(&fields.place(key), sentence);
        }
        Mode::Inline
    };
    let processor = Arc::new(scope(&processor, &format!("an {processor_field}"), problems)?);
    Some(Map { mode, items, selector, concurrency, result, processor, processor_field })
}

fn concurrency(fields: &Fields<'_>, problems: &mut Problems) -> Limit {
    fields.limit("MaxConcurrency", "MaxConcurrencyPath", 0..=MAX_CONCURRENCY, problems)
}

fn tolerance(fields: &Fields<'_>, problems: &mut Problems) -> Tolerance {
    let (fixed, path) = ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath");
    fields.one_of(&[fixed, path], false, problems);
    let percentage = match fields.get(fixed) {
        None => fields.path(path, problems).map_or(Percentage::None, Percentage::Path),
        Some(value) => {
            match value.as_f64().filter(|percentage| (0.0..=100.0).contains(percentage)) {
                Some(percentage) => Percentage::Fixed(percentage),
                None => {
                    let sentence = format!("`{fixed}` is a number from 0 to 100, this is {value}");
                    problems.add(&fields.place(fixed), sentence);
                    Percentage::None
                }
            }
        }
    };
    let (fixed, path) = ("ToleratedFailureCount", "ToleratedFailureCountPath");
    Tolerance { count: fields.limit(fixed, path, 0..=MAX_ITEMS, problems), percentage }
}

fn batcher(fields: &Fields<'_>, problems: &mut Problems) -> Option<Batcher> {
    let value = fields.get("ItemBatcher")?;
    let place = fields.place("ItemBatcher");
    let batcher = Fields::of(value, &place, "`ItemBatcher`", problems)?;
    let (items, items_path) = ("MaxItemsPerBatch", "MaxItemsPerBatchPath");
    let (bytes, bytes_path) = ("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath");
    let sizes = [items, items_path, bytes, bytes_path];
    batcher.only(&[&sizes[..], &["BatchInput"]].concat(), "an ItemBatcher", problems);
    if !sizes.into_iter().any(|size| batcher.has(size)) {
        let sentence = format!("an ItemBatcher needs `{items}` or `{bytes}`");
        problems.add(&place, sentence);
    }
    Some(Batcher {
        most_items: batcher.limit(items, items_path, 1..=MAX_ITEMS, problems),
        most_bytes: batcher.limit(bytes, bytes_path, 1..=MAX_BATCH_BYTES, problems),
        input: template(&batcher, "BatchInput", problems),
    })
}

/// True if ProcessorConfig asks for DISTRIBUTED.
fn distributed(processor: &Fields<'_>, problems: &mut Problems) -> bool {
    let Some(value) = processor.get("ProcessorConfig") else { return false };
    let place = processor.place("ProcessorConfig");
    let Some(config) = Fields::of(value, &place, "`ProcessorConfig`", problems) else {
        return false;
    };
    config.only(&["Mode", "ExecutionType"], "a ProcessorConfig", problems);
    let kind = config.string("ExecutionType", problems);
    match config.string("Mode", problems) {
        None | Some("INLINE") => {
            if kind.is_some() {
                let sentence = "`ExecutionType` is for the mode DISTRIBUTED";
                problems.add(&config.place("ExecutionType"), sentence);
            }
            false
        }
        Some("DISTRIBUTED") => {
            if kind != Some("STANDARD") {
                let sentence = "this engine supports only the ExecutionType `STANDARD`, which \
                                the mode DISTRIBUTED must state";
                problems.add(&config.place("ExecutionType"), sentence);
            }
            true
        }
        Some(other) => {
            let sentence = format!("`Mode` is INLINE or DISTRIBUTED, not `{other}`");
            problems.add(&config.place("Mode"), sentence);
            false
        }
    }
}

/// The label of a distributed Map; AWS makes one from the state's name if there is none.
fn label(name: &str, fields: &Fields<'_>, problems: &mut Problems) -> String {
    let plain = |c: char| !(c.is_whitespace() || c.is_control() || NOT_IN_LABELS.contains(c));
    let Some(label) = fields.string("Label", problems) else {
        return name.chars().filter(|c| plain(*c)).take(MAX_LABEL_CHARS).collect();
    };
    let length = label.chars().count();
    if length == 0 || length > MAX_LABEL_CHARS || !label.chars().all(plain) {
        let sentence = format!(
            "`Label` has 1 to {MAX_LABEL_CHARS} characters, no white space and none of \
             {NOT_IN_LABELS}"
        );
        problems.add(&fields.place("Label"), sentence);
    }
    label.into()
}

pub(super) fn call_parameters(
    fields: &Fields<'_>,
    takes: &[&str],
    needs: &[&str],
    arn: &str,
    problems: &mut Problems,
) -> Option<Template> {
    only_parameters(fields, takes, needs, arn, problems);
    let parameters = template(fields, "Parameters", problems);
    if parameters.is_none() {
        problems.add(fields.at(), format!("`{arn}` needs the field `Parameters`"));
    }
    parameters
}

fn writer(fields: &Fields<'_>, problems: &mut Problems) -> Option<Template> {
    let value = fields.get("ResultWriter")?;
    let place = fields.place("ResultWriter");
    let writer = Fields::of(value, &place, "`ResultWriter`", problems)?;
    writer.only(&["Resource", "Parameters"], "a ResultWriter", problems);
    let arn = writer.required_string("Resource", "a ResultWriter", problems)?;
    if arn != WRITER_RESOURCE {
        let sentence =
            format!("this engine supports no writer `{arn}`; it knows {WRITER_RESOURCE}");
        problems.add(&writer.place("Resource"), sentence);
        return None;
    }
    call_parameters(&writer, &["Bucket", "Prefix"], &["Bucket"], arn, problems)
}
