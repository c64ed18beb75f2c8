//! A name server that answers, or does not, and what is needed to make a program ask it.

use super::scratch::Scratch;
use super::skip;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

static NEXT: AtomicU8 = AtomicU8::new(1);

/// Says that each name is 127.0.0.1, until it falls silent or the name moves.
pub struct NameServer {
    address: String,
    silent: Arc<AtomicBool>,
    /// The last byte of 127.0.0.x.
    host: Arc<AtomicU8>,
    queries: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

impl NameServer {
    /// On port 53 of an address of 127.0.0.0/8 that is this test's own: needs root.
    pub fn start() -> std::io::Result<NameServer> {
        let program = std::process::id() % 254 + 1;
        let address = format!("127.83.{program}.{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let socket = UdpSocket::bind((address.as_str(), 53))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let server = NameServer {
            address,
            silent: Arc::default(),
            host: Arc::new(AtomicU8::new(1)),
            queries: Arc::default(),
            stopping: Arc::default(),
        };
        let host = Arc::clone(&server.host);
        let (silent, queries, stopping) =
            (Arc::clone(&server.silent), Arc::clone(&server.queries), Arc::clone(&server.stopping));
        thread::spawn(move || {
            let mut query = [0; 512];
            while !stopping.load(Ordering::SeqCst) {
                let Ok((length, client)) = socket.recv_from(&mut query) else { continue };
                queries.fetch_add(1, Ordering::SeqCst);
                if !silent.load(Ordering::SeqCst) {
                    // A client that is gone needs no answer.
                    let _ = socket.send_to(&answer(&query[..length], host.load(Ordering::SeqCst)), client);
                }
            }
        });
        Ok(server)
    }

    pub fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    pub fn speak(&self) {
        self.silent.store(false, Ordering::SeqCst);
    }

    /// From now on each name is 127.0.0.`host`.
    pub fn move_to(&self, host: u8) {
        self.host.store(host, Ordering::SeqCst);
    }

    pub fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }

    /// The command, with this as its only name server and /etc/hosts before it.
    ///
    /// The command replaces the shell that prepares its mount namespace, so that the pid stays the same.
    pub fn used_by(&self, program: &str, scratch: &Scratch) -> Command {
        let resolv = scratch.file("resolv.conf", &format!("nameserver {}\n", self.address));
        let nsswitch = scratch.file("nsswitch.conf", "hosts: files dns\n");
        let script = format!(
            "mount --bind {resolv} /etc/resolv.conf && mount --bind {nsswitch} /etc/nsswitch.conf && exec \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh", program]);
        command
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
    }
}

/// A name server of the test's own; `None`, and a skipped test, without root or in some containers.
pub fn name_server() -> Option<NameServer> {
    if !can_be_replaced() {
        skip("a name server of the test's own needs root and the right to make a mount namespace");
        return None;
    }
    NameServer::start().map_err(|error| skip(&format!("port 53 on loopback: {error}"))).ok()
}

/// True where a mount namespace can be made.
fn can_be_replaced() -> bool {
    let script = "mount --bind /dev/null /etc/resolv.conf && mount --bind /dev/null /etc/nsswitch.conf";
    Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .output()
        .is_ok_and(|said| said.status.success())
}

/// RFC 1035, 4.1: the question again, and 127.0.0.`host` for type A; no data for another type.
fn answer(query: &[u8], host: u8) -> Vec<u8> {
    const HEADER: usize = 12;
    let name_end = HEADER + query[HEADER..].iter().position(|&byte| byte == 0).expect("a name ends with 0");
    let question = &query[HEADER..name_end + 5];
    let is_a = question[question.len() - 4..] == [0, 1, 0, 1];
    let mut answer = query[..2].to_vec();
    // Response, recursion desired and available, no error; one question, one or no answer.
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(question);
    if is_a {
        // The name of offset 12, type A, class IN, 0 s to live, 4 bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, host]);
    }
    answer
}
