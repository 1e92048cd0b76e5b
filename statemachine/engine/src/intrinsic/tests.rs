//! One row per intrinsic function and per way it can go wrong.

use super::*;
use serde_json::json;

fn evaluate(text: &str) -> Result<Value, Fault> {
    let data = json!({
        "name": "Ann", "n": 5, "list": [1, 2, 2, 3, "x"], "o": {"a": 1}, "p": {"a": 2, "b": 3},
        "template": "hi {} \\{\\}", "text": "{\"k\":[1.50,null]}", "a,b)": "odd", "f": 1.6,
    });
    let context = json!({"Execution": {"Id": "e-1"}});
    Expression::parse(text).map_err(|sentence| Fault::new("load", sentence))?.evaluate(
        "field.$",
        &data,
        &context,
        &|| 0.5,
    )
}

#[test]
fn every_function_gives_its_documented_value() {
    let table = [
        ("States.Format('Hi {}, {} {} {}', $.name, 7, true, null)", json!("Hi Ann, 7 true null")),
        (r"States.Format('\{\} it\'s \\ {}', $.n)", json!(r"{} it's \ 5")),
        ("States.Format($.template, 'Bo')", json!("hi Bo {}")),
        ("States.Format('{}', $.o)", json!("{\"a\":1}")),
        ("States.Format('{}', $$.Execution.Id)", json!("e-1")),
        ("States.Format('{}', $['a,b)'])", json!("odd")),
        ("States.StringToJson($.text)", json!({"k": [1.5, null]})),
        ("States.JsonToString($.o)", json!("{\"a\":1}")),
        ("States.Array()", json!([])),
        (
            "States.Array('a', 1.5, -2, $.o, States.Array(null))",
            json!(["a", 1.5, -2, {"a": 1}, [null]]),
        ),
        ("States.ArrayPartition($.list, 2)", json!([[1, 2], [2, 3], ["x"]])),
        ("States.ArrayContains($.list, 'x')", json!(true)),
        ("States.ArrayContains($.list, 9)", json!(false)),
        ("States.ArrayRange(1, 9, 2)", json!([1, 3, 5, 7, 9])),
        ("States.ArrayRange(3, 0, -2)", json!([3, 1])),
        ("States.ArrayRange(3, 0, 1)", json!([])),
        ("States.ArrayGetItem($.list, 4)", json!("x")),
        ("States.ArrayLength($.list)", json!(5)),
        ("States.ArrayUnique($.list)", json!([1, 2, 3, "x"])),
        ("States.Base64Encode('Data to encode')", json!("RGF0YSB0byBlbmNvZGU=")),
        ("States.Base64Decode('RGF0YSB0byBkZWNvZGU=')", json!("Data to decode")),
        ("States.Hash('input data', 'SHA-1')", json!("aaff4a450a104cd177d28d18d74485e8cae074b7")),
        ("States.Hash('', 'MD5')", json!("d41d8cd98f00b204e9800998ecf8427e")),
        (
            "States.Hash('abc', 'SHA-256')",
            json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ),
        ("States.ArrayLength(States.StringSplit(States.Hash('a', 'SHA-384'), ','))", json!(1)),
        ("States.JsonMerge($.o, $.p, false)", json!({"a": 2, "b": 3})),
        ("States.MathAdd(111, -1)", json!(110)),
        ("States.MathAdd($.f, 1)", json!(3)),
        ("States.MathRandom(1, 11)", json!(6)),
        ("States.StringSplit('1,2,,3', ',')", json!(["1", "2", "3"])),
        ("States.StringSplit('This.is+a,test', '.+,')", json!(["This", "is", "a", "test"])),
        ("States.Format( 'a' )", json!("a")),
        ("States.Format('{}', States.Format('{}', States.MathAdd(1, 2)))", json!("3")),
    ];
    for (text, expected) in table {
        assert_eq!(evaluate(text), Ok(expected), "{text}");
    }
}

