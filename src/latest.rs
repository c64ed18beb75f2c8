//! The newest value of something: one thread owns it and writes it, any other reads it without waiting for that
//! thread.

use std::sync::{Arc, Mutex, PoisonError};

/// A value that is replaced as a whole. Readers hold what they read for as long as they like.
#[derive(Debug, Default)]
pub struct Latest<T>(Mutex<Arc<T>>);

impl<T> Latest<T> {
    pub fn new(value: T) -> Latest<T> {
        Latest(Mutex::new(Arc::new(value)))
    }

    pub fn put(&self, value: T) {
        // Held for the exchange of one pointer; the old value is dropped after the lock.
        let new = Arc::new(value);
        let old = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), new);
        drop(old);
    }

    pub fn get(&self) -> Arc<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_stays_while_a_newer_value_is_put() {
        let latest = Latest::new(1);
        let read = latest.get();
        latest.put(2);
        assert_eq!((*read, *latest.get()), (1, 2));
    }
}
