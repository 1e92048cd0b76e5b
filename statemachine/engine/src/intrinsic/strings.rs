//! Intrinsic functions over texts, hashes and JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::Digest;

/// AWS refuses longer arguments of Base64Encode, Base64Decode and Hash.
const MAX_CHARS: usize = 10_000;

fn text<'v>(value: &'v Value, what: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("{what} must be a string"))
}

fn short_text<'v>(value: &'v Value, what: &str) -> Result<&'v str, String> {
    let text = text(value, what)?;
    if text.chars().count() > MAX_CHARS {
        return Err(format!("{what} has more than {MAX_CHARS} characters"));
    }
    Ok(text)
}

/// A quoted argument without its escapes.
pub(super) fn unescape(raw: &str) -> String {
    let mut plain = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

/// Puts the values into the places `{}`; `raw` is the template as quoted in the machine.
pub(super) fn format(
    raw: Option<&str>,
    template: &Value,
    values: &[Value],
) -> Result<Value, String> {
    let template = match raw {
        Some(raw) => raw,
        None => text(template, "the template")?,
    };
    let mut made = String::new();
    let mut values = values.iter();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => made.push(chars.next().unwrap_or('\\')),
            '{' if chars.next_if_eq(&'}').is_some() => {
                let value = values.next().ok_or("it has more places `{}` than values")?;
                match value {
                    Value::String(text) => made.push_str(text),
                    other => made.push_str(&other.to_string()),
                }
            }
            '{' | '}' => return Err("a brace that is no place `{}` must be escaped".into()),
            c => made.push(c),
        }
    }
    match values.next() {
        None => Ok(Value::String(made)),
        Some(_) => Err("it has fewer places `{}` than values".into()),
    }
}

pub(super) fn base64_encode(value: &Value) -> Result<Value, String> {
    Ok(STANDARD.encode(short_text(value, "the argument")?).into())
}

pub(super) fn base64_decode(value: &Value) -> Result<Value, String> {
    let bytes = STANDARD
        .decode(short_text(value, "the argument")?)
        .map_err(|error| format!("the argument is no Base64: {error}"))?;
    String::from_utf8(bytes).map(Value::String).map_err(|_| "the content is no UTF-8 text".into())
}

pub(super) fn hash(data: &Value, algorithm: &Value) -> Result<Value, String> {
    let bytes = match data {
        Value::String(_) => short_text(data, "the data")?.as_bytes().to_vec(),
        other => other.to_string().into_bytes(),
    };
    let digest = match text(algorithm, "the algorithm")? {
        "MD5" => hex::encode(md5::Md5::digest(&bytes)),
        "SHA-1" => hex::encode(sha1::Sha1::digest(&bytes)),
        "SHA-256" => hex::encode(sha2::Sha256::digest(&bytes)),
        "SHA-384" => hex::encode(sha2::Sha384::digest(&bytes)),
        "SHA-512" => hex::encode(sha2::Sha512::digest(&bytes)),
        other => {
            return Err(format!("`{other}` is none of MD5, SHA-1, SHA-256, SHA-384, SHA-512"));
        }
    };
    Ok(Value::String(digest))
}

pub(super) fn json_merge(left: &Value, right: &Value, deep: &Value) -> Result<Value, String> {
    if deep != &Value::Bool(false) {
        return Err("only the shallow merge (third argument `false`) exists".into());
    }
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let mut merged = left.clone();
            merged.extend(right.iter().map(|(key, value)| (key.clone(), value.clone())));
            Ok(Value::Object(merged))
        }
        _ => Err("both documents must be objects".into()),
    }
}

/// Every character of `splitter` separates; empty parts are left out.
pub(super) fn split(value: &Value, splitter: &Value) -> Result<Value, String> {
    let splitter = text(splitter, "the splitter")?;
    Ok(text(value, "the text")?
        .split(|c| splitter.contains(c))
        .filter(|part| !part.is_empty())
        .map(Value::from)
        .collect())
}

pub(super) fn string_to_json(value: &Value) -> Result<Value, String> {
    let text = text(value, "the argument")?;
    serde_json::from_str(text).map_err(|error| format!("the argument is no JSON: {error}"))
}
