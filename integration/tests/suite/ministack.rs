//! The deployed state machine and the built function programs on an engine that we did not write: what
//! comes of an execution is the same as on ours, to the last item in the bucket.
//!
//! The two run one after the other on the same servers with the same files, so ids, keys and items must be
//! equal, and so must the states that were entered, the reports and what the event bus heard.

mod both;
mod faults;

use both::{Both, Case, Left};
use integration::{Faults, Jobs, Kind, Sample, World, csv};

use crate::samples::sample;

/// The name of the first execution.
const RUN: &str = "20260301T060000Z-5f3a9c1e";

/// A source with a plain file and a zip of two members, of which one is Spark's if that is above the
/// limit.
fn world(kind: Kind, large_above_bytes: u64) -> World {
    let mut world = World::new(kind);
    world.partner.profile["records"]["large_above_bytes"] = large_above_bytes.into();
    world.put_all(&[
        Sample::plain("customers.csv", csv(1, 3), 3),
        Sample::zip("orders", &[("lines.csv", 4), ("march/orders.csv", 90)], 2),
    ]);
    world
}

async fn plain(world: World) -> Both {
    Both::of(world, &Faults::default(), &Jobs::Threads).await
}

fn verdicts(left: &[Left]) -> Vec<(&str, usize, usize)> {
    left.iter().map(|one| (&*one.status, one.delivered.len(), one.reports.len())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_between_openssh_servers_ends_there_as_it_ends_here() {
    let mut both = plain(world(Kind::OpenSsh, 1 << 30)).await;
    let left = both.run(vec![Case::new(RUN, sample("start-by-hand"))]).await;
    assert_eq!(verdicts(&left), [("SUCCEEDED", 3, 3)]);
    assert_eq!(left[0].events.len(), 1);
    let spark = left[0].entered.iter().any(|state| state == "CountLarge");
    assert!(!spark && left[0].entered.len() > 10, "{:?}", left[0].entered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_comes_twice_runs_once() {
    let mut both = plain(world(Kind::Embedded, 300)).await;
    let start = sample("start-scheduler");
    let left = both.run(vec![Case::new(RUN, start.clone()), Case::new("the-second", start)]).await;
    assert_eq!(verdicts(&left), [("SUCCEEDED", 3, 3), ("SUCCEEDED", 3, 0)]);
    assert_eq!(left[1].entered, ["Discover", "Discovered", "NotNeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_alone_and_one_that_is_sent_again() {
    let mut both = plain(world(Kind::Embedded, 300)).await;
    let (only, resend) = (sample("start-only"), sample("start-resend"));
    let left = both.run(vec![Case::new(RUN, only), Case::new("the-second", resend)]).await;
    assert_eq!(verdicts(&left), [("SUCCEEDED", 1, 1), ("SUCCEEDED", 1, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_job_left_behind_is_retried() {
    let world = world(Kind::Embedded, 300);
    let mut both = Both::of(world, &Faults::default(), &Jobs::Fail(2)).await;
    let first = Case::new(RUN, sample("start-by-hand")).spark(Jobs::failing());
    let left = both.run(vec![first, Case::new("the-second", sample("start-retry"))]).await;
    assert_eq!(verdicts(&left), [("FAILED", 2, 2), ("SUCCEEDED", 3, 1)]);
}
