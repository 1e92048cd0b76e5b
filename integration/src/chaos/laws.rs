//! What must hold whatever happened, read from target, source, bucket and API and from nobody's
//! summary of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use domain::events::{Summary, Verdict};
use domain::items::{Failed, FileItem, Lease, LedgerRow};
use domain::keys::Inbox;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::plan::After;
use crate::{Member, Sample, Told, World};

/// How the names of manifests end.
const MANIFEST: &str = ".manifest.json";
/// Where moved files go, below the source.
pub(super) const DONE: &str = "done";

/// A file at the source, and when it was last modified.
struct Laid {
    sample: Sample,
    modified: SystemTime,
}

/// A file at the target: any other one of its name has another mark.
type Mark = (u64, u64, i64, i64);

/// What was laid and what was seen so far.
pub(super) struct Laws {
    after: After,
    manifest: bool,
    laid: Vec<Laid>,
    arrived: BTreeMap<String, Mark>,
    pub(super) broken: Vec<String>,
}

/// Requests that the API got during a run in which nothing else befell the stage that reports.
pub(super) struct Asked<'a> {
    pub(super) requests: &'a [Told],
    /// How many of its answers were lost on the way.
    pub(super) lost: u32,
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn sealed_name(member: &Member) -> String {
    format!("{}.pgp", member.delivered_as)
}

impl Laws {
    pub(super) fn new(after: After, manifest: bool) -> Self {
        Self { after, manifest, laid: Vec::new(), arrived: BTreeMap::new(), broken: Vec::new() }
    }

    /// Lays a file into the source.
    pub(super) fn lay(&mut self, world: &World, sample: Sample) {
        world.put(&sample.name, &sample.bytes);
        let path = world.source.folder.join(&sample.name);
        let modified = fs::metadata(path).and_then(|file| file.modified()).expect("its time");
        self.laid.push(Laid { sample, modified });
    }

    fn members(&self) -> impl Iterator<Item = (&Sample, &Member)> {
        let samples = self.laid.iter().map(|laid| &laid.sample);
        samples.flat_map(|sample| sample.members.iter().map(move |member| (sample, member)))
    }

    fn complain(&mut self, found: impl IntoIterator<Item = String>) {
        for one in found {
            if !self.broken.contains(&one) {
                self.broken.push(one);
            }
        }
    }

    /// What must hold at any moment between two runs, however the last one ended.
    pub(super) fn between(&mut self, world: &World, when: &str) {
        let known: BTreeSet<String> =
            self.members().map(|(_, member)| sealed_name(member)).collect();
        let mut found = Vec::new();
        let mut there = BTreeMap::new();
        for path in world.target.paths() {
            let name = name_of(&path);
            let Ok(file) = fs::metadata(&path) else { continue };
            let temporary = name.ends_with(".part")
                && (known.iter().any(|known| name.starts_with(&format!("{known}.")))
                    || self.is_manifest(name.split_inclusive(MANIFEST).next().unwrap_or_default()));
            if known.contains(&name) || self.is_manifest(&name) {
                there.insert(name, (file.ino(), file.len(), file.mtime(), file.mtime_nsec()));
            } else if !temporary {
                found.push(format!("{when}: nobody knows {name} at the target"));
            }
        }
        for (name, mark) in &self.arrived {
            if there.get(name) != Some(mark) {
                found.push(format!("{when}: {name} had its name at the target and was sent again"));
            }
        }
        found.extend(self.touched_too_early(world, &there, when));
        self.arrived = there;
        self.complain(found);
    }

    /// A source file is only touched when each of its members has arrived.
    fn touched_too_early(
        &self,
        world: &World,
        there: &BTreeMap<String, Mark>,
        when: &str,
    ) -> Vec<String> {
        let gone =
            self.laid.iter().filter(|laid| !world.source.folder.join(&laid.sample.name).exists());
        let early = gone.filter(|laid| {
            let arrived = |member| there.contains_key(&sealed_name(member));
            self.after == After::Keep || !laid.sample.members.iter().all(arrived)
        });
        early
            .map(|laid| format!("{when}: {} was touched before it was delivered", laid.sample.name))
            .collect()
    }

    /// What must hold in the end, when a run has found nothing to do.
    pub(super) fn at_rest(&mut self, world: &World) {
        let found = [
            self.target(world),
            self.manifests(world),
            self.source(world),
            self.reports(world),
            self.ledger(world),
            leftovers(world),
            runs(world),
        ];
        self.complain(found.concat());
    }

