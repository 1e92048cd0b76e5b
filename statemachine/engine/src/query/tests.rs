//! What each kind of step matches, and what is refused in which words.

use serde_json::{Value, json};

use super::Query;

fn find(path: &str, data: &Value) -> Value {
    let context = json!({"Execution": {"Input": {"l": [1, 2]}}});
    Query::parse(path).unwrap_or_else(|sentence| panic!("{sentence}")).find(data, &context).unwrap()
}

#[test]
fn every_kind_of_step_yields_the_list_of_its_matches() {
    let data = json!({
        "l": [0, 1, 2, 3],
        "o": {"a": 1, "b": {"a": 2}},
        "r": [{"n": 1, "k": "x", "d": {"e": [7]}}, {"n": 2.5, "k": "y"}, {"n": "2", "z": null}, 4],
    });
    let table = [
        ("$.l[*]", json!([0, 1, 2, 3])),
        ("$.l.*", json!([0, 1, 2, 3])),
        ("$.o.*", json!([1, {"a": 2}])),
        ("$.o[*].a", json!([2])),
        ("$.x[*]", json!([])),
        ("$.l[1:]", json!([1, 2, 3])),
        ("$.l[:-1]", json!([0, 1, 2])),
        ("$.l[-9:9]", json!([0, 1, 2, 3])),
        ("$.l[3:1]", json!([])),
        ("$.l[0,2]", json!([0, 2])),
        ("$.l[-1, 0, 9]", json!([3, 0])),
        ("$.r[*][-1]", json!([])),
        ("$..a", json!([1, 2])),
        ("$..['a']", json!([1, 2])),
        ("$.o..*", json!([1, {"a": 2}, 2])),
        ("$['r'][?(@.n==1)]['k']", json!(["x"])),
        ("$.r[?(@.n >= 2.5)].k", json!(["y"])),
        ("$.r[?(@.n < 3)].n", json!([1, 2.5])),
        ("$.r[?(@.n == '2')].n", json!(["2"])),
        ("$.r[?(@.k != 'x')].n", json!([2.5, "2"])),
        ("$.r[?(@.k > 'x')].n", json!([2.5])),
        ("$.r[?(@.d.e[0] == 7)].n", json!([1])),
        ("$.r[?(@['d'])].n", json!([1])),
        ("$.r[?(@.z == null)].n", json!(["2"])),
        ("$.r[?(!(@.k))].n", json!(["2"])),
        ("$.r[?(!@.k && @.n)].n", json!(["2"])),
        ("$.r[?((@.k == 'x' || @.k == 'y') && @.n <= 1)].n", json!([1])),
        ("$.l[?(@ > 1)]", json!([2, 3])),
        ("$.l[?(2 > @)]", json!([0, 1])),
        ("$$.Execution.Input.l[*]", json!([1, 2])),
    ];
    for (path, expected) in table {
        assert_eq!(find(path, &data), expected, "{path}");
    }
}

#[test]
fn what_libraries_disagree_about_is_refused() {
    let table = [
        ("$.l[-1]", "from the end"),
        ("$.l[?@.a]", "index must stand"),
        ("$['a','b']", "list of places"),
        ("$.l[*].length()", "name of letters"),
        ("$.l[?(@.a.size() > 1)]", "name of letters"),
        ("$.l[?(@.a =~ /x/)]", "where a filter must end"),
        ("$.l[?(@.a in ['x'])]", "where a filter must end"),
        ("$.l[?(@.a == $.b)]", "where a filter compares"),
        ("$.l[?(1)]", "comparison"),
        ("$.l[?(!@.a == 1)]", "comparison"),
        ("$.l[?(@.a == 1]", "where a filter must end"),
        ("$.l[?(@.a == 'x)]", "never closed"),
        ("$.l[?(length(@.a) > 1)]", "where a filter compares"),
        ("$.l[1:3:2]", "`]` must stand"),
        ("$.l[1-2,3]", "no index"),
        ("$.l[*]x", "must stand"),
        ("$.l[*].", "name of letters"),
        ("$..", "name of letters"),
        ("$$.Execution.*", "context object"),
        ("$$..Id", "context object"),
        ("$.l[*", "`]` must stand"),
    ];
    for (path, words) in table {
        let sentence = Query::parse(path).map(|_| String::new()).unwrap_or_else(|why| why);
        assert!(sentence.contains(words), "{path}: {sentence:?}");
    }
    let deep = format!("$.l[?({}@.a{})]", "(".repeat(5_000), ")".repeat(5_000));
    assert!(Query::parse(&deep).unwrap_err().contains("20 deep"));
}

#[test]
fn a_path_that_matches_without_end_is_an_error() {
    let mut data = json!(1);
    for _ in 0..60 {
        data = json!([data, [0]]);
    }
    let query = Query::parse("$..*..*..*..*..*").unwrap();
    assert!(query.find(&data, &Value::Null).unwrap_err().contains("more than 131072 places"));
}

#[test]
fn a_filter_of_an_object_is_an_error() {
    let query = Query::parse("$.o[?(@.a)]").unwrap();
    assert!(query.find(&json!({"o": {"a": 1}}), &Value::Null).unwrap_err().contains("arrays"));
    assert_eq!(query.find(&json!({"o": []}), &Value::Null), Ok(json!([])));
}
