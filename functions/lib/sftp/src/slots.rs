//! Places for open files: as many as the server lets one session have, and what waits for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

struct State {
    open: usize,
    max: Option<usize>,
}

/// The open files of one session.
pub(crate) struct Slots {
    state: Mutex<State>,
    freed: Notify,
}

/// One place, taken until the server has answered the CLOSE.
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.state().open -= 1;
        self.0.freed.notify_waiters();
    }
}

impl Slots {
    pub(crate) fn new(max: Option<u64>) -> Arc<Self> {
        let max = max.map(|max| usize::try_from(max).unwrap_or(usize::MAX).max(1));
        Arc::new(Self { state: Mutex::new(State { open: 0, max }), freed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Most files at a time, as far as known.
    pub(crate) fn max(&self) -> Option<usize> {
        self.state().max
    }

    /// The server had `open` and refused one more. True when that is news.
    pub(crate) fn learn(&self, open: usize) -> bool {
        let mut state = self.state();
        let max = open.max(1);
        let news = state.max.is_none_or(|known| max < known);
        if news {
            state.max = Some(max);
        }
        news
    }

    /// Takes a place as soon as there is one.
    pub(crate) async fn take(self: Arc<Self>) -> Arc<Slot> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if state.max.is_none_or(|max| state.open < max) {
                    state.open += 1;
                    return Arc::new(Slot(Arc::clone(&self)));
                }
            }
            freed.await;
        }
    }

    /// Places taken.
    pub(crate) fn open(&self) -> usize {
        self.state().open
    }

    /// Waits until fewer than `open` are taken.
    pub(crate) async fn fewer_than(self: Arc<Self>, open: usize) {
        loop {
            let freed = self.freed.notified();
            if self.open() < open {
                return;
            }
            freed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_place_is_waited_for_and_handed_on() {
        let slots = Slots::new(Some(1));
        let context = &mut Context::from_waker(Waker::noop());
        let mut first = pin!(Arc::clone(&slots).take());
        let Poll::Ready(first) = first.as_mut().poll(context) else { panic!("a free place") };
        let mut second = pin!(Arc::clone(&slots).take());
        assert!(second.as_mut().poll(context).is_pending());
        let mut none = pin!(Arc::clone(&slots).fewer_than(1));
        assert!(none.as_mut().poll(context).is_pending());
        // A clone stands for a CLOSE that is not answered yet.
        let closing = Arc::clone(&first);
        drop(first);
        assert!(second.as_mut().poll(context).is_pending());
        drop(closing);
        assert!(none.as_mut().poll(context).is_ready());
        assert!(second.as_mut().poll(context).is_ready());
    }

    #[test]
    fn the_known_number_is_only_ever_lowered_and_never_zero() {
        let slots = Slots::new(None);
        assert_eq!(slots.max(), None);
        assert!(slots.learn(3));
        assert!(!slots.learn(3));
        assert!(!slots.learn(4));
        assert!(slots.learn(0));
        assert_eq!(slots.max(), Some(1));
        assert_eq!(Slots::new(Some(0)).max(), Some(1));
    }
}
