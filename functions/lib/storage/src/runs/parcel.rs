//! The loop that works a parcel off: the parcel is the unit of invocation, each item the unit of
//! truth.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::events::{ParcelInput, ParcelOutput};
use domain::ids::Name;
use domain::keys::Inbox;
use domain::{Deadline, ErrorClass, Failure};
use futures::StreamExt;

use super::Run;

/// What a stage does with a parcel.
pub struct Work<'a> {
    /// The stage's word.
    pub stage: &'static str,
    /// The event.
    pub input: &'a ParcelInput,
    /// An item in one of these was done by an earlier attempt.
    pub done: &'a [Inbox],
    /// Items worked on at once.
    pub concurrency: usize,
    /// When to stop taking on items.
    pub deadline: Deadline,
}

/// How far an item came in this invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// To its end.
    End,
    /// To a place that it keeps; the next invocation goes on from there.
    Checkpoint,
    /// An earlier invocation had brought it to its end.
    Already,
}

impl From<()> for Reached {
    fn from((): ()) -> Self {
        Self::End
    }
}

/// Calls `each` for every item of the parcel that is neither done nor failed.
///
/// An item that is rejected, or whose source changed, goes to `failed/` and its neighbours go on. A
/// fault of the whole partner writes the halt order. A fault that may pass is returned after the
/// neighbours were tried, so that the retry finds only what is left.
///
/// When the deadline is near, what was not taken on yet is left to the next invocation; but only
/// after some item was brought further, so that a parcel always comes to its end.
///
/// # Errors
/// `Misconfigured` before anything else; else `Throttled`, else `Transient`, when any item met it.
pub async fn work_through<F, W, R>(
    run: &Run,
    work: Work<'_>,
    each: F,
) -> Result<ParcelOutput, Failure>
where
    F: Fn(Name) -> W,
    W: Future<Output = Result<R, Failure>>,
    R: Into<Reached>,
{
    run.check_halt().await?;
    let parcel = run.parcel(work.input.phase, &work.input.parcel).await?;
    let state = State::default();
    let worst = futures::stream::iter(parcel.names)
        .map(|name| one(run, &work, &each, name, &state))
        .buffer_unordered(work.concurrency.max(1))
        .fold(None, |worst, outcome| async move { graver(worst, outcome.err()) })
        .await;
    match worst {
        Some(failure) => Err(failure),
        None => Ok(ParcelOutput { more: state.stop.load(Ordering::Relaxed) }),
    }
}

/// What the items of one invocation know of each other.
#[derive(Default)]
struct State {
    /// Nothing more is taken on; there is something left.
    stop: AtomicBool,
    /// An item was brought further.
    moved: AtomicBool,
}

async fn one<F, W, R>(
    run: &Run,
    work: &Work<'_>,
    each: &F,
    name: Name,
    State { stop, moved }: &State,
) -> Result<(), Failure>
where
    F: Fn(Name) -> W,
    W: Future<Output = Result<R, Failure>>,
    R: Into<Reached>,
{
    if stop.load(Ordering::Relaxed)
        || run.has_any(work.done, &name).await?
        || run.has_any(&[Inbox::Failed], &name).await?
    {
        return Ok(());
    }
    if moved.load(Ordering::Relaxed) && work.deadline.is_near() {
        stop.store(true, Ordering::Relaxed);
        return Ok(());
    }
    let failure = match each(name.clone()).await.map(Into::into) {
        Ok(reached) => {
            moved.fetch_or(reached != Reached::Already, Ordering::Relaxed);
            stop.fetch_or(reached == Reached::Checkpoint, Ordering::Relaxed);
            return Ok(());
        }
        Err(failure) => failure,
    };
    match failure.class {
        ErrorClass::Rejected | ErrorClass::SourceChanged => {
            tracing::warn!(
                stage = work.stage,
                run = run.keys().run(),
                item = name.as_str(),
                code = %failure.code,
                "{}",
                failure.message
            );
            run.fail(work.input.phase, &name, work.stage, failure).await
        }
        ErrorClass::Misconfigured => {
            stop.store(true, Ordering::Relaxed);
            run.halt(work.stage, &failure).await?;
            Err(failure)
        }
        ErrorClass::Transient | ErrorClass::Throttled => Err(failure),
    }
}

/// The failure that the state machine must hear of: the one that leaves least hope, the first of
/// several that leave as much.
fn graver(one: Option<Failure>, other: Option<Failure>) -> Option<Failure> {
    const fn weight(failure: &Failure) -> u8 {
        match failure.class {
            ErrorClass::Misconfigured => 2,
            ErrorClass::Throttled => 1,
            _ => 0,
        }
    }
    match (one, other) {
        (Some(one), Some(other)) if weight(&other) > weight(&one) => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_hears_of_the_first_failure_that_leaves_least_hope() {
        let of = |class, code| Some(Failure::new(class, code, "Words."));
        let classes = [ErrorClass::Transient, ErrorClass::Throttled, ErrorClass::Misconfigured];
        for (grave, class) in classes.into_iter().enumerate() {
            for (weight, other) in classes.into_iter().enumerate() {
                let told = graver(of(class, "first"), of(other, "second"));
                let expected =
                    if weight > grave { of(other, "second") } else { of(class, "first") };
                assert_eq!(told, expected, "{class}, then {other}");
            }
            assert_eq!(graver(None, of(class, "only")), of(class, "only"));
            assert_eq!(graver(of(class, "only"), None), of(class, "only"));
        }
        assert_eq!(graver(None, None), None);
    }
}
