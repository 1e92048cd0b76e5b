//! Every Task of the state machine fails once, dies, runs twice and fails always. The list of states
//! comes from the definition; what must come of it from a table that people wrote.

mod case;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use dray::local::{DEFINITION, substitutions};
use engine::{Injection, Injections, Machine, StateKind, When};
use futures::StreamExt;

use case::{Case, Seen, error, expected, stage_before, way_to};
use table::Row;

/// Tries that are under way at once.
const AT_ONCE: usize = 6;
/// Ways of failing that the table has a row for: our classes, a dead call, a call out of time.
const ERRORS: [&str; 7] = [
    "Transient",
    "Throttled",
    "SourceChanged",
    "Rejected",
    "Misconfigured",
    "Lambda.Unknown",
    "States.Timeout",
];

/// Every Task of the definition, those in Maps included.
fn tasks() -> Vec<String> {
    let machine = Machine::load(DEFINITION, &substitutions()).expect("the definition loads");
    let tasks = machine.states().filter(|state| state.kind == StateKind::Task);
    tasks.map(|state| state.name.to_owned()).collect()
}

/// Tries all, several at once, and tells every complaint.
async fn all<T, F: Future<Output = Vec<String>>>(
    tries: impl IntoIterator<Item = T>,
    one: impl Fn(T) -> F,
) {
    let complaints: Vec<Vec<String>> =
        futures::stream::iter(tries.into_iter().map(one)).buffer_unordered(AT_ONCE).collect().await;
    let complaints = complaints.concat();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Every difference between two values, in words.
fn differ<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, must: &T) -> Option<String> {
    (is != must).then(|| format!("{what}: is {is:?}, must be {must:?}"))
}

