//! Intrinsic functions over arrays and numbers.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

/// AWS refuses ranges of more elements.
const MAX_RANGE: usize = 1_000;

fn array<'v>(value: &'v Value, what: &str) -> Result<&'v Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{what} must be an array"))
}

/// A whole number; fractions are rounded, as AWS documents.
fn whole(value: &Value, what: &str) -> Result<i64, String> {
    let rounded = || {
        let number = value.as_f64()?.round();
        // Beyond 2^53 a float is no exact integer any more.
        (number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
    };
    value.as_i64().or_else(rounded).ok_or_else(|| format!("{what} must be an integer"))
}

pub(super) fn contains(items: &Value, item: &Value) -> Result<Value, String> {
    Ok(array(items, "the first argument")?.contains(item).into())
}

pub(super) fn get_item(items: &Value, index: &Value) -> Result<Value, String> {
    let items = array(items, "the first argument")?;
    let index = whole(index, "the index")?;
    usize::try_from(index)
        .ok()
        .and_then(|place| items.get(place))
        .cloned()
        .ok_or_else(|| format!("the array has {} elements, none at {index}", items.len()))
}

pub(super) fn length(items: &Value) -> Result<Value, String> {
    Ok(array(items, "the argument")?.len().into())
}

pub(super) fn partition(items: &Value, size: &Value) -> Result<Value, String> {
    let items = array(items, "the first argument")?;
    let size = usize::try_from(whole(size, "the size")?).unwrap_or(0);
    if size == 0 {
        return Err("the size must be greater than zero".into());
    }
    Ok(items.chunks(size).map(|chunk| Value::Array(chunk.to_vec())).collect())
}

pub(super) fn range(first: &Value, last: &Value, step: &Value) -> Result<Value, String> {
    let (first, last) = (whole(first, "the first element")?, whole(last, "the last element")?);
    let step = whole(step, "the step")?;
    if step == 0 {
        return Err("the step must not be zero".into());
    }
    let within = |number: &i64| if step > 0 { *number <= last } else { *number >= last };
    let numbers = std::iter::successors(Some(first), |number| number.checked_add(step));
    let found: Vec<Value> =
        numbers.take_while(within).take(MAX_RANGE + 1).map(Value::from).collect();
    if found.len() > MAX_RANGE {
        return Err(format!("a range has at most {MAX_RANGE} elements"));
    }
    Ok(Value::Array(found))
}

pub(super) fn unique(items: &Value) -> Result<Value, String> {
    let mut found: Vec<Value> = Vec::new();
    for item in array(items, "the argument")? {
        if !found.contains(item) {
            found.push(item.clone());
        }
    }
    Ok(Value::Array(found))
}

pub(super) fn add(left: &Value, right: &Value) -> Result<Value, String> {
    let (left, right) = (whole(left, "the first number")?, whole(right, "the second number")?);
    left.checked_add(right).map(Value::from).ok_or_else(|| "the sum is too large".into())
}

/// A number from `start` (included) to `end` (excluded); `chance` is from 0 to 1.
pub(super) fn random(start: &Value, end: &Value, chance: f64) -> Result<Value, String> {
    let (start, end) = bounds(start, end)?;
    let offset = (chance * (end - start) as f64) as i64;
    Ok((start + offset).min(end - 1).into())
}

/// The same seed gives the same number. It is not the number that AWS gives for that seed.
pub(super) fn seeded_random(start: &Value, end: &Value, seed: &Value) -> Result<Value, String> {
    let (start, end) = bounds(start, end)?;
    let seed = whole(seed, "the seed")?;
    Ok(StdRng::seed_from_u64(seed.cast_unsigned()).random_range(start..end).into())
}

fn bounds(start: &Value, end: &Value) -> Result<(i64, i64), String> {
    let (start, end) = (whole(start, "the start")?, whole(end, "the end")?);
    if start < end && end.checked_sub(start).is_some() {
        Ok((start, end))
    } else {
        Err("the start must be less than the end".into())
    }
}
