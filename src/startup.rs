//! Steps of a program's start that can fail, and the sentence that says which one failed.

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
