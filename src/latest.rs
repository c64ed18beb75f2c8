//! Published state: one thread owns a value and replaces it, any other reads the newest without waiting for that thread.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A value that is replaced as a whole. A reader keeps what it has read for as long as it likes.
#[derive(Debug)]
pub struct Latest<T> {
    published: Mutex<Published<T>>,
    /// Disconnected by the first [`Latest::put`].
    first: Receiver<Infallible>,
}

#[derive(Debug)]
struct Published<T> {
    value: Arc<T>,
    /// Dropped by the first [`Latest::put`].
    unpublished: Option<Sender<Infallible>>,
}

impl<T> Latest<T> {
    pub fn new(value: T) -> Latest<T> {
        let (sender, first) = bounded(0);
        let published = Published { value: Arc::new(value), unpublished: Some(sender) };
        Latest { published: Mutex::new(published), first }
    }

    pub fn put(&self, value: T) {
        // The lock is held for the exchange of one pointer; the old value is dropped after it.
        let new = Arc::new(value);
        let mut published = self.lock();
        published.unpublished = None;
        let old = std::mem::replace(&mut published.value, new);
        drop(published);
        drop(old);
    }

    pub fn get(&self) -> Arc<T> {
        self.lock().value.clone()
    }

    /// Waits until something was put, at most for `limit`.
    pub fn wait_for_first_put(&self, limit: Duration) {
        // Nothing is ever sent: it ends by disconnection, or by time.
        let _ = self.first.recv_timeout(limit);
    }

    fn lock(&self) -> MutexGuard<'_, Published<T>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Default for Latest<T> {
    fn default() -> Latest<T> {
        Latest::new(T::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    #[test]
    fn a_reader_keeps_what_it_read_while_a_newer_value_is_put() {
        let latest = Latest::new(1);
        let read = latest.get();
        latest.put(2);
        assert_eq!((*read, *latest.get()), (1, 2));
    }

    #[test]
    fn a_reader_waits_only_for_the_first_value() {
        let latest = Arc::new(Latest::<u32>::default());
        let begin = Instant::now();
        latest.wait_for_first_put(Duration::from_millis(20));
        assert!(begin.elapsed() >= Duration::from_millis(20) && *latest.get() == 0);
        let putting = latest.clone();
        let thread = thread::spawn(move || putting.put(7));
        for _ in 0..2 {
            latest.wait_for_first_put(Duration::from_secs(20));
            assert_eq!(*latest.get(), 7);
        }
        thread.join().expect("no panic");
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}
