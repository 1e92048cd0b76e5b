//! Files that have to come: which are there, in time or late, and which are missing.

use std::collections::BTreeMap;

use domain::heard::{Arrival, Expected};
use domain::items::FileRef;
use domain::profile::{Calendar, Expectation};
use domain::{Failure, Profile, keys};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use storage::{Condition, Store};

/// What is kept of one expectation's files for one date: they may be gone from the source when the
/// next run looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// When each path was last written, in seconds since 1970, as it was first seen.
    files: BTreeMap<String, i64>,
    /// How it stood.
    state: Option<Arrival>,
}

/// How it stands with everything that the profile expects, and what a person should hear about it.
///
/// Each expectation is looked at for today, and for the last date before on which files had to come
/// as long as they have not.
///
/// # Errors
/// `Misconfigured` for an expectation that nobody understands; `Transient` from storage.
pub(crate) async fn expected(
    store: &Store,
    profile: &Profile,
    files: &[FileRef],
    now: Timestamp,
) -> Result<(Vec<Expected>, Vec<String>), Failure> {
    let (mut rows, mut warnings) = (Vec::new(), Vec::new());
    for expectation in &profile.expects {
        let calendar = expectation.calendar().map_err(not_understood)?;
        let today = calendar.date(now);
        for date in calendar.before(today).into_iter().chain([today]) {
            let key = keys::expected(&profile.partner, &expectation.pattern, date);
            let before = store.get::<Kept>(&key).await?.map(|found| found.value);
            if date != today && !is_open(before.as_ref()) {
                continue;
            }
            let before = before.unwrap_or_default();
            let mut after = before.clone();
            let row = look(expectation, &calendar, date, (files, now), &mut after)?;
            if after != before {
                drop(store.put(&key, &after, Condition::Any).await?);
            }
            warnings.extend(warning(&row, before.state));
            rows.push(row);
        }
    }
    if !rows.is_empty() {
        let count = |state| rows.iter().filter(|row| row.state == state).count() as u64;
        tracing::info!(
            target: domain::METRICS,
            partner = profile.partner,
            expected_on_time = count(Arrival::OnTime),
            expected_late = count(Arrival::Late),
            expected_missing = count(Arrival::Missing),
            expected_pending = count(Arrival::Pending),
        );
    }
    Ok((rows, warnings))
}

/// Whether files of a date that is over may still come. Of a date before the first look nothing is
/// known, and what came is no news.
fn is_open(kept: Option<&Kept>) -> bool {
    kept.is_some_and(|kept| !matches!(kept.state, Some(Arrival::OnTime | Arrival::Late)))
}

/// How it stands with one date.
fn look(
    expectation: &Expectation,
    calendar: &Calendar,
    date: Date,
    (files, now): (&[FileRef], Timestamp),
    kept: &mut Kept,
) -> Result<Expected, Failure> {
    let wanted = calendar.files_of(date).map_err(not_understood)?;
    for file in files {
        let Ok(written) = Timestamp::from_second(file.mtime_seconds) else { continue };
        if wanted.contains(&file.path, written) {
            kept.files.entry(file.path.clone()).or_insert(file.mtime_seconds);
        }
    }
    let mut written: Vec<i64> = kept.files.values().copied().collect();
    written.sort_unstable();
    let last = usize::try_from(expectation.files).unwrap_or(usize::MAX).saturating_sub(1);
    let complete_at = written.get(last).and_then(|at| Timestamp::from_second(*at).ok());
    let due = calendar.due(date).map_err(not_understood)?;
    let state = match complete_at {
        _ if !calendar.is_expected(date) => Arrival::NotExpected,
        Some(at) if at <= due => Arrival::OnTime,
        Some(_) => Arrival::Late,
        None if now < due => Arrival::Pending,
        None => Arrival::Missing,
    };
    kept.state = Some(state);
    Ok(Expected {
        pattern: expectation.pattern.clone(),
        date,
        due,
        files: expectation.files,
        found: u32::try_from(written.len()).unwrap_or(u32::MAX),
        complete_at,
        state,
    })
}

/// What is missing is said until it comes, what came late once.
fn warning(row: &Expected, before: Option<Arrival>) -> Option<String> {
    let Expected { pattern, date, due, files, found, .. } = row;
    match row.state {
        Arrival::Missing => Some(format!(
            "Expected files are missing: {found} of {files} for {date} match {pattern:?}; they were \
             due at {due}. Ask the partner."
        )),
        Arrival::Late if before != Some(Arrival::Late) => {
            Some(format!("Files came late: {pattern:?} for {date}, which were due at {due}."))
        }
        _ => None,
    }
}