#[test]
fn hashes_of_each_algorithm_have_its_length() {
    for (algorithm, length) in
        [("MD5", 32), ("SHA-1", 40), ("SHA-256", 64), ("SHA-384", 96), ("SHA-512", 128)]
    {
        let hash = evaluate(&format!("States.Hash($.o, '{algorithm}')")).unwrap();
        assert_eq!(hash.as_str().unwrap().len(), length, "{algorithm}");
    }
}

#[test]
fn identifiers_differ_and_seeded_numbers_do_not() {
    let id = evaluate("States.UUID()").unwrap();
    assert_eq!(uuid::Uuid::parse_str(id.as_str().unwrap()).unwrap().get_version_num(), 4);
    assert_ne!(Ok(id), evaluate("States.UUID()"));
    let number = evaluate("States.MathRandom(10, 20, 42)").unwrap();
    assert_eq!(Ok(number.clone()), evaluate("States.MathRandom(10, 20, 42)"));
    assert!((10..20).contains(&number.as_i64().unwrap()));
}

#[test]
fn what_cannot_be_computed_is_an_intrinsic_failure() {
    let table = [
        ("States.Format('{} {}', 1)", "more places"),
        ("States.Format('{}', 1, 2)", "fewer places"),
        ("States.Format('{x}', 1)", "escaped"),
        ("States.StringToJson('{')", "no JSON"),
        ("States.StringToJson($.n)", "string"),
        ("States.ArrayPartition($.list, 0)", "greater than zero"),
        ("States.ArrayPartition($.n, 1)", "array"),
        ("States.ArrayContains($.n, 1)", "array"),
        ("States.ArrayRange(1, 9, 0)", "not be zero"),
        ("States.ArrayRange(0, 1000, 1)", "at most 1000"),
        ("States.ArrayGetItem($.list, 5)", "none at 5"),
        ("States.ArrayGetItem($.list, -1)", "none at -1"),
        ("States.ArrayLength($.o)", "array"),
        ("States.ArrayUnique($.o)", "array"),
        ("States.Base64Decode('%')", "no Base64"),
        ("States.Base64Encode($.n)", "string"),
        ("States.Hash('a', 'CRC')", "none of"),
        ("States.JsonMerge($.o, $.p, true)", "shallow"),
        ("States.JsonMerge($.o, $.n, false)", "objects"),
        ("States.MathAdd('1', 2)", "integer"),
        ("States.MathAdd(9223372036854775807, 1)", "too large"),
        ("States.MathRandom(5, 5)", "less than"),
        ("States.StringSplit($.n, ',')", "string"),
    ];
    for (text, words) in table {
        let fault = evaluate(text).unwrap_err();
        assert_eq!(fault.error, "States.IntrinsicFailure", "{text}");
        assert!(fault.cause.contains(words), "{text}: {}", fault.cause);
    }
}

#[test]
fn a_missing_path_ends_the_execution() {
    for text in ["$.missing", "States.Format('{}', $.missing)"] {
        let fault = evaluate(text).unwrap_err();
        assert_eq!(fault.error, "States.Runtime", "{text}");
        assert!(fault.cause.contains("'$.missing'") && fault.cause.contains("'field.$'"));
    }
}

#[test]
fn malformed_calls_are_refused_when_loaded() {
    let deep = format!("{}1{}", "States.Array(".repeat(11), ")".repeat(11));
    let table = [
        ("States.Nope()", "no intrinsic function"),
        ("States.Format", "no `(`"),
        ("States.Format()", "at least 1"),
        ("States.UUID(1)", "takes 0"),
        ("States.MathRandom(1)", "2 or 3"),
        ("States.Format('a'", "no `,` or `)`"),
        ("States.Format('a' 'b')", "no `,` or `)`"),
        ("States.Format('a", "never closed"),
        ("States.Format('a\\n')", "backslash"),
        ("States.Format(\"a\")", "single quotes"),
        ("States.Format('a') more", "goes on"),
        ("States.Format('{}', $.a[*].size())", "name of letters"),
        ("hello", "neither"),
        (deep.as_str(), "ten deep"),
    ];
    for (text, words) in table {
        let sentence = Expression::parse(text).unwrap_err();
        assert!(sentence.contains(words), "{text}: {sentence}");
    }
}
