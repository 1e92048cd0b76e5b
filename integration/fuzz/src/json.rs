//! Mutates JSON as JSON: an input that libFuzzer changes byte by byte would hardly ever be parsed.

use serde_json::{Map, Value};

use crate::random::Random;

/// What a target's inputs are made of.
pub struct Words {
    /// Names of fields.
    pub keys: &'static [&'static str],
    /// Strings, and pieces of strings.
    pub texts: &'static [&'static str],
}

const NUMBERS: [&str; 14] = [
    "0",
    "1",
    "2",
    "-1",
    "63",
    "100",
    "200",
    "300",
    "65536",
    "99999999",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "1.5e300",
];
const CHARACTERS: [char; 20] = [
    'a', 'Z', '0', '$', '.', '[', ']', '(', ')', '\'', '\\', '{', '}', '/', ':', '@', '*', ' ',
    'ü', '\u{0}',
];

/// Changes a document, usually in one place; `None` if the input is no JSON.
///
/// Now and then it is one of the seeds that is changed: a corpus soon holds so many inputs that a
/// small change to a good document, which finds most, would hardly be tried.
#[must_use]
pub fn mutate(input: &[u8], seeds: &[Vec<u8>], seed: u32, words: &Words) -> Option<Vec<u8>> {
    let mut random = Random::new(seed.into());
    let input = if random.once_in(3) { seeds.get(random.below(seeds.len()))? } else { input };
    let mut document: Value = serde_json::from_slice(input).ok()?;
    let changes = if random.once_in(3) { 1 + random.below(4) } else { 1 };
    for _ in 0..changes {
        let other = some(&document, &mut random).clone();
        let target = random.below(count(&document));
        if let Some(place) = nth(&mut document, &mut { target }) {
            change(place, other, &mut random, words);
        }
    }
    serde_json::to_vec(&document).ok()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(map) => map.values_mut().find_map(|item| nth(item, left)),
        _ => None,
    }
}

/// Any value inside, the whole included.
fn some<'v>(value: &'v Value, random: &mut Random) -> &'v Value {
    let mut at = value;
    loop {
        let inner: Vec<&Value> = match at {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => return at,
        };
        if inner.is_empty() || random.once_in(5) {
            return at;
        }
        at = inner[random.below(inner.len())];
    }
}

fn change(place: &mut Value, other: Value, random: &mut Random, words: &Words) {
    if random.once_in(6) {
        *place = fresh(random, words);
        return;
    }
    if random.once_in(8) {
        *place = other;
        return;
    }
    match place {
        Value::String(text) => *text = string(text, random, words),
        Value::Object(map) => object(map, other, random, words),
        Value::Array(items) => array(items, other, random, words),
        other => *other = fresh(random, words),
    }
}

fn fresh(random: &mut Random, words: &Words) -> Value {
    match random.below(8) {
        0 => Value::Null,
        1 => Value::Bool(random.once_in(2)),
        2 | 3 => serde_json::from_str(NUMBERS[random.below(NUMBERS.len())]).unwrap_or_default(),
        4 => Value::Array(Vec::new()),
        5 => Value::Object(Map::new()),
        _ => Value::String((*random.of(words.texts)).to_owned()),
    }
}

fn object(map: &mut Map<String, Value>, other: Value, random: &mut Random, words: &Words) {
    let keys: Vec<String> = map.keys().cloned().collect();
    if keys.is_empty() || random.once_in(3) {
        let value = if random.once_in(2) { other } else { fresh(random, words) };
        map.insert((*random.of(words.keys)).to_owned(), value);
        return;
    }
    let key = random.of(&keys);
    match random.below(4) {
        0 => drop(map.remove(key)),
        1 => {
            if let Some(value) = map.remove(key) {
                let renamed = match random.below(3) {
                    0 => string(key, random, words),
                    1 => random.of(&keys).clone(),
                    _ => (*random.of(words.keys)).to_owned(),
                };
                map.insert(renamed, value);
            }
        }
        2 => {
            if let Some(value) = map.get(key).cloned() {
                map.insert(string(key, random, words), value);
            }
        }
        _ => drop(map.insert(key.clone(), other)),
    }
}

fn array(items: &mut Vec<Value>, other: Value, random: &mut Random, words: &Words) {
    let at = random.below(items.len());
    match random.below(4) {
        0 if !items.is_empty() => drop(items.remove(at)),
        1 if !items.is_empty() => items.insert(at, items[at].clone()),
        2 => items.push(other),
        _ => items.push(fresh(random, words)),
    }
}

/// Cuts, grows, joins or replaces a string.
fn string(text: &str, random: &mut Random, words: &Words) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = random.below(characters.len() + 1);
    match random.below(7) {
        0 => return (*random.of(words.texts)).to_owned(),
        1 => characters.truncate(at),
        2 => drop(characters.drain(..at)),
        3 if at < characters.len() => drop(characters.remove(at)),
        4 => {
            let word: Vec<char> = random.of(words.texts).chars().collect();
            characters.splice(at..at, word);
        }
        5 if characters.len() < 200 => {
            let piece = characters[..at].to_vec();
            characters.extend(piece);
        }
        _ => characters.insert(at, *random.of(&CHARACTERS)),
    }
    characters.into_iter().collect()
}