fn not_understood(message: String) -> Failure {
    Failure::misconfigured("profile.expects", format!("The profile {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by path and time of writing.
    fn files(files: &[(&str, &str)]) -> Vec<FileRef> {
        let one = |(path, at): &(&str, &str)| FileRef::new("acme", path, 1, time(at).as_second());
        files.iter().map(one).collect()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// Looks at these moments, one after the other, at what is there then.
    fn looks(expects: serde_json::Value, moments: &[(&str, &[(&str, &str)])]) -> Vec<String> {
        let expectation: Expectation = serde_json::from_value(expects).expect("an expectation");
        let calendar = expectation.calendar().expect("a calendar");
        let mut known: BTreeMap<Date, Kept> = BTreeMap::new();
        let mut told = Vec::new();
        for (now, there) in moments {
            let (now, there) = (time(now), files(there));
            let today = calendar.date(now);
            let mut rows = Vec::new();
            let mut bell = "";
            for date in calendar.before(today).into_iter().chain([today]) {
                if date != today && !is_open(known.get(&date)) {
                    continue;
                }
                let kept = known.entry(date).or_default();
                let before = kept.state;
                let row = look(&expectation, &calendar, date, (&there, now), kept).expect("a look");
                if warning(&row, before).is_some() {
                    bell = " !";
                }
                rows.push(format!("{date} {} {}/{}", row.state.words(), row.found, row.files));
            }
            told.push(format!("{}{bell}", rows.join(", ")));
        }
        told
    }

    #[test]
    fn a_day_goes_from_pending_to_on_time_and_stays_there_when_the_file_is_gone() {
        let daily = serde_json::json!({"pattern": "orders-*.csv", "due": "06:30"});
        let file: &[(&str, &str)] = &[("orders-1.csv", "2026-03-02T06:00:00Z")];
        let told = looks(
            daily,
            &[
                ("2026-03-02T05:00:00Z", &[]),
                ("2026-03-02T06:10:00Z", file),
                ("2026-03-02T12:00:00Z", &[]),
                ("2026-03-03T05:00:00Z", &[]),
            ],
        );
        assert_eq!(
            told,
            [
                "2026-03-02 pending 0/1",
                "2026-03-02 on time 1/1",
                "2026-03-02 on time 1/1",
                "2026-03-03 pending 0/1",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_said_until_it_comes_late_which_is_said_once() {
        let daily = serde_json::json!({"pattern": "orders-%Y%m%d.csv", "due": "06:30"});
        let late: &[(&str, &str)] = &[("orders-20260302.csv", "2026-03-03T04:00:00Z")];
        let told = looks(
            daily,
            &[
                ("2026-03-02T07:00:00Z", &[]),
                ("2026-03-02T23:00:00Z", &[]),
                ("2026-03-03T03:00:00Z", &[]),
                ("2026-03-03T05:00:00Z", late),
                ("2026-03-03T05:30:00Z", late),
            ],
        );
        assert_eq!(
            told,
            [
                "2026-03-02 missing 0/1 !",
                "2026-03-02 missing 0/1 !",
                "2026-03-02 missing 0/1, 2026-03-03 pending 0/1 !",
                "2026-03-02 late 1/1, 2026-03-03 pending 0/1 !",
                "2026-03-03 pending 0/1",
            ]
        );
    }

    #[test]
    fn every_file_has_to_be_there_in_time() {
        let two = serde_json::json!({"pattern": "*.csv", "due": "06:30", "files": 2});
        let one: &[(&str, &str)] = &[("a.csv", "2026-03-02T06:00:00Z")];
        let both: &[(&str, &str)] =
            &[("a.csv", "2026-03-02T06:00:00Z"), ("b.csv", "2026-03-02T06:30:01Z")];
        let told = looks(two, &[("2026-03-02T06:30:00Z", one), ("2026-03-02T07:00:00Z", both)]);
        assert_eq!(told, ["2026-03-02 missing 1/2 !", "2026-03-02 late 2/2 !"]);
    }

    #[test]
    fn weekends_holidays_and_days_before_the_first_look_are_not_missed() {
        let daily =
            serde_json::json!({"pattern": "*.csv", "due": "06:30", "holidays": ["2026-03-06"]});
        let told = looks(
            daily,
            &[
                ("2026-03-05T05:00:00Z", &[]),
                ("2026-03-06T12:00:00Z", &[]),
                ("2026-03-07T12:00:00Z", &[("extra.csv", "2026-03-07T11:00:00Z")]),
            ],
        );
        assert_eq!(
            told,
            [
                "2026-03-05 pending 0/1",
                "2026-03-05 missing 0/1, 2026-03-06 not expected 0/1 !",
                "2026-03-05 missing 0/1, 2026-03-07 not expected 1/1 !",
            ]
        );
    }
}