    /// Exactly one copy of every member, with the right plaintext, and nothing else.
    fn target(&self, world: &World) -> Vec<String> {
        let wanted: BTreeMap<String, String> = self
            .members()
            .map(|(_, member)| (member.delivered_as.clone(), sha256(&member.bytes)))
            .collect();
        let mut sealed = world.target.paths();
        sealed.retain(|path| !self.is_manifest(&name_of(path)));
        let names: BTreeSet<String> = sealed.iter().map(|path| name_of(path)).collect();
        let known: BTreeSet<String> = wanted.keys().map(|name| format!("{name}.pgp")).collect();
        let mut found: Vec<String> = Vec::new();
        found.extend(known.difference(&names).map(|name| format!("{name} is not at the target")));
        found.extend(names.difference(&known).map(|name| format!("{name} is left at the target")));
        let opened = catch_unwind(AssertUnwindSafe(|| world.open(&sealed)));
        let Ok(opened) = opened else {
            found.push("something at the target does not open".to_owned());
            return found;
        };
        for (name, bytes) in opened {
            if wanted.get(&name).is_some_and(|hash| *hash != sha256(&bytes)) {
                found.push(format!("{name} has other contents than it had at the source"));
            }
        }
        found
    }

    fn is_manifest(&self, name: &str) -> bool {
        self.manifest && name.starts_with("acme-") && name.ends_with(MANIFEST)
    }

    /// What a manifest lists lies there, and every delivery is in one.
    fn manifests(&self, world: &World) -> Vec<String> {
        let (mut found, mut listed) = (Vec::new(), BTreeSet::new());
        let paths = world.target.paths();
        for path in paths.iter().filter(|path| self.is_manifest(&name_of(path))) {
            let manifest: serde_json::Value = read(path, &mut found).unwrap_or_default();
            for row in manifest["files"].as_array().into_iter().flatten() {
                let name = row["name"].as_str().unwrap_or_default();
                let there = fs::read(world.target.folder.join(name)).map(|it| sha256(&it)).ok();
                if there.is_none() || there.as_deref() != row["sha256"].as_str() {
                    found
                        .push(format!("{} says {row}, of which {there:?} is there", name_of(path)));
                }
                listed.insert(name.to_owned());
            }
        }
        let all = self.members().map(|(_, member)| sealed_name(member));
        let missing = all.filter(|name| self.manifest && !listed.contains(name));
        found.extend(missing.map(|name| format!("{name} is in no manifest")));
        found
    }

    /// Delivered files are where the profile wants them.
    fn source(&self, world: &World) -> Vec<String> {
        let folder = &world.source.folder;
        let same = |path: PathBuf, laid: &Laid| {
            let modified = fs::metadata(&path).and_then(|file| file.modified()).ok();
            modified == Some(laid.modified)
                && fs::read(&path).ok() == Some(laid.sample.bytes.clone())
        };
        let mut found = Vec::new();
        for laid in &self.laid {
            let name = &laid.sample.name;
            let in_place = folder.join(name).exists();
            let right = match self.after {
                After::Keep => same(folder.join(name), laid),
                After::Move => !in_place && same(folder.join(DONE).join(name), laid),
                After::Delete => !in_place && !folder.join(DONE).join(name).exists(),
            };
            if !right {
                let where_it_is = if in_place { "in its place" } else { "gone" };
                found
                    .push(format!("{name} is {where_it_is} at the source, after {:?}", self.after));
            }
        }
        found
    }

    /// The API has each member once: one key, one body, taken.
    fn reports(&self, world: &World) -> Vec<String> {
        let mut told: BTreeMap<(String, String), Vec<Told>> = BTreeMap::new();
        for request in world.api.requests() {
            let field = |name: &str| request.body[name].as_str().unwrap_or_default().to_owned();
            told.entry((field("file"), field("member"))).or_default().push(request);
        }
        let mut found = Vec::new();
        for (sample, member) in self.members() {
            let what = format!("{} in {}", member.path, sample.name);
            let Some(requests) = told.remove(&(sample.name.clone(), member.path.clone())) else {
                found.push(format!("{what} was never reported"));
                continue;
            };
            let keys: BTreeSet<_> =
                requests.iter().map(|request| request.headers.get("idempotency-key")).collect();
            let bodies: BTreeSet<_> = requests.iter().map(|request| &request.text).collect();
            let taken = requests.iter().any(|request| request.status == Some(201));
            if keys.len() != 1 || keys.contains(&None) || bodies.len() != 1 || !taken {
                found.push(format!(
                    "{what} was reported with keys {keys:?} and {} bodies, taken: {taken}",
                    bodies.len()
                ));
            }
            let body = &requests[0].body;
            let numbers = (body["sha256"].as_str(), body["records"].as_u64());
            if numbers != (Some(&sha256(&member.bytes)), Some(member.records)) {
                found.push(format!("{what} was reported with {numbers:?}"));
            }
        }
        found.extend(told.into_keys().map(|what| format!("{what:?} was reported and is unknown")));
        found
    }

