//! Steps of a start that can fail, and the sentence that says which one failed: both programs start their threads here.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::thread;

/// Starts a named thread. The receiver disconnects when the thread has ended.
///
/// # Errors
/// "cannot start the NAME thread: ...".
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<Receiver<()>, String> {
    let (alive, ended) = bounded(0);
    let thread = thread::Builder::new().name(name.into()).spawn(move || {
        work();
        drop::<Sender<()>>(alive);
    });
    thread.map(|_| ended).map_err(cannot(&format!("start the {name} thread")))
}

/// Turns an I/O error into "cannot WHAT: error".
pub fn cannot(what: &str) -> impl FnOnce(io::Error) -> String {
    move |error| format!("cannot {what}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_receiver_disconnects_when_the_thread_has_ended() {
        let (stop, stopped) = bounded::<()>(0);
        let ended = spawn("worker", move || _ = stopped.recv()).expect("started");
        assert!(ended.try_recv().is_err_and(|error| error.is_empty()), "it runs");
        drop(stop);
        let end = ended.recv_timeout(Duration::from_secs(60)).expect_err("nothing is sent");
        assert!(end.is_disconnected());
    }

    #[test]
    fn an_error_says_which_step_failed() {
        let error = io::Error::other("no memory left");
        assert_eq!(
            cannot("start the worker thread")(error),
            "cannot start the worker thread: no memory left"
        );
    }
}
