//! Waiting for the partner's word that a delivery arrived: a file at the target.
//!
//! The run is closed and its lease given back before anybody waits; the machine calls Finish again
//! until the acknowledgement is there or its time is over.

use domain::heard::{Acknowledged, Acknowledgement, DeliveredManifest};
use domain::items::Receipt;
use domain::{ErrorClass, Failure, Profile, SecretStore, profile};
use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sftp::Session;
use storage::Condition;
use storage::runs::Run;

use crate::manifest;

/// Looks at the target during the partner's time, at most: a state machine's history has an end.
const LOOKS: u64 = 120;
/// Seconds between two looks, at least.
const LEAST_WAIT: u64 = 5;
/// Files that are asked for at once.
const ASKED_AT_ONCE: usize = 16;

/// What the run waits for.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Awaited {
    deadline: Timestamp,
    wait_seconds: u64,
    files: Vec<File>,
    complete_at: Option<Timestamp>,
    /// Why the target could not be looked at, the last time.
    trouble: Option<String>,
}

/// One acknowledgement.
#[derive(Clone, Serialize, Deserialize)]
struct File {
    path: String,
    /// One that is older speaks of an earlier delivery. By the target's own clock.
    not_before_seconds: Option<i64>,
    seen: bool,
}

impl Awaited {
    /// What has to come after these deliveries; `None` where the profile asks for nothing.
    pub(crate) fn of(
        run: &Run,
        profile: &Profile,
        receipts: &[Receipt],
        delivered: Option<&DeliveredManifest>,
    ) -> Option<Self> {
        let wanted = profile.target.acknowledgement.as_ref().filter(|_| !receipts.is_empty())?;
        let within = i64::try_from(wanted.within_seconds).ok()?;
        let deadline = Timestamp::now().checked_add(SignedDuration::from_secs(within)).ok()?;
        Some(Self {
            deadline,
            wait_seconds: between_looks(wanted.within_seconds),
            files: files(run, &profile.target, wanted, receipts, delivered),
            complete_at: None,
            trouble: None,
        })
    }

    /// What an earlier invocation of the run waits for.
    pub(crate) async fn kept(run: &Run) -> Result<Option<Self>, Failure> {
        let found = run.store().get(&run.keys().acknowledgements()).await?;
        Ok(found.map(|found| found.value))
    }

    pub(crate) async fn keep(&self, run: &Run) -> Result<(), Failure> {
        let key = run.keys().acknowledgements();
        drop(run.store().put(&key, self, Condition::Any).await?);
        Ok(())
    }

    /// Looks once. A target that is in trouble is looked at again later; one that must be mended
    /// first is not.
    pub(crate) async fn look(
        &mut self,
        run: &Run,
        secrets: &dyn SecretStore,
    ) -> Result<(), Failure> {
        if self.files.iter().all(|file| file.seen) {
            return Ok(());
        }
        let target = run.profile().await?.target;
        let looked = match sftp::connect_target(&target, secrets).await {
            Ok(session) => {
                let looked = self.look_through(&session).await;
                session.close().await;
                looked
            }
            Err(failure) => Err(failure),
        };
        self.trouble = looked.as_ref().err().map(|failure| failure.message.clone());
        match looked {
            Err(failure) if failure.class == ErrorClass::Misconfigured => {
                self.deadline = self.deadline.min(Timestamp::now());
            }
            Err(failure) => tracing::warn!(%failure, "acknowledgements could not be looked for"),
            Ok(()) if self.files.iter().all(|file| file.seen) => {
                self.complete_at = Some(Timestamp::now());
            }
            Ok(()) => {}
        }
        self.keep(run).await
    }

