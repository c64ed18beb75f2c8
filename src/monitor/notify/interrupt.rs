//! Ends waits on sockets when the monitor stops: a mail server may take 10 minutes to answer.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The sockets that a stop shuts down; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Mutex<Sockets>>);

#[derive(Debug, Default)]
struct Sockets {
    is_cut: bool,
    next: u64,
    open: HashMap<u64, TcpStream>,
}

/// A socket that a stop shuts down, until this is dropped.
#[derive(Debug)]
pub struct Watched {
    interrupt: Interrupt,
    number: u64,
}

impl Interrupt {
    /// # Errors
    /// The monitor is stopping, or there is no descriptor left.
    pub fn watch(&self, socket: &TcpStream) -> io::Result<Watched> {
        let copy = socket.try_clone()?;
        let mut sockets = self.sockets();
        if sockets.is_cut {
            return Err(io::Error::other("the monitor is stopping"));
        }
        let number = sockets.next;
        sockets.next += 1;
        sockets.open.insert(number, copy);
        Ok(Watched { interrupt: self.clone(), number })
    }

    /// Shuts all of them down, and those that come later.
    pub fn cut(&self) {
        let mut sockets = self.sockets();
        sockets.is_cut = true;
        for socket in sockets.open.values() {
            // It fails for a connection that has ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.interrupt.sockets().open.remove(&self.number);
    }
}
