//! Looking at the source: which files match, and which of them are complete.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::items::FileRef;
use domain::names::readable;
use domain::profile::Source;
use domain::{Failure, Profile, SecretStore};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use sftp::{Entry, Kind, ListOptions, Session};

use crate::links::{self, Judged};

/// What the source holds for us.
pub(crate) struct Seen {
    /// Complete files, in the order of the listing.
    pub(crate) files: Vec<FileRef>,
    /// Files that matched the patterns.
    pub(crate) matched: u64,
    /// Of those, still being written or without their marker.
    pub(crate) unsettled: u64,
    /// Links that matched and were not taken.
    pub(crate) left_alone: u64,
    /// What a person should know: files that were asked for and are not there or not complete,
    /// and links that were left alone.
    pub(crate) warnings: Vec<String>,
}

/// Lists the source, twice where the profile asks for a settling time.
///
/// # Errors
/// `Misconfigured` when the login or the directory is refused; `Transient` from the network.
pub(crate) async fn look(
    profile: &Profile,
    secrets: &dyn SecretStore,
    wanted: Option<&HashSet<String>>,
) -> Result<Seen, Failure> {
    let source = &profile.source;
    let session = sftp::connect_source(source, secrets).await?;
    let seen = look_through(&session, profile, wanted).await;
    session.close().await;
    seen
}

async fn look_through(
    session: &Session,
    profile: &Profile,
    wanted: Option<&HashSet<String>>,
) -> Result<Seen, Failure> {
    let source = &profile.source;
    let first = candidates(session, source, wanted).await?;
    // Of nothing, a second look would tell nothing either; where one is made too many, it costs time.
    let complete = if first.files.is_empty() || source.settle_seconds == 0 {
        first.files.clone()
    } else {
        tokio::time::sleep(Duration::from_secs(source.settle_seconds)).await;
        let second = candidates(session, source, wanted).await?.files;
        let known: HashMap<&str, &Entry> =
            second.iter().map(|entry| (entry.path.as_str(), entry)).collect();
        let same = |entry: &Entry| known.get(entry.path.as_str()).is_some_and(|now| *now == entry);
        first.files.iter().filter(|entry| same(entry)).cloned().collect()
    };
    let mut warnings = first.links.warnings;
    let complete: Vec<FileRef> = marked(session, source, complete)
        .await?
        .into_iter()
        .map(|entry| FileRef::new(&profile.partner, &entry.path, entry.size, entry.mtime))
        .collect();
    warnings.extend(absent(wanted, &complete));
    let matched = first.files.len() as u64;
    Ok(Seen {
        matched,
        unsettled: matched - complete.len() as u64,
        left_alone: first.links.left_alone,
        warnings,
        files: complete,
    })
}

/// A line for every file that the start names and that is not there.
fn absent(wanted: Option<&HashSet<String>>, complete: &[FileRef]) -> Vec<String> {
    let ready: HashSet<_> = complete.iter().map(|file| readable(&file.path)).collect();
    let wanted = wanted.into_iter().flatten().map(|path| readable(path));
    let mut absent: Vec<_> = wanted.filter(|path| !ready.contains(path)).collect();
    absent.sort();
    let line =
        |path| format!("The start names {path:?}, which the source does not have or not complete.");
    absent.into_iter().map(line).collect()
}

/// One look at the source.
struct Candidates {
    /// Regular files, and what followed links lead to.
    files: Vec<Entry>,
    links: Judged,
}

/// What the patterns let through now.
async fn candidates(
    session: &Session,
    source: &Source,
    wanted: Option<&HashSet<String>>,
) -> Result<Candidates, Failure> {
    let found = matching(source, list(session, source).await?, wanted)?;
    let (links, mut files): (Vec<Entry>, Vec<Entry>) =
        found.into_iter().partition(|entry| entry.kind == Kind::Symlink);
    let mut links = links::judge(session, source, links).await?;
    files.append(&mut links.followed);
    Ok(Candidates { files, links })
}

async fn list(session: &Session, source: &Source) -> Result<Vec<Entry>, Failure> {
    let options = ListOptions { recursive: source.recursive, ..ListOptions::default() };
    Ok(session.list(&source.directory, options).await?)
}

/// Regular files and links that the patterns, the marker rule and the start let through.
fn matching(
    source: &Source,
    entries: Vec<Entry>,
    wanted: Option<&HashSet<String>>,
) -> Result<Vec<Entry>, Failure> {
    let include = patterns(&source.include)?;
    let exclude = patterns(&source.exclude)?;
    let is_marker = |path: &str| source.done_file.as_ref().is_some_and(|end| path.ends_with(end));
    let moved = moved_prefix(source);
    let is_ours = |path: &str| moved.as_ref().is_some_and(|prefix| path.starts_with(prefix));
    // A person may name a file as reports show it.
    let is_wanted = |path: &str| {
        wanted.is_none_or(|paths| paths.contains(path) || paths.contains(readable(path).as_ref()))
    };
    Ok(entries
        .into_iter()
        .filter(|entry| {
            let path = entry.path.as_str();
            matches!(entry.kind, Kind::File | Kind::Symlink)
                && matches(&include, path)
                && !matches(&exclude, path)
                && !is_marker(path)
                && !is_ours(path)
                && is_wanted(path)
        })
        .collect())
}

