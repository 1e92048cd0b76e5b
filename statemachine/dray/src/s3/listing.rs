//! Lists keys in byte order straight from the folder, without walking more of it than a page needs.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use s3s::dto::{CommonPrefix, ListObjectsV2Input, ListObjectsV2Output, Object, Timestamp};
use s3s::{S3Result, s3_error};

use super::conditions::etag_of;
use super::folder::{Folder, blocking, broken, is_absence};
use super::place::is_name;

/// The most keys, parts or uploads in one answer.
const PAGE_MAX: i32 = 1_000;
/// Folders with fewer files are read anew for every page.
const SNAPSHOT_MIN: usize = 2_000;
/// A folder that changed this shortly before it was read may change again under the same time
/// stamp, so what was read is not kept.
const CLOCK_DOUBT: Duration = Duration::from_millis(200);
const KEY_MARK: char = 'k';
const PREFIX_MARK: char = 'p';

/// The sorted contents of the last large folder that was listed.
///
/// Without it every page of a folder with 100,000 files would read and sort all of them.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    last: Mutex<Option<Snapshot>>,
}

#[derive(Clone, Debug)]
struct Snapshot {
    folder: PathBuf,
    modified: SystemTime,
    children: Arc<Vec<String>>,
}

/// Where a listing goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Cursor {
    /// At the beginning.
    #[default]
    Start,
    /// Behind this key.
    Key(String),
    /// Behind every key that begins like this.
    Prefix(String),
}

impl Cursor {
    /// The cursor as a token without meaning to the client.
    fn token(&self) -> Option<String> {
        match self {
            Self::Start => None,
            Self::Key(key) => Some(hex::encode(format!("{KEY_MARK}{key}"))),
            Self::Prefix(prefix) => Some(hex::encode(format!("{PREFIX_MARK}{prefix}"))),
        }
    }

    /// Reads a token back; `None` when it is not one of ours.
    fn from_token(token: &str) -> Option<Self> {
        let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
        match text.strip_prefix(KEY_MARK) {
            Some(key) => Some(Self::Key(key.to_owned())),
            None => Some(Self::Prefix(text.strip_prefix(PREFIX_MARK)?.to_owned())),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Start => "",
            Self::Key(text) | Self::Prefix(text) => text,
        }
    }
}

/// What to list.
#[derive(Clone, Debug, Default)]
struct Query {
    prefix: String,
    delimiter: Option<String>,
    after: Cursor,
    max: usize,
}

/// One page of a listing.
#[derive(Debug, Default)]
struct Page {
    objects: Vec<(String, Metadata)>,
    prefixes: Vec<String>,
    /// Where the next page begins, if there is one.
    next: Option<Cursor>,
}

/// How many entries a page has that was asked for like this.
pub(super) fn page_size(asked: Option<i32>) -> usize {
    usize::try_from(asked.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX)).unwrap_or(0)
}

/// A number as S3 sends it.
pub(super) fn count(number: usize) -> Option<i32> {
    i32::try_from(number).ok()
}

/// Answers one request for a page of keys.
pub(super) async fn objects(
    folder: &Folder,
    input: ListObjectsV2Input,
) -> S3Result<ListObjectsV2Output> {
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => Cursor::from_token(token)
            .ok_or_else(|| s3_error!(InvalidArgument, "this is no token of this server"))?,
        (None, Some(key)) => Cursor::Key(key.clone()),
        (None, None) => Cursor::Start,
    };
    let query = Query {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        after,
        max: page_size(input.max_keys),
    };
    let bucket = folder.bucket(&input.bucket)?;
    let snapshots = Arc::clone(&folder.snapshots);
    let page = blocking(move || list(&snapshots, &bucket, &query).map_err(broken)).await?;
    let contents = page.objects.into_iter().map(|(key, metadata)| Object {
        key: Some(key),
        size: i64::try_from(metadata.len()).ok(),
        e_tag: Some(etag_of(&metadata)),
        last_modified: metadata.modified().ok().map(Timestamp::from),
        ..Default::default()
    });
    let contents: Vec<_> = contents.collect();
    let prefixes = page.prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) });
    let prefixes: Vec<_> = prefixes.collect();
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: input.prefix,
        delimiter: input.delimiter,
        start_after: input.start_after,
        continuation_token: input.continuation_token,
        max_keys: Some(input.max_keys.unwrap_or(PAGE_MAX)),
        key_count: count(contents.len() + prefixes.len()),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_ref().and_then(Cursor::token),
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        ..Default::default()
    })
}

