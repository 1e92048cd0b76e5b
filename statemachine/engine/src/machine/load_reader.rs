//! Reads ItemReader: where a distributed Map finds its items, and in which form.

use serde_json::Value;

use super::fields::Fields;
use super::load_map::{MAX_ITEMS, call_parameters};
use super::model::{Header, Limit, Reader, Source};
use super::problem::Problems;

/// The names of CSVDelimiter.
const DELIMITERS: [(&str, u8); 5] =
    [("COMMA", b','), ("PIPE", b'|'), ("SEMICOLON", b';'), ("SPACE", b' '), ("TAB", b'\t')];

pub(super) fn reader(fields: &Fields<'_>, problems: &mut Problems) -> Option<Reader> {
    let value = fields.get("ItemReader")?;
    let place = fields.place("ItemReader");
    let reader = Fields::of(value, &place, "`ItemReader`", problems)?;
    reader.only(&["Resource", "ReaderConfig", "Parameters"], "an ItemReader", problems);
    let arn = reader.required_string("Resource", "an ItemReader", problems)?;
    let (takes, needs): ([&str; 2], &[&str]) = match arn {
        "arn:aws:states:::s3:getObject" => (["Bucket", "Key"], &["Bucket", "Key"]),
        "arn:aws:states:::s3:listObjectsV2" => (["Bucket", "Prefix"], &["Bucket"]),
        other => {
            let sentence = format!(
                "this engine supports no reader `{other}`; it knows \
                 arn:aws:states:::s3:getObject, arn:aws:states:::s3:listObjectsV2"
            );
            problems.add(&reader.place("Resource"), sentence);
            return None;
        }
    };
    let read = if arn.ends_with("listObjectsV2") {
        listing(&reader, problems)
    } else {
        object(&reader, problems)
    };
    let parameters = call_parameters(&reader, &takes, needs, arn, problems)?;
    let (source, max_items) = read?;
    Some(Reader { source, parameters, max_items })
}

fn max_items(config: &Fields<'_>, problems: &mut Problems) -> Limit {
    config.limit("MaxItems", "MaxItemsPath", 0..=MAX_ITEMS, problems)
}

fn listing(reader: &Fields<'_>, problems: &mut Problems) -> Option<(Source, Limit)> {
    let Some(value) = reader.get("ReaderConfig") else {
        return Some((Source::Listing, Limit::None));
    };
    let config = Fields::of(value, &reader.place("ReaderConfig"), "`ReaderConfig`", problems)?;
    config.only(&["MaxItems", "MaxItemsPath"], "the ReaderConfig of a listing", problems);
    Some((Source::Listing, max_items(&config, problems)))
}

fn object(reader: &Fields<'_>, problems: &mut Problems) -> Option<(Source, Limit)> {
    let value = reader.get("ReaderConfig").unwrap_or(&Value::Null);
    let config = Fields::of(value, &reader.place("ReaderConfig"), "`ReaderConfig`", problems)?;
    let kind = config.required_string("InputType", "a ReaderConfig", problems)?;
    let common = ["InputType", "MaxItems", "MaxItemsPath"];
    let of_csv = ["CSVHeaderLocation", "CSVHeaders", "CSVDelimiter"];
    let allowed = if kind == "CSV" { [&common[..], &of_csv].concat() } else { common.to_vec() };
    config.only(&allowed, &format!("a ReaderConfig of {kind}"), problems);
    let limit = max_items(&config, problems);
    let source = match kind {
        "JSON" => Source::Json,
        "JSONL" => Source::JsonLines,
        "CSV" => csv(&config, problems)?,
        other => {
            let sentence =
                format!("this engine supports no InputType `{other}`; it knows JSON, JSONL, CSV");
            problems.add(&config.place("InputType"), sentence);
            return None;
        }
    };
    Some((source, limit))
}

fn csv(config: &Fields<'_>, problems: &mut Problems) -> Option<Source> {
    let name = config.string("CSVDelimiter", problems).unwrap_or("COMMA");
    let delimiter = DELIMITERS.into_iter().find(|(known, _)| *known == name);
    if delimiter.is_none() {
        let known = DELIMITERS.map(|(known, _)| known).join(", ");
        let sentence = format!("`CSVDelimiter` is one of {known}, not `{name}`");
        problems.add(&config.place("CSVDelimiter"), sentence);
    }
    let owner = "a ReaderConfig of CSV";
    let header = match config.required_string("CSVHeaderLocation", owner, problems)? {
        "FIRST_ROW" => {
            if config.has("CSVHeaders") {
                let sentence = "`CSVHeaders` is for the CSVHeaderLocation GIVEN";
                problems.add(&config.place("CSVHeaders"), sentence);
            }
            Header::FirstRow
        }
        "GIVEN" => Header::Given(headers(config, problems)?),
        other => {
            let sentence = format!("`CSVHeaderLocation` is FIRST_ROW or GIVEN, not `{other}`");
            problems.add(&config.place("CSVHeaderLocation"), sentence);
            return None;
        }
    };
    delimiter.map(|(_, delimiter)| Source::Csv { header, delimiter })
}

fn headers(config: &Fields<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let names: Option<Vec<String>> = match config.get("CSVHeaders") {
        Some(Value::Array(names)) if !names.is_empty() => {
            names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    };
    if names.is_none() {
        let sentence = "`CSVHeaders` is an array of at least one name";
        problems.add(&config.place("CSVHeaders"), sentence);
    }
    names
}
