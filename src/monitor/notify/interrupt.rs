//! Aborts connections when the monitor stops: a mail server may take 10 minutes to reply.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The sockets that a stop shuts down; shared by its clones.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Mutex<OpenSockets>>);

#[derive(Debug, Default)]
struct OpenSockets {
    is_cut: bool,
    next: u64,
    open: HashMap<u64, TcpStream>,
}

/// Registers a socket until this is dropped.
#[derive(Debug)]
pub struct Watched {
    interrupt: Interrupt,
    number: u64,
}

impl Interrupt {
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

    /// Shuts down all registered sockets, and refuses further ones.
    pub fn cut(&self) {
        let mut sockets = self.sockets();
        sockets.is_cut = true;
        for socket in sockets.open.values() {
            // Fails if the connection has already ended.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn sockets(&self) -> MutexGuard<'_, OpenSockets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.interrupt.sockets().open.remove(&self.number);
    }
}