/// Lists one page of the bucket in `bucket`.
fn list(snapshots: &Snapshots, bucket: &Path, query: &Query) -> io::Result<Page> {
    let mut page = Page::default();
    if query.max == 0 {
        return Ok(page);
    }
    let start = query.prefix.rfind('/').map_or("", |slash| query.prefix.split_at(slash + 1).0);
    let mut folder = bucket.to_path_buf();
    for segment in start.split_terminator('/') {
        if !is_name(segment) {
            return Ok(page);
        }
        folder.push(segment);
    }
    let mut walk = Walk { snapshots, query, page: &mut page, last: Cursor::Start };
    walk.folder(&folder, start)?;
    Ok(page)
}

struct Walk<'a> {
    snapshots: &'a Snapshots,
    query: &'a Query,
    page: &'a mut Page,
    /// The last entry of the page, where the next one would go on.
    last: Cursor,
}

impl Walk<'_> {
    /// Visits a folder whose keys begin with `at`; false once the page is full.
    fn folder(&mut self, folder: &Path, at: &str) -> io::Result<bool> {
        let children = self.snapshots.children(folder)?;
        let first = self.first_child(&children, at);
        for child in children.iter().skip(first) {
            let key = format!("{at}{child}");
            if key > self.query.prefix
                && !key.starts_with(&self.query.prefix)
                && !self.query.prefix.starts_with(&key)
            {
                break;
            }
            let goes_on = match child.strip_suffix('/') {
                Some(name) if self.may_hold(&key) => self.folder(&folder.join(name), &key)?,
                None if self.wants(&key) => self.take(key, &folder.join(child))?,
                _ => true,
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Skips, by halving, the children that come before the prefix and the cursor.
    ///
    /// The one right before the place found may be a folder with what is looked for inside.
    fn first_child(&self, children: &[String], at: &str) -> usize {
        let place = |wanted: &str| match wanted.strip_prefix(at) {
            Some(rest) => children.partition_point(|child| child.as_str() <= rest),
            None => 0,
        };
        place(&self.query.prefix).max(place(self.query.after.text())).saturating_sub(1)
    }

    /// Whether a folder, named with its slash, may hold a key that is wanted.
    fn may_hold(&self, folder: &str) -> bool {
        let prefix = &self.query.prefix;
        (folder.starts_with(prefix) || prefix.starts_with(folder))
            && is_behind(&self.query.after, folder, true)
            && !self.is_covered(folder)
    }

    fn wants(&self, key: &str) -> bool {
        key.starts_with(&self.query.prefix)
            && is_behind(&self.query.after, key, false)
            && !self.is_covered(key)
    }

    /// Whether the page has a common prefix that stands for this key already.
    fn is_covered(&self, key: &str) -> bool {
        matches!(&self.last, Cursor::Prefix(prefix) if key.starts_with(prefix))
    }

    /// Puts a key, or the common prefix that stands for it, on the page; false once it is full.
    fn take(&mut self, key: String, path: &Path) -> io::Result<bool> {
        if self.page.objects.len() + self.page.prefixes.len() == self.query.max {
            self.page.next = Some(self.last.clone());
            return Ok(false);
        }
        if let Some(prefix) = self.common_prefix(&key) {
            self.page.prefixes.push(prefix.clone());
            self.last = Cursor::Prefix(prefix);
            return Ok(true);
        }
        match fs::metadata(path) {
            Ok(metadata) => {
                self.last = Cursor::Key(key.clone());
                self.page.objects.push((key, metadata));
            }
            // Deleted since the folder was read.
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn common_prefix(&self, key: &str) -> Option<String> {
        let delimiter = self.query.delimiter.as_deref().filter(|text| !text.is_empty())?;
        let rest = key.strip_prefix(self.query.prefix.as_str())?;
        let (head, _) = rest.split_once(delimiter)?;
        Some(format!("{}{head}{delimiter}", self.query.prefix))
    }
}

fn is_behind(cursor: &Cursor, key: &str, is_folder: bool) -> bool {
    match cursor {
        Cursor::Start => true,
        Cursor::Key(after) => key > after.as_str() || (is_folder && after.starts_with(key)),
        Cursor::Prefix(done) if key.starts_with(done.as_str()) => false,
        Cursor::Prefix(done) => key > done.as_str() || (is_folder && done.starts_with(key)),
    }
}

impl Snapshots {
    /// The names in a folder, those of folders with a slash, in the byte order of whole keys:
    /// `a-b` comes before all of `a/…`, which comes before `a0`.
    fn children(&self, folder: &Path) -> io::Result<Arc<Vec<String>>> {
        let before = SystemTime::now();
        let modified = match fs::metadata(folder).and_then(|metadata| metadata.modified()) {
            Ok(modified) => modified,
            Err(error) if is_absence(&error) => return Ok(Arc::default()),
            Err(error) => return Err(error),
        };
        {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = last.as_ref()
                && known.folder == folder
                && known.modified == modified
            {
                return Ok(Arc::clone(&known.children));
            }
        }
        let children = Arc::new(read_names(folder)?);
        let settled = before.duration_since(modified).is_ok_and(|age| age > CLOCK_DOUBT);
        if children.len() >= SNAPSHOT_MIN && settled {
            let snapshot = Snapshot {
                folder: folder.to_path_buf(),
                modified,
                children: Arc::clone(&children),
            };
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        }
        Ok(children)
    }
}

fn read_names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A name that is not UTF-8 cannot have come from a key.
        let Ok(mut name) = entry.file_name().into_string() else {
            continue;
        };
        if entry.file_type()?.is_dir() {
            name.push('/');
        }
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists page by page and returns keys and common prefixes as they came, prefixes marked.
    fn all(bucket: &Path, prefix: &str, delimiter: Option<&str>, max: usize) -> Vec<String> {
        let snapshots = Snapshots::default();
        let mut query = Query {
            prefix: prefix.to_owned(),
            delimiter: delimiter.map(str::to_owned),
            after: Cursor::Start,
            max,
        };
        let mut found = Vec::new();
        loop {
            let page = list(&snapshots, bucket, &query).unwrap();
            assert!(page.objects.len() + page.prefixes.len() <= max);
            let mut names: Vec<_> = page.objects.into_iter().map(|(key, _)| key).collect();
            names.extend(page.prefixes.into_iter().map(|prefix| format!("{prefix}*")));
            names.sort();
            found.extend(names);
            match page.next {
                Some(next) => query.after = Cursor::from_token(&next.token().unwrap()).unwrap(),
                None => return found,
            }
        }
    }

    #[test]
    fn pages_of_any_size_list_the_same_keys_in_byte_order() {
        let bucket = tempfile::tempdir().unwrap();
        let mut keys: Vec<String> = ["a/b", "a-b", "a0", "a/b.c", "a/c/d/e", "a/c/d.e", "b", "é/ü"]
            .into_iter()
            .map(str::to_owned)
            .collect();
        for key in &keys {
            let path = bucket.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        fs::create_dir_all(bucket.path().join("a/empty/er")).unwrap();
        keys.sort();
        for prefix in ["", "a", "a/", "a/c", "a/c/d", "a/c/d/", "a-", "x", "../", "a//", "a/e"] {
            let wanted: Vec<_> =
                keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
            for max in 1..=9 {
                assert_eq!(all(bucket.path(), prefix, None, max), wanted, "{prefix:?} by {max}");
            }
        }
        for max in 1..=5 {
            let found = all(bucket.path(), "a", Some("/"), max);
            assert_eq!(found, ["a-b", "a/*", "a0"], "by {max}");
            let found = all(bucket.path(), "a/", Some("/"), max);
            assert_eq!(found, ["a/b", "a/b.c", "a/c/*"], "by {max}");
        }
        assert_eq!(
            all(bucket.path(), "", Some("-"), 2),
            ["a-*", "a/b", "a/b.c", "a/c/d.e", "a/c/d/e", "a0", "b", "é/ü"]
        );
    }
}
