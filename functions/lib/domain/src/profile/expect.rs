//! What a partner has promised to send, and by when.

use globset::{GlobBuilder, GlobMatcher};
use jiff::civil::{Date, Time, Weekday};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;

/// How far back a day is looked for on which files had to come.
const LOOK_BACK_DAYS: usize = 31;

/// Files that have to be at the source by a time of day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Glob of the files, relative to the source directory. Where it holds `%Y`, `%m`, `%d` and the
    /// like, the names carry the date that they are for (`%%` is a per cent sign); else a file is
    /// for the day on which it was last written.
    pub pattern: String,
    /// How many files have to come.
    #[serde(default = "defaults::expected_files")]
    pub files: u32,
    /// Days of the week on which they have to.
    #[serde(default = "defaults::weekdays")]
    pub days: Vec<Day>,
    /// Dates on which they need not, such as `2026-12-25`.
    #[serde(default)]
    pub holidays: Vec<String>,
    /// Time zone of the dates and of `due`, such as `Europe/Berlin`.
    #[serde(default = "defaults::time_zone")]
    pub time_zone: String,
    /// Time of day by which they have to be there, such as `06:30`.
    pub due: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    const fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

impl Expectation {
    /// The days and hours that it speaks of.
    ///
    /// # Errors
    /// A sentence that says what cannot be understood and what to write instead.
    pub fn calendar(&self) -> Result<Calendar, String> {
        let zone = TimeZone::get(&self.time_zone).map_err(|_| {
            format!(
                "names the time zone {:?}; write one such as \"Europe/Berlin\".",
                self.time_zone
            )
        })?;
        let due: Time = strtime::parse("%H:%M", &self.due)
            .and_then(|parsed| parsed.to_time())
            .map_err(|_| format!("is due at {:?}; write a time such as \"06:30\".", self.due))?;
        let holidays = self.holidays.iter().map(|text| {
            text.parse::<Date>()
                .map_err(|_| format!("has the holiday {text:?}; write one as \"2026-12-25\"."))
        });
        let holidays = holidays.collect::<Result<Vec<Date>, String>>()?;
        if self.days.is_empty() || self.files == 0 {
            return Err("expects nothing: files and days must not be empty.".to_owned());
        }
        let days = self.days.iter().map(|day| day.weekday()).collect();
        let dated = self.pattern.contains('%');
        let calendar = Calendar { zone, due, days, holidays, pattern: self.pattern.clone(), dated };
        calendar.files_of(Date::constant(2026, 1, 31))?;
        Ok(calendar)
    }
}

/// The days and hours of an expectation.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    due: Time,
    days: Vec<Weekday>,
    holidays: Vec<Date>,
    pattern: String,
    dated: bool,
}

