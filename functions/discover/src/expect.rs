//! Files that have to come: which are there, in time or late, and which are missing.

use std::collections::BTreeMap;

use domain::heard::{Arrival, Expected};
use domain::items::FileRef;
use domain::profile::{Calendar, Expectation};
use domain::{Failure, Profile, keys};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use storage::Condition;
use storage::runs::Run;

/// What is kept of one expectation's files for one date: they may be gone from the source when the
/// next run looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// When each path was last written, in seconds since 1970, as it was first seen.
    files: BTreeMap<String, i64>,
    /// How it stood.
    state: Option<Arrival>,
    /// The run that was the first to see it so.
    run: String,
}

impl Kept {
    /// Whether a run may still see files come for a date that is over. A call that is repeated sees
    /// what it saw before.
    fn is_open(&self, run: &str) -> bool {
        self.run == run || !matches!(self.state, Some(Arrival::OnTime | Arrival::Late))
    }
}

/// One run's look at the source.
struct Look<'a> {
    run: &'a str,
    files: &'a [FileRef],
    now: Timestamp,
}

/// How it stands with everything that the profile expects, and what a person should hear about it.
///
/// Each expectation is looked at for today, and for the last date before on which files had to come
/// as long as they have not.
///
/// # Errors
/// `Misconfigured` for an expectation that nobody understands; `Transient` from storage.
pub(crate) async fn expected(
    run: &Run,
    profile: &Profile,
    files: &[FileRef],
    now: Timestamp,
) -> Result<(Vec<Expected>, Vec<String>), Failure> {
    let store = run.store();
    let look = Look { run: run.keys().run(), files, now };
    let (mut rows, mut warnings) = (Vec::new(), Vec::new());
    for expectation in &profile.expects {
        let calendar = expectation.calendar().map_err(not_understood)?;
        let key = |date| keys::expected(&profile.partner, &expectation.pattern, date);
        let mut known = BTreeMap::new();
        for date in dates(&calendar, now) {
            if let Some(found) = store.get::<Kept>(&key(date)).await? {
                known.insert(date, found.value);
            }
        }
        let before = known.clone();
        for (row, warning) in look.at(expectation, &calendar, &mut known)? {
            rows.push(row);
            warnings.extend(warning);
        }
        for (date, kept) in known.iter().filter(|(date, kept)| before.get(date) != Some(kept)) {
            drop(store.put(&key(*date), kept, Condition::Any).await?);
        }
    }
    if !rows.is_empty() {
        let count = |state| count(&rows, state);
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

/// The dates that are looked at: the last one on which files had to come, and today.
fn dates(calendar: &Calendar, now: Timestamp) -> impl Iterator<Item = Date> {
    let today = calendar.date(now);
    calendar.before(today).into_iter().chain([today])
}

impl Look<'_> {
    /// How it stands with an expectation, by what is known of its dates, to which this look is added.
    fn at(
        &self,
        expectation: &Expectation,
        calendar: &Calendar,
        known: &mut BTreeMap<Date, Kept>,
    ) -> Result<Vec<(Expected, Option<String>)>, Failure> {
        let today = calendar.date(self.now);
        let mut rows = Vec::new();
        for date in dates(calendar, self.now) {
            // Of a date before the first look nothing is known, and what came is no news.
            if date != today && !known.get(&date).is_some_and(|kept| kept.is_open(self.run)) {
                continue;
            }
            let kept = known.entry(date).or_default();
            let row = self.at_date(expectation, calendar, date, kept)?;
            let news = kept.run == self.run;
            let warning = warning(&row, news);
            rows.push((row, warning));
        }
        Ok(rows)
    }

    /// How it stands with one date.
    fn at_date(
        &self,
        expectation: &Expectation,
        calendar: &Calendar,
        date: Date,
        kept: &mut Kept,
    ) -> Result<Expected, Failure> {
        let wanted = calendar.files_of(date).map_err(not_understood)?;
        for file in self.files {
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
            None if self.now < due => Arrival::Pending,
            None => Arrival::Missing,
        };
        if kept.state != Some(state) {
            kept.state = Some(state);
            self.run.clone_into(&mut kept.run);
        }
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
}

fn count(rows: &[Expected], state: Arrival) -> u64 {
    rows.iter().filter(|row| row.state == state).count() as u64
}

/// What is missing is said until it comes, what came late once.
fn warning(row: &Expected, news: bool) -> Option<String> {
    let Expected { pattern, date, due, files, found, .. } = row;
    match row.state {
        Arrival::Missing => Some(format!(
            "Expected files are missing: {found} of {files} for {date} match {pattern:?}; they were \
             due at {due}. Ask the partner."
        )),
        Arrival::Late if news => {
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

    /// What runs at these moments, one after the other, say of what is there then.
    fn looks(expects: serde_json::Value, moments: &[(&str, &[(&str, &str)])]) -> Vec<String> {
        let expectation: Expectation = serde_json::from_value(expects).expect("an expectation");
        let calendar = expectation.calendar().expect("a calendar");
        let mut known = BTreeMap::new();
        let mut told = Vec::new();
        for (now, there) in moments {
            let there = files(there);
            let look = Look { run: now, files: &there, now: time(now) };
            // A call that is repeated, because its answer was lost, says the same.
            let first = look.at(&expectation, &calendar, &mut known).expect("a look");
            let rows = look.at(&expectation, &calendar, &mut known).expect("a look");
            assert_eq!(first, rows);
            let bell = if rows.iter().any(|(_, warning)| warning.is_some()) { " !" } else { "" };
            let rows = rows.iter().map(|(row, _)| {
                format!("{} {} {}/{}", row.date, row.state.words(), row.found, row.files)
            });
            told.push(format!("{}{bell}", rows.collect::<Vec<String>>().join(", ")));
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
        let told = looks(
            two,
            &[
                ("2026-03-02T06:30:00Z", one),
                ("2026-03-02T07:00:00Z", both),
                ("2026-03-02T08:00:00Z", both),
            ],
        );
        assert_eq!(
            told,
            ["2026-03-02 missing 1/2 !", "2026-03-02 late 2/2 !", "2026-03-02 late 2/2"]
        );
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

    #[test]
    fn rows_are_counted_by_their_state() {
        let expects = serde_json::json!({"pattern": "*.csv", "due": "06:30"});
        let expectation: Expectation = serde_json::from_value(expects).expect("an expectation");
        let calendar = expectation.calendar().expect("a calendar");
        let look = Look { run: "one", files: &[], now: time("2026-03-02T12:00:00Z") };
        let missing = look.at(&expectation, &calendar, &mut BTreeMap::new()).expect("a look");
        let missing = missing.into_iter().map(|(row, _)| row);
        let rows: Vec<Expected> = missing.cycle().take(3).collect();
        assert_eq!((count(&rows, Arrival::Missing), count(&rows, Arrival::Late)), (3, 0));
    }
}
