//! Reads Map states: their mode, processor, reader and writer.

use std::sync::Arc;

use serde_json::Value;

use super::fields::Fields;
use super::load::{result_rule, scope, template};
use super::load_task::only_parameters;
use super::model::{Distributed, Limit, Map, Mode, Reader, Source};
use super::problem::Problems;
use crate::path::Path;
use crate::template::Template;

const MAX_LABEL_CHARS: usize = 40;
const MAX_ITEMS: u64 = 100_000_000;
const MAX_CONCURRENCY: u64 = 10_000;
const WRITER_RESOURCE: &str = "arn:aws:states:::s3:putObject";
/// What AWS keeps out of labels, besides white space and control characters.
const NOT_IN_LABELS: &str = "?*<>{}[]:;,\\|^~$#%&`\"/";

pub(super) fn map(name: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Map> {
    let allowed = [
        "Type",
        "Comment",
        "InputPath",
        "OutputPath",
        "ResultPath",
        "ResultSelector",
        "ItemsPath",
        "ItemSelector",
        "ItemProcessor",
        "ItemReader",
        "ResultWriter",
        "Label",
        "MaxConcurrency",
        "MaxConcurrencyPath",
        "Retry",
        "Catch",
        "Next",
        "End",
    ];
    fields.only(&allowed, "a Map state", problems);
    fields.one_of(&["ItemReader", "ItemsPath"], false, problems);
    let items = fields.path("ItemsPath", problems).unwrap_or_else(Path::whole);
    let selector = template(fields, "ItemSelector", problems);
    let concurrency = concurrency(fields, problems);
    let result = result_rule(fields, problems);
    let reader = reader(fields, problems);
    let writer = writer(fields, problems);
    let Some(value) = fields.get("ItemProcessor") else {
        problems.add(fields.at(), "a Map state needs the field `ItemProcessor`");
        return None;
    };
    let place = fields.place("ItemProcessor");
    let processor = Fields::of(value, &place, "`ItemProcessor`", problems)?;
    let allowed = ["Comment", "ProcessorConfig", "StartAt", "States"];
    processor.only(&allowed, "an ItemProcessor", problems);
    let mode = if distributed(&processor, problems) {
        let label = label(name, fields, problems);
        Mode::Distributed(Box::new(Distributed { label, reader, writer }))
    } else {
        for key in ["ItemReader", "ResultWriter", "Label"].into_iter().filter(|key| fields.has(key))
        {
            let sentence = format!("`{key}` is for a Map whose ProcessorConfig says DISTRIBUTED");
            problems.add(&fields.place(key), sentence);
        }
        Mode::Inline
    };
    let processor = Arc::new(scope(&processor, "an ItemProcessor", problems)?);
    Some(Map { mode, items, selector, concurrency, result, processor })
}

fn concurrency(fields: &Fields<'_>, problems: &mut Problems) -> Limit {
    fields.one_of(&["MaxConcurrency", "MaxConcurrencyPath"], false, problems);
    if let Some(most) = fields.integer("MaxConcurrency", 0..=MAX_CONCURRENCY, problems) {
        return Limit::Fixed(most);
    }
    fields.path("MaxConcurrencyPath", problems).map_or(Limit::None, Limit::Path)
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

fn reader(fields: &Fields<'_>, problems: &mut Problems) -> Option<Reader> {
    let value = fields.get("ItemReader")?;
    let place = fields.place("ItemReader");
    let reader = Fields::of(value, &place, "`ItemReader`", problems)?;
    reader.only(&["Resource", "ReaderConfig", "Parameters"], "an ItemReader", problems);
    let arn = reader.required_string("Resource", "an ItemReader", problems)?;
    let (source, takes) = match arn {
        "arn:aws:states:::s3:getObject" => (Source::Json, ["Bucket", "Key"]),
        "arn:aws:states:::s3:listObjectsV2" => (Source::Listing, ["Bucket", "Prefix"]),
        other => {
            let sentence = format!(
                "this engine supports no reader `{other}`; it knows \
                 arn:aws:states:::s3:getObject, arn:aws:states:::s3:listObjectsV2"
            );
            problems.add(&reader.place("Resource"), sentence);
            return None;
        }
    };
    let needs: &[&str] = if source == Source::Json { &takes } else { &["Bucket"] };
    let max_items = reader_config(&reader, source, problems);
    let parameters = call_parameters(&reader, &takes, needs, arn, problems)?;
    Some(Reader { source, parameters, max_items })
}

fn call_parameters(
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

/// Checks ReaderConfig and answers its MaxItems; 0 is no limit.
fn reader_config(reader: &Fields<'_>, source: Source, problems: &mut Problems) -> Option<usize> {
    let value = reader.get("ReaderConfig").unwrap_or(&Value::Null);
    let place = reader.place("ReaderConfig");
    if value.is_null() && source == Source::Listing {
        return None;
    }
    let config = Fields::of(value, &place, "`ReaderConfig`", problems)?;
    match source {
        Source::Listing => config.only(&["MaxItems"], "the ReaderConfig of a listing", problems),
        Source::Json => {
            config.only(&["InputType", "MaxItems"], "a ReaderConfig", problems);
            let kind = config.required_string("InputType", "a ReaderConfig", problems);
            if let Some(other) = kind.filter(|kind| *kind != "JSON") {
                let sentence =
                    format!("this engine supports only the InputType `JSON`, not `{other}`");
                problems.add(&config.place("InputType"), sentence);
            }
        }
    }
    let most = config.integer("MaxItems", 0..=MAX_ITEMS, problems)?;
    usize::try_from(most).ok().filter(|most| *most > 0)
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
