//! What a delivered member is called at the target.

use domain::items::{MemberItem, Sealed};
use domain::names::readable;
use domain::profile::Target;

/// Suffixes that mark a container, longest first, and are left out of `{file}`.
const ARCHIVE_SUFFIXES: [&str; 13] = [
    ".tar.bz2", ".tar.zst", ".tar.gz", ".tar.xz", ".tbz2", ".tgz", ".txz", ".tar", ".zip", ".bz2",
    ".zst", ".gz", ".xz",
];

/// The member's name at the target, without directory.
pub(crate) fn final_name(target: &Target, item: &MemberItem, sealed: &Sealed) -> String {
    let (file, member) = (stem(&readable(&item.file.path)), flat(&readable(&item.path)));
    // `prices.csv.gz` holds `prices.csv`: saying it twice would tell nothing.
    let name = if item.from_archive && file != member {
        // Cut at the placeholders, so that a name that looks like one is not taken for one.
        let parts = target.name.split("{member}").map(|part| part.split("{file}"));
        let parts = parts.map(|part| part.collect::<Vec<_>>().join(&file));
        parts.collect::<Vec<_>>().join(&member)
    } else {
        member
    };
    format!("{}{}", fitting(&name, item.name.id(), NAME_BYTES - SUFFIX_BYTES), sealed.suffix)
}

/// The name, or if it has more than `bytes` its beginning, a mark that no other member has, and its
/// extension.
fn fitting(name: &str, id: &str, bytes: usize) -> String {
    if name.len() <= bytes {
        return name.to_owned();
    }
    let extension = name.rfind('.').and_then(|dot| name.get(dot..));
    let extension = extension.filter(|found| found.len() <= EXTENSION_BYTES).unwrap_or_default();
    let mark = format!("~{}{extension}", id.get(..8).unwrap_or(id));
    let mut room = bytes.saturating_sub(mark.len()).min(name.len());
    while !name.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{mark}", name.get(..room).unwrap_or_default())
}

/// The name with a number before its extension: `orders-2.csv.pgp`.
pub(crate) fn numbered(name: &str, suffix: &str, number: u32) -> String {
    let bare = name.strip_suffix(suffix).unwrap_or(name);
    let cut = bare.rfind('.').filter(|cut| *cut > 0).unwrap_or(bare.len());
    let (stem, extension) = bare.split_at(cut);
    let suffix = name.get(bare.len()..).unwrap_or_default();
    format!("{stem}-{number}{extension}{suffix}")
}

/// Longest file name, in bytes, that file systems commonly take.
pub(crate) const NAME_BYTES: usize = 255;
/// Of those, what is kept for a seal's suffix.
const SUFFIX_BYTES: usize = 4;
/// Longest extension that a name keeps when it is cut.
const EXTENSION_BYTES: usize = 16;

/// The name while the file is still being written. It tells the run, so that a dead run's leftovers
/// can be told from a living one's, and the claim, so that an attempt that was given up and wakes
/// again never writes into its successor's file.
pub(crate) fn temporary_name(suffix: &str, final_name: &str, run: &str, nonce: &str) -> String {
    let nonce = nonce.get(..8).unwrap_or(nonce);
    let tail = format!(".{run}.{nonce}{suffix}");
    let mut room = NAME_BYTES.saturating_sub(tail.len()).min(final_name.len());
    while !final_name.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{tail}", final_name.get(..room).unwrap_or_default())
}

fn stem(path: &str) -> String {
    let lower = path.to_ascii_lowercase();
    let cut = ARCHIVE_SUFFIXES
        .iter()
        .find(|suffix| lower.ends_with(**suffix) && lower.len() > suffix.len())
        .map_or(0, |suffix| suffix.len());
    flat(path.get(..path.len() - cut).unwrap_or(path))
}

/// One directory holds everything, so a path becomes one name; and a target may read a backslash as
/// a path, or stumble over a control character.
fn flat(path: &str) -> String {
    path.chars().map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_is_never_too_long_and_never_shared() {
        let long = "ä".repeat(127);
        let name = temporary_name(".part", &long, "run-1", "0123456789");
        assert!(name.len() <= NAME_BYTES && name.ends_with(".run-1.01234567.part"), "{name}");
        assert_ne!(name, temporary_name(".part", &long, "run-1", "1123456789"));
    }

    #[test]
    fn a_number_comes_before_the_extension() {
        for (name, expected) in [
            ("orders.csv.pgp", "orders-2.csv.pgp"),
            ("2026.11.23.csv.pgp", "2026.11.23-2.csv.pgp"),
            ("orders.pgp", "orders-2.pgp"),
            (".orders.pgp", ".orders-2.pgp"),
        ] {
            assert_eq!(numbered(name, ".pgp", 2), expected);
        }
    }

    #[test]
    fn a_name_that_is_too_long_keeps_its_ends_and_has_a_mark_of_its_own() {
        let name = format!("{}.csv", "ä".repeat(126));
        assert_eq!(fitting(&name, "0123456789", 256), name);
        let cut = fitting(&name, "0123456789", 251);
        assert_eq!(cut, format!("{}~01234567.csv", "ä".repeat(119)));
        // Never in the middle of a character.
        assert_eq!(fitting(&name, "0123456789", 250), format!("{}~01234567.csv", "ä".repeat(118)));
        let other = fitting(&name, "1123456789", 251);
        assert_ne!(cut, other);
        let bare = fitting(&format!("a.{}", "b".repeat(300)), "0123456789", 251);
        assert!(bare.ends_with("b~01234567") && bare.len() == 251, "{bare}");
    }

    #[test]
    fn a_name_is_one_name() {
        assert_eq!(flat("..\\..\\x\n/y.csv"), ".._.._x__y.csv");
    }

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