/// Files whose marker stands beside them, when the profile asks for markers.
async fn marked(
    session: &Session,
    source: &Source,
    files: Vec<Entry>,
) -> Result<Vec<Entry>, Failure> {
    let Some(suffix) = &source.done_file else { return Ok(files) };
    if files.is_empty() {
        return Ok(files);
    }
    let markers: HashMap<String, i64> =
        list(session, source).await?.into_iter().map(|entry| (entry.path, entry.mtime)).collect();
    // A marker older than its file speaks of the file before it.
    let vouched = |file: &Entry| {
        let marker = markers.get(&format!("{}{suffix}", file.path));
        marker.is_some_and(|written| *written >= file.mtime)
    };
    Ok(files.into_iter().filter(vouched).collect())
}

/// Where delivered files are moved to, when that lies inside the source directory.
fn moved_prefix(source: &Source) -> Option<String> {
    let to = source.move_to.as_deref()?.trim_end_matches('/');
    let inside = match to.strip_prefix('/') {
        Some(_) => to.strip_prefix(source.directory.trim_end_matches('/'))?.strip_prefix('/')?,
        None => to.trim_start_matches("./"),
    };
    (!inside.is_empty()).then(|| format!("{inside}/"))
}

/// A pattern without a slash is for names in any directory, one with a slash for whole paths.
fn matches(patterns: &GlobSet, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    patterns.is_match(path) || patterns.is_match(name)
}

fn patterns(texts: &[String]) -> Result<GlobSet, Failure> {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        let glob = GlobBuilder::new(text).literal_separator(true).build().map_err(|error| {
            Failure::misconfigured("profile.pattern", format!("{text:?} is no pattern: {error}."))
        })?;
        set.add(glob);
    }
    set.build().map_err(|error| {
        Failure::misconfigured("profile.pattern", format!("The patterns do not fit: {error}."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(changes: serde_json::Value) -> Source {
        let mut source = serde_json::json!({
            "host": "h", "username": "u", "auth": {}, "host_keys": [], "directory": "/out/",
        });
        for (name, change) in changes.as_object().expect("an object") {
            source[name] = change.clone();
        }
        serde_json::from_value(source).expect("a source")
    }

    #[test]
    fn a_start_names_files_as_they_are_or_as_reports_show_them() {
        let raw = domain::names::from_bytes(b"caf\xe9.csv");
        let there = [raw.as_str(), "plain.csv", "other.csv"];
        let entry =
            |path: &str| Entry { path: path.to_owned(), size: 1, mtime: 1, kind: Kind::File };
        let file = |path: &str| FileRef::new("acme", path, 1, 1);
        let source = source(serde_json::json!({}));
        for (wanted, found, lines) in [
            (vec![raw.as_str(), "plain.csv"], vec![raw.as_str(), "plain.csv"], vec![]),
            (vec!["caf%E9.csv"], vec![raw.as_str()], vec![]),
            (vec!["gone.csv", "other.csv", "away.csv"], vec!["other.csv"], vec!["away", "gone"]),
        ] {
            let wanted: HashSet<String> = wanted.into_iter().map(str::to_owned).collect();
            let entries = there.map(entry).to_vec();
            let matched = matching(&source, entries, Some(&wanted)).expect("patterns");
            let matched: Vec<&str> = matched.iter().map(|entry| entry.path.as_str()).collect();
            assert_eq!(matched, found);
            let lines = lines.iter().map(|name| {
                format!(
                    "The start names \"{name}.csv\", which the source does not have or not complete."
                )
            });
            let complete: Vec<FileRef> = matched.into_iter().map(file).collect();
            assert_eq!(absent(Some(&wanted), &complete), lines.collect::<Vec<String>>());
        }
        assert_eq!(matching(&source, there.map(entry).to_vec(), None).expect("patterns").len(), 3);
        assert_eq!(absent(None, &[]), Vec::<String>::new());
    }

    #[test]
    fn what_was_moved_away_after_delivery_is_not_picked_up_again() {
        for (move_to, prefix) in [
            ("done", Some("done/")),
            ("./done/", Some("done/")),
            ("/out/done", Some("done/")),
            ("/outside", None),
            ("/elsewhere", None),
        ] {
            let source = source(serde_json::json!({"move_to": move_to}));
            assert_eq!(moved_prefix(&source).as_deref(), prefix, "{move_to}");
        }
    }

    #[test]
    fn a_pattern_without_a_slash_is_for_names_in_any_directory() {
        let set = patterns(&["*.zip".to_owned(), "in/*.csv".to_owned()]).expect("patterns");
        for path in ["a.zip", "deep/down/a.zip", "in/a.csv"] {
            assert!(matches(&set, path), "{path}");
        }
        for path in ["a.csv", "in/deep/a.csv", "a.zip.tmp"] {
            assert!(!matches(&set, path), "{path}");
        }
    }
}
