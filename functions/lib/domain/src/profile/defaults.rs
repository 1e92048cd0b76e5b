//! The values of a profile's optional fields, in one place.

use super::{Day, Manifest, ManifestFormat, RecordModel, Records, Spark, Unpack};

pub(super) const fn ssh_port() -> u16 {
    22
}

pub(super) fn include() -> Vec<String> {
    vec!["*".to_owned()]
}

pub(super) const fn settle_seconds() -> u64 {
    30
}

/// Nine: what partners' servers commonly allow (OpenSSH's `MaxStartups` begins to refuse at ten).
pub(super) const fn max_connections() -> u32 {
    9
}

/// Four: enough that small files do not wait for each other's round trips.
pub(super) const fn transfers_per_connection() -> u32 {
    4
}

pub(super) const fn report_timeout() -> u64 {
    10
}

pub(super) fn signature_header() -> String {
    "X-Signature".to_owned()
}

pub(super) fn temporary_suffix() -> String {
    ".part".to_owned()
}

pub(super) fn target_name() -> String {
    "{file}_{member}".to_owned()
}

pub(super) fn acknowledgement_name() -> String {
    "{name}.ack".to_owned()
}

/// An hour.
pub(super) const fn acknowledgement_seconds() -> u64 {
    3600
}

pub(super) const fn expected_files() -> u32 {
    1
}

/// Monday to Friday.
pub(super) fn weekdays() -> Vec<Day> {
    vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri]
}

pub(super) fn time_zone() -> String {
    "UTC".to_owned()
}

impl Default for Manifest {
    fn default() -> Self {
        Self { name: "{partner}-{run}.manifest.json".to_owned(), format: ManifestFormat::Json }
    }
}

impl Default for Unpack {
    fn default() -> Self {
        Self {
            max_ratio: 200,
            max_entries: 10_000,
            max_bytes: 1 << 40,
            password: None,
            name_charset: "utf-8".to_owned(),
        }
    }
}

impl Default for Records {
    fn default() -> Self {
        Self {
            model: RecordModel::Lines,
            header_records: 0,
            trailer_records: 0,
            quote: "\"".to_owned(),
            escape: None,
            delimiter: ",".to_owned(),
            record_bytes: None,
            declared: None,
            // What a Lambda has counted when Spark begins: functions/count-large/README.md.
            large_above_bytes: 5 << 30,
        }
    }
}

impl Default for Spark {
    fn default() -> Self {
        Self { executors: 4, cores: 2, memory_gb: 8 }
    }
}