    /// The ledger has a row for every member and every file, each closed once.
    fn ledger(&self, world: &World) -> Vec<String> {
        let ledger = bucket(world).join("ledger/acme");
        let mut found = Vec::new();
        let mut rows = Vec::new();
        for path in files(&ledger.join("members")) {
            let Some(row) = read::<LedgerRow>(&path, &mut found) else { continue };
            match row.delivered {
                Some(receipt) if row.history.is_empty() => rows.push(receipt.remote_path),
                _ => found.push(format!("{} is open, or was closed twice", path.display())),
            }
        }
        let names: BTreeSet<&str> =
            rows.iter().map(|path| path.rsplit('/').next().unwrap_or_default()).collect();
        let wanted: Vec<String> = self.members().map(|(_, member)| sealed_name(member)).collect();
        if names != wanted.iter().map(String::as_str).collect() || rows.len() != wanted.len() {
            found.push(format!("the ledger has {rows:?}"));
        }
        let whole = files(&ledger.join("files")).len();
        // A file that is gone from the source needs no row, and may have gone before it got one.
        if whole > self.laid.len() || (self.after == After::Keep && whole < self.laid.len()) {
            found.push(format!("the ledger has {whole} whole files of {}", self.laid.len()));
        }
        found
    }

    /// A member that the API has taken is not reported again in the same run.
    pub(super) fn asked_once(&mut self, asked: &Asked<'_>, when: &str) {
        let mut taken: BTreeMap<&str, u32> = BTreeMap::new();
        for request in asked.requests.iter().filter(|request| request.status == Some(201)) {
            let key = request.headers.get("idempotency-key").map_or("", String::as_str);
            *taken.entry(key).or_default() += 1;
        }
        let again: u32 = taken.values().map(|times| times - 1).sum();
        if again > asked.lost {
            self.complain([format!(
                "{when}: {again} reports were repeated though the API had taken them, and {} \
                 answers were lost",
                asked.lost
            )]);
        }
    }
}

fn bucket(world: &World) -> PathBuf {
    world.state.join("s3/drayage")
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let (folders, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

fn read<T: DeserializeOwned>(path: &Path, found: &mut Vec<String>) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    let read = serde_json::from_slice(&bytes);
    read.map_err(|error| found.push(format!("{}: {error}", path.display()))).ok()
}

/// Nobody holds the lease, and no upload to the bucket is unfinished.
fn leftovers(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    let lease = bucket(world).join("leases/acme.json");
    match read::<Lease>(&lease, &mut found) {
        Some(lease) if lease.released_at.is_some() => {}
        Some(lease) => found.push(format!("run {} still holds the lease", lease.run)),
        None => found.push("there is no lease".to_owned()),
    }
    let uploads = fs::read_dir(world.state.join("s3/.uploads")).into_iter().flatten().flatten();
    // Without one, it is what a process that was killed had begun to make.
    let targets = uploads.map(|upload| upload.path().join("target.json"));
    let open: Vec<String> = targets.filter_map(|target| fs::read_to_string(target).ok()).collect();
    if !open.is_empty() {
        found.push(format!("multipart uploads are open: {open:?}"));
    }
    found
}

/// Conservation, in every run that came to its end: what it discovered is committed, failed with a
/// reason or skipped; members of what is committed are delivered or failed.
fn runs(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for run in fs::read_dir(bucket(world).join("runs/acme")).into_iter().flatten().flatten() {
        let folder = run.path();
        if folder.join("summary.json").is_file() {
            found.extend(one_run(&folder));
        }
    }
    found
}

fn one_run(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let run = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let inbox = |inbox: Inbox| files(&folder.join(inbox.folder()));
    let names = |of: Inbox| -> BTreeSet<String> {
        let stems = inbox(of);
        stems.iter().filter_map(|p| Some(p.file_stem()?.to_string_lossy().into_owned())).collect()
    };
    let (failed, skipped, delivered) =
        (names(Inbox::Failed), names(Inbox::Skipped), names(Inbox::Delivered));
    let mut open = names(Inbox::Discovered);
    for path in inbox(Inbox::Failed) {
        let one: Option<Failed> = read(&path, &mut found);
        if one.is_some_and(|one| one.failure.code.is_empty() || one.failure.message.is_empty()) {
            found.push(format!("{run}: {} failed without a reason", path.display()));
        }
    }
    open.retain(|name| !failed.contains(name) && !skipped.contains(name));
    for path in inbox(Inbox::Expanded) {
        let Some(file) = read::<FileItem>(&path, &mut found) else { continue };
        if !open.remove(file.file.name.as_str()) {
            continue;
        }
        let members = file.expanded.map(|expanded| expanded.members).unwrap_or_default();
        let members = members.iter().map(|name| name.as_str().to_owned());
        open.extend(members.filter(|name| !failed.contains(name) && !delivered.contains(name)));
    }
    // Where not even giving up was possible, the summary says so, loudly.
    let summary: Option<Summary> = read(&folder.join("summary.json"), &mut found);
    let said = summary.filter(|summary| summary.verdict == Verdict::Unaccounted);
    let said: BTreeSet<String> = said.into_iter().flat_map(|summary| summary.unaccounted).collect();
    if open != said {
        found.push(format!("{run}: {open:?} ended nowhere, and the summary says {said:?}"));
    }
    found
}

/// A run that delivered all leaves no content behind.
pub(super) fn content_left(world: &World, run: &str) -> Option<String> {
    let left = files(&bucket(world).join("data/acme").join(run)).len();
    (left > 0).then(|| format!("{run} delivered all and left {left} objects of content"))
}