impl Calendar {
    /// The date at that moment, in the expectation's zone.
    #[must_use]
    pub fn date(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    /// When files for that date are due. A time that the zone leaves out comes an hour later, one
    /// that it has twice is the first.
    ///
    /// # Errors
    /// When the date is at the end of all dates.
    pub fn due(&self, date: Date) -> Result<Timestamp, String> {
        let zoned = date.to_datetime(self.due).to_zoned(self.zone.clone());
        zoned.map(|zoned| zoned.timestamp()).map_err(|error| error.to_string())
    }

    /// Whether files have to come for that date.
    #[must_use]
    pub fn is_expected(&self, date: Date) -> bool {
        self.days.contains(&date.weekday()) && !self.holidays.contains(&date)
    }

    /// The last date before that one for which files had to come.
    #[must_use]
    pub fn before(&self, date: Date) -> Option<Date> {
        date.series(-1.day()).skip(1).take(LOOK_BACK_DAYS).find(|date| self.is_expected(*date))
    }

    /// Tells the files that are for that date.
    ///
    /// # Errors
    /// A sentence about a pattern that is none.
    pub fn files_of(&self, date: Date) -> Result<FilesOf, String> {
        let text = if self.dated {
            strtime::format(&self.pattern, date).map_err(|error| {
                format!("has the pattern {:?}, whose date is none: {error}.", self.pattern)
            })?
        } else {
            self.pattern.clone()
        };
        let glob = GlobBuilder::new(&text)
            .literal_separator(true)
            .build()
            .map_err(|error| format!("has the pattern {text:?}, which is none: {error}."))?;
        let day = (!self.dated).then(|| (date, self.zone.clone()));
        Ok(FilesOf { glob: glob.compile_matcher(), day })
    }
}

/// Tells the files that are for one date.
pub struct FilesOf {
    glob: GlobMatcher,
    day: Option<(Date, TimeZone)>,
}

impl FilesOf {
    /// Whether a file of that path, last written then, is one.
    #[must_use]
    pub fn contains(&self, path: &str, written: Timestamp) -> bool {
        let of_the_day =
            |(date, zone): &(Date, TimeZone)| written.to_zoned(zone.clone()).date() == *date;
        let name = path.rsplit('/').next().unwrap_or(path);
        (self.glob.is_match(path) || self.glob.is_match(name))
            && self.day.as_ref().is_none_or(of_the_day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(changes: serde_json::Value) -> Expectation {
        let mut value = serde_json::json!({"pattern": "orders-*.csv", "due": "06:30"});
        for (name, change) in changes.as_object().expect("an object") {
            value[name] = change.clone();
        }
        serde_json::from_value(value).expect("an expectation")
    }

    fn date(text: &str) -> Date {
        text.parse().expect("a date")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_date_is_that_of_the_zone_and_due_times_know_summer() {
        let berlin = expectation(serde_json::json!({"time_zone": "Europe/Berlin"}));
        let berlin = berlin.calendar().expect("a calendar");
        assert_eq!(berlin.date(at("2026-03-01T23:30:00Z")), date("2026-03-02"));
        for (day, due) in
            [("2026-01-15", "2026-01-15T05:30:00Z"), ("2026-07-15", "2026-07-15T04:30:00Z")]
        {
            assert_eq!(berlin.due(date(day)), Ok(at(due)));
        }
        // On 29 March the clocks skip from 02:00 to 03:00.
        let skipped =
            expectation(serde_json::json!({"time_zone": "Europe/Berlin", "due": "02:30"}));
        let due = skipped.calendar().expect("a calendar").due(date("2026-03-29"));
        assert_eq!(due, Ok(at("2026-03-29T01:30:00Z")));
    }

    #[test]
    fn weekends_and_holidays_are_left_out() {
        let calendar = expectation(serde_json::json!({"holidays": ["2026-12-25"]}));
        let calendar = calendar.calendar().expect("a calendar");
        for (day, expected) in [
            ("2026-12-24", true),
            ("2026-12-25", false),
            ("2026-12-26", false),
            ("2026-12-27", false),
            ("2026-12-28", true),
        ] {
            assert_eq!(calendar.is_expected(date(day)), expected, "{day}");
        }
        assert_eq!(calendar.before(date("2026-12-28")), Some(date("2026-12-24")));
    }

    #[test]
    fn a_file_is_for_the_date_in_its_name_or_else_for_the_day_it_was_written_on() {
        let (day, next) = (date("2026-03-02"), at("2026-03-03T09:00:00Z"));
        let dated = expectation(serde_json::json!({"pattern": "in/orders-%Y%m%d*.csv"}));
        let dated = dated.calendar().expect("a calendar").files_of(day).expect("a pattern");
        assert!(dated.contains("in/orders-20260302-1.csv", next));
        assert!(!dated.contains("in/orders-20260303-1.csv", next));
        let plain = expectation(serde_json::json!({}));
        let plain = plain.calendar().expect("a calendar").files_of(day).expect("a pattern");
        assert!(plain.contains("deep/orders-1.csv", at("2026-03-02T23:59:59Z")));
        assert!(!plain.contains("deep/orders-1.csv", next));
        assert!(!plain.contains("prices.csv", at("2026-03-02T09:00:00Z")));
    }

    #[test]
    fn what_cannot_be_understood_is_told() {
        for (change, word) in [
            (serde_json::json!({"time_zone": "Mars/Olympus"}), "Mars/Olympus"),
            (serde_json::json!({"due": "25:00"}), "25:00"),
            (serde_json::json!({"due": "noon"}), "noon"),
            (serde_json::json!({"holidays": ["25.12.2026"]}), "25.12.2026"),
            (serde_json::json!({"pattern": "orders-[.csv"}), "orders-["),
            (serde_json::json!({"pattern": "orders-%!.csv"}), "%!"),
            (serde_json::json!({"days": []}), "nothing"),
            (serde_json::json!({"files": 0}), "nothing"),
        ] {
            let message = expectation(change).calendar().expect_err("no calendar");
            assert!(message.contains(word), "{message}");
        }
    }
}
