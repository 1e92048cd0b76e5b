//! What a delivered member is called at the target.

use domain::items::{MemberItem, Sealed};
use domain::profile::Target;

/// Suffixes that mark a container, longest first, and are left out of `{file}`.
const ARCHIVE_SUFFIXES: [&str; 13] = [
    ".tar.bz2", ".tar.zst", ".tar.gz", ".tar.xz", ".tbz2", ".tgz", ".txz", ".tar", ".zip", ".bz2",
    ".zst", ".gz", ".xz",
];

/// The member's name at the target, without directory.
pub(crate) fn final_name(target: &Target, item: &MemberItem, sealed: &Sealed) -> String {
    let (file, member) = (stem(&item.file.path), flat(&item.path));
    // `prices.csv.gz` holds `prices.csv`: saying it twice would tell nothing.
    let name = if item.from_archive && file != member {
        target.name.replace("{file}", &file).replace("{member}", &member)
    } else {
        member
    };
    format!("{name}{}", sealed.suffix)
}

/// The name while the file is still being written; tells the run, so that a dead run's leftovers
/// can be told from a living one's.
pub(crate) fn temporary_name(target: &Target, final_name: &str, run: &str) -> String {
    format!("{final_name}.{run}{}", target.temporary_suffix)
}

fn stem(path: &str) -> String {
    let lower = path.to_ascii_lowercase();
    let cut = ARCHIVE_SUFFIXES
        .iter()
        .find(|suffix| lower.ends_with(**suffix) && lower.len() > suffix.len())
        .map_or(0, |suffix| suffix.len());
    flat(path.get(..path.len() - cut).unwrap_or(path))
}

/// One directory holds everything, so a path becomes one name.
fn flat(path: &str) -> String {
    path.replace('/', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_loses_container_suffixes_only() {
        for (path, expected) in [
            ("orders.zip", "orders"),
            ("in/Orders.TAR.GZ", "in_Orders"),
            ("a.csv.gz", "a.csv"),
            ("a.csv", "a.csv"),
            (".zip", ".zip"),
        ] {
            assert_eq!(stem(path), expected);
        }
    }
}
