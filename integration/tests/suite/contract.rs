//! What a function promises whoever calls it: its sample event in and its answer out, and for whatever
//! goes wrong one of our classes as `errorType`, a sentence and a code. Each `bootstrap` runs as on
//! Lambda, under AWS' own runtime interface emulator.

mod defects;
mod events;
mod work;

use domain::ErrorClass;
use integration::{Cloud, Rie, Setting, World, built};
use serde_json::Value;

/// A function of ours under the emulator.
pub(crate) fn start(name: &str, setting: &Setting) -> Rie {
    Rie::start(&[built(name)], setting)
}

/// A world and its AWS, for tests that call one function.
fn cloud() -> (World, Cloud) {
    let world = World::embedded();
    let cloud = Cloud::start(&world);
    (world, cloud)
}

/// An error as it left a function.
#[derive(Debug)]
struct Told {
    class: ErrorClass,
    code: String,
    message: String,
}

/// The error that an answer is, which must have our form and nothing beside it.
fn told(answer: &Value) -> Told {
    let fields: Vec<&str> = answer.as_object().into_iter().flatten().map(|(k, _)| &**k).collect();
    assert_eq!(fields, ["errorMessage", "errorType"], "{answer}");
    let text = |field: &str| answer[field].as_str().unwrap_or_else(|| panic!("{answer}"));
    let class = ErrorClass::from_name(text("errorType"));
    let class = class.unwrap_or_else(|| panic!("no class of ours: {answer}"));
    let (message, code) = text("errorMessage")
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once(" ["))
        .unwrap_or_else(|| panic!("no code at the end: {answer}"));
    let letters = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    assert!(code.contains('.') && code.chars().all(letters), "{answer}");
    Told { class, code: code.to_owned(), message: message.to_owned() }
}

/// Hands an event over that must fail so.
fn fails(rie: &Rie, event: &[u8], class: ErrorClass, code: &str) -> Told {
    let told = told(&rie.invoke(event));
    assert_eq!((told.class, &*told.code), (class, code), "{told:?}\n{}", rie.output());
    told
}