/// A run with one more injection must end as the same run without it.
async fn as_without(tries: Vec<(String, &'static str, Injection)>) {
    let clean = clean_runs().await;
    all(tries, |(state, how, injection)| {
        let clean = clean.get(&stage_before(&state).map(str::to_owned)).expect("a clean run");
        async move {
            let (seen, ended) = Case::new().run(way_to(&state).with(&state, injection)).await;
            let mut complaints = same(&seen, clean);
            let (made, failed) = ended.calls(&state);
            let wanted = if how == "twice" { (1, 0) } else { (2, 1) };
            complaints.extend(differ("calls made and failed", &(made, failed), &wanted));
            // Who dies between the API's answer and writing it down has to ask again, with the
            // same key.
            if !how.starts_with("dies") {
                complaints.extend(differ("reports with repetitions", &seen.told, &clean.told));
            }
            if stage_before(&state).is_none() {
                complaints.extend(differ("end", &seen.end.as_str(), &"Succeeded"));
                complaints.extend(delivered_once(&seen));
            }
            complaints.into_iter().map(|it| format!("{state} {how}: {it}")).collect()
        }
    })
    .await;
}

/// What is to be seen when nothing fails but what leads to a state.
async fn clean_runs() -> BTreeMap<Option<String>, Seen> {
    let ways: BTreeMap<Option<String>, String> =
        tasks().into_iter().map(|state| (stage_before(&state).map(str::to_owned), state)).collect();
    let runs = ways.into_iter().map(|(stage, state)| async move {
        let (seen, _) = Case::new().run(way_to(&state)).await;
        (stage, seen)
    });
    futures::stream::iter(runs).buffer_unordered(AT_ONCE).collect().await
}

fn same(seen: &Seen, clean: &Seen) -> Vec<String> {
    let mut found: Vec<String> = [
        differ("end", &seen.end, &clean.end),
        differ("failed", &seen.failed, &clean.failed),
        differ("open", &seen.open, &clean.open),
        differ("leased", &seen.leased, &clean.leased),
        differ("target", &seen.target, &clean.target),
        differ("reports", &seen.reports, &clean.reports),
        differ("ledger", &seen.ledger, &clean.ledger),
        differ("ledger's files", &seen.ledger_files, &clean.ledger_files),
        differ("content left", &seen.content, &clean.content),
    ]
    .into_iter()
    .flatten()
    .collect();
    for (inbox, names) in &clean.inboxes {
        found.extend(seen.inboxes.get(inbox).and_then(|is| differ(inbox, is, names)));
    }
    found
}

/// Everything is at the target, in the ledger and told to the API, each once.
fn delivered_once(seen: &Seen) -> Vec<String> {
    let members = expected().len();
    [
        differ("target", &seen.target, &expected()),
        differ("reports", &seen.reports.len(), &members),
        differ("ledger", &seen.ledger.values().copied().collect(), &vec![1; members]),
        differ("ledger's files", &seen.ledger_files.len(), &case::samples().len()),
        differ("leased", &seen.leased, &false),
        differ("content left", &seen.content, &0),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_run_takes_every_way_and_delivers_all() {
    let (seen, ended) = Case::new().run(Injections::new()).await;
    assert_eq!((seen.end.as_str(), seen.delivered(), seen.open.len()), ("Succeeded", 3, 0));
    assert_eq!(delivered_once(&seen), Vec::<String>::new());
    let large = seen.inboxes.get("large").map(BTreeSet::len);
    assert_eq!(large, Some(1), "one member goes to Spark");
    for state in tasks().iter().filter(|state| stage_before(state).is_none()) {
        assert_eq!(ended.calls(state), (1, 0), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_fails_once_before_its_work_recovers() {
    let once = || error("Transient", Some(1), When::Before);
    as_without(tasks().into_iter().map(|state| (state, "fails once", once())).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_loses_its_answer_once_recovers() {
    let once = || error("Transient", Some(1), When::After);
    as_without(tasks().into_iter().map(|state| (state, "loses its answer", once())).collect())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_runs_twice_ends_in_the_same_place() {
    let tries = tasks().into_iter().map(|state| (state, "twice", Injection::Repeat));
    as_without(tries.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_dies_recovers() {
    // At once, and somewhere in its work: where exactly is left to chance and must not matter.
    let moments = [("dies at once", 0), ("dies at work", 20)];
    let tries = tasks().into_iter().flat_map(|state| {
        moments.map(|(how, millis)| {
            let after = Duration::from_millis(millis);
            (state.clone(), how, Injection::Kill { after, times: Some(1) })
        })
    });
    as_without(tries.collect()).await;
}

/// Runs with the rows' state failing always, one row after the other on one state folder, and in
/// the end with nothing failing. Each run has to get on with what the one before left behind.
async fn fail_always(rows: Vec<Row>) -> Vec<String> {
    let case = Case::new();
    let mut complaints = Vec::new();
    for row in &rows {
        let found = fail_as(&case, row).await;
        complaints.extend(found.into_iter().map(|it| format!("{} {}: {it}", row.state, row.error)));
    }
    let (next, _) = case.run(Injections::new()).await;
    let end = differ("end", &next.end.as_str(), &"Succeeded");
    let open = differ("open", &next.open.len(), &0);
    let found = end.into_iter().chain(open).chain(delivered_once(&next));
    let names: Vec<(&str, &str)> = rows.iter().map(|row| (row.state, row.error)).collect();
    complaints.extend(found.map(|it| format!("the run after {names:?}: {it}")));
    complaints
}

async fn fail_as(case: &Case, row: &Row) -> Vec<String> {
    let injection = error(row.error, None, When::Before);
    let (seen, ended) = case.run(way_to(row.state).with(row.state, injection)).await;
    let failed: Vec<String> =
        seen.failed.iter().map(|((stage, class), n)| format!("{n}:{stage}:{class}")).collect();
    let failed = if failed.is_empty() { "-".to_owned() } else { failed.join("+") };
    let (made, refused) = ended.calls(row.state);
    [
        differ("end", &seen.end.as_str(), &row.end),
        differ("delivered", &seen.delivered(), &row.delivered),
        differ("at the target", &seen.target.len(), &row.delivered),
        differ("failed", &failed.as_str(), &row.failed),
        differ("open", &seen.open.len(), &row.open),
        differ("lease", &if seen.leased { "held" } else { "free" }, &row.lease),
        (made == 0 || made != refused).then(|| format!("{made} calls, {refused} failed")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The rows of the states of one part of the machine, in groups that share a state folder: a row
/// that delivers something has one of its own, for the next row would find less to do.
fn groups(first: &str, last: &str) -> Vec<Vec<Row>> {
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for row in rows(first, last) {
        let group = groups.iter_mut().find(|group| {
            group.iter().all(|other| other.state == row.state && other.delivered == 0)
        });
        match group {
            Some(group) if row.delivered == 0 => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    groups
}

/// The rows of the states of one part of the machine.
fn rows(first: &str, last: &str) -> Vec<Row> {
    let rows = table::rows();
    let first = rows.iter().position(|row| row.state == first).expect("the first state");
    let last = rows.iter().rposition(|row| row.state == last).expect("the last state");
    rows.into_iter().take(last + 1).skip(first).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_always_fails_ends_as_the_table_says_from_discover_to_unpack() {
    all(groups("Discover", "QuarantineUnpack"), fail_always).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_always_fails_ends_as_the_table_says_from_inspect_to_spark() {
    all(groups("PlanInspect", "QuarantineCountLarge"), fail_always).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_always_fails_ends_as_the_table_says_from_report_to_encrypt() {
    all(groups("PlanSeal", "QuarantineEncrypt"), fail_always).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_always_fails_ends_as_the_table_says_from_upload_to_the_end() {
    all(groups("PlanDeliver", "Announce"), fail_always).await;
}

#[test]
fn the_table_has_every_state_with_every_error_and_no_other() {
    let mut table: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let written = table::rows();
    for row in &written {
        table.entry(row.state).or_default().push(row.error);
    }
    for state in &tasks() {
        assert_eq!(table.remove(state.as_str()), Some(ERRORS.to_vec()), "rows of {state}");
    }
    assert!(table.is_empty(), "the machine has no Task {table:?}");
    let classes: BTreeSet<&str> = domain::ErrorClass::ALL.map(domain::ErrorClass::name).into();
    let missing: Vec<&&str> = classes.iter().filter(|class| !ERRORS.contains(*class)).collect();
    assert!(missing.is_empty(), "no rows for {missing:?}");
    let parts = [
        rows("Discover", "QuarantineUnpack"),
        rows("PlanInspect", "QuarantineCountLarge"),
        rows("PlanSeal", "QuarantineEncrypt"),
        rows("PlanDeliver", "Announce"),
    ];
    assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), written.len(), "every row is tried");
}