    async fn look_through(&mut self, session: &Session) -> Result<(), Failure> {
        let open = self.files.iter_mut().filter(|file| !file.seen);
        let looks = open.map(|file| async move {
            let found = session.stat(&file.path).await?;
            file.seen = found
                .is_some_and(|found| file.not_before_seconds.is_none_or(|at| found.mtime >= at));
            Ok::<_, sftp::Error>(())
        });
        let looks: Vec<_> = looks.collect();
        futures::stream::iter(looks)
            .buffer_unordered(ASKED_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    /// How it stands, for the summary.
    pub(crate) fn state(&self, now: Timestamp) -> Acknowledged {
        let open = self.files.iter().filter(|file| !file.seen);
        let missing: Vec<String> = open.map(|file| file.path.clone()).collect();
        let state = match missing.is_empty() {
            true => Acknowledgement::Received,
            false if self.deadline > now => Acknowledgement::Pending,
            false => Acknowledgement::Missing,
        };
        Acknowledged {
            state,
            deadline: self.deadline,
            wanted: self.files.len() as u64,
            missing,
            complete_at: self.complete_at,
        }
    }

    /// Seconds until the next look.
    pub(crate) fn wait_seconds(&self, now: Timestamp) -> u64 {
        let left = self.deadline.duration_since(now).as_secs();
        self.wait_seconds.min(u64::try_from(left).unwrap_or(0) + 1)
    }

    /// What a person should know when the time is over.
    pub(crate) fn warning(&self) -> String {
        let open: Vec<&str> =
            self.files.iter().filter(|file| !file.seen).map(|file| file.path.as_str()).collect();
        let named = open.iter().take(5).copied().collect::<Vec<&str>>().join(", ");
        let more = if open.len() > 5 { ", …" } else { "" };
        let trouble = self.trouble.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
        format!(
            "{} of {} acknowledgements did not come in time: {named}{more}. Ask the partner whether \
             the files arrived; they are not sent again by themselves.{trouble}",
            open.len(),
            self.files.len()
        )
    }
}

/// Seconds from one look to the next.
fn between_looks(within_seconds: u64) -> u64 {
    (within_seconds / LOOKS).max(LEAST_WAIT)
}

fn files(
    run: &Run,
    target: &profile::Target,
    wanted: &profile::Acknowledgement,
    receipts: &[Receipt],
    delivered: Option<&DeliveredManifest>,
) -> Vec<File> {
    let directory = wanted.directory.as_deref().unwrap_or(&target.directory);
    let directory = directory.trim_end_matches('/');
    let keys = run.keys();
    let mut name = wanted.name.replace("{partner}", keys.partner()).replace("{run}", keys.run());
    if let Some(manifest) = &target.manifest {
        name = name.replace("{manifest}", &manifest::name(manifest, run));
    }
    if !name.contains("{name}") {
        // The manifest came last; without one, the first delivery is what an answer follows.
        let first = || receipts.iter().filter_map(|receipt| receipt.remote_mtime_seconds).min();
        let not_before_seconds = match delivered {
            Some(manifest) => manifest.remote_mtime_seconds,
            None => first(),
        };
        let path = format!("{directory}/{name}");
        return vec![File { path, not_before_seconds, seen: false }];
    }
    let one = |receipt: &Receipt| {
        let delivered_as = receipt.remote_path.rsplit('/').next().unwrap_or_default();
        File {
            path: format!("{directory}/{}", name.replace("{name}", delivered_as)),
            not_before_seconds: receipt.remote_mtime_seconds,
            seen: false,
        }
    };
    receipts.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// Due at noon, with a look each minute, and so many files of which none was seen.
    fn awaited(files: usize) -> Awaited {
        let file = |number| File {
            path: format!("/in/{number}.ack"),
            not_before_seconds: None,
            seen: false,
        };
        Awaited {
            deadline: time("2026-03-02T12:00:00Z"),
            wait_seconds: 60,
            files: (1..=files).map(file).collect(),
            complete_at: None,
            trouble: None,
        }
    }

    #[test]
    fn the_last_look_comes_right_after_the_deadline() {
        let awaited = awaited(1);
        for (now, seconds, state) in [
            ("2026-03-02T11:00:00Z", 60, Acknowledgement::Pending),
            ("2026-03-02T11:59:00Z", 60, Acknowledgement::Pending),
            ("2026-03-02T11:59:50Z", 11, Acknowledgement::Pending),
            ("2026-03-02T11:59:59.5Z", 1, Acknowledgement::Pending),
            ("2026-03-02T12:00:00Z", 1, Acknowledgement::Missing),
            ("2026-03-02T13:00:00Z", 1, Acknowledgement::Missing),
        ] {
            assert_eq!(awaited.wait_seconds(time(now)), seconds, "{now}");
            assert_eq!(awaited.state(time(now)).state, state, "{now}");
        }
    }

    #[test]
    fn looks_are_spread_over_the_partners_time() {
        for (within, seconds) in [(1, 5), (600, 5), (601, 5), (1200, 10), (86_400, 720)] {
            assert_eq!(between_looks(within), seconds, "{within}");
        }
    }

    #[test]
    fn a_few_of_many_are_named() {
        for (files, words) in [
            (1, "1 of 1 acknowledgements did not come in time: /in/1.ack. Ask"),
            (5, "/in/4.ack, /in/5.ack. Ask"),
            (6, "6 of 6 acknowledgements"),
            (6, "/in/4.ack, /in/5.ack, …. Ask"),
        ] {
            let warning = awaited(files).warning();
            assert!(warning.contains(words), "{warning}");
        }
    }
}
