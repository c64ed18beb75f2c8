//! A channel with room for one message, in which a newer one takes the place of what nobody has read: the sender never
//! waits, and the reader finds the newest whenever it looks.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// The sending end.
#[derive(Debug)]
pub struct Newest<T> {
    sender: Sender<T>,
    /// To take back what nobody has read.
    unread: Receiver<T>,
}

pub fn newest<T>() -> (Newest<T>, Receiver<T>) {
    let (sender, receiver) = bounded(1);
    (Newest { sender, unread: receiver.clone() }, receiver)
}

impl<T> Newest<T> {
    pub fn put(&self, message: T) {
        let mut message = message;
        while let Err(TrySendError::Full(newest)) = self.sender.try_send(message) {
            let _ = self.unread.try_recv();
            message = newest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_finds_the_newest_alone_and_the_end_after_it() {
        let (sender, reader) = newest();
        (1..=3).for_each(|number| sender.put(number));
        assert_eq!(reader.try_iter().collect::<Vec<_>>(), [3]);
        sender.put(4);
        drop(sender);
        assert_eq!((reader.recv(), reader.recv().is_err()), (Ok(4), true));
    }
}
