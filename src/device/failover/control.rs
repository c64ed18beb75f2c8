//! The control socket: `failover auto`, `failover manual IFACE` and `failover status` of the command line.
//!
//! Datagrams, so that no client can hold the loop up: one request, one answer, nothing to wait for or to remember.
//! Whoever may write to the socket (mode 0660) may switch uplinks.

use super::decision::UplinkState;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The socket's name in the runtime directory.
pub const NAME: &str = "failover.sock";
/// The longest request is `manual` with a name of 15 bytes and a number.
const REQUEST: usize = 64;
/// Sixteen uplinks and 64 rules of policy routing have 6 KiB.
const ANSWER: usize = 16 * 1024;
/// Requests answered before the loop does something else.
const BURST: usize = 8;
/// How long the command line waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// A year: more is for ever.
const LONGEST: u64 = 365 * 86_400;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Auto,
    Manual { interface: String, limit: Option<Duration> },
    Status,
}

impl Request {
    fn text(&self) -> String {
        match self {
            Request::Auto => "auto".into(),
            Request::Status => "status".into(),
            Request::Manual { interface, limit: None } => format!("manual {interface}"),
            Request::Manual { interface, limit: Some(limit) } => {
                format!("manual {interface} {}", limit.as_secs())
            }
        }
    }

    fn parse(text: &str) -> Option<Request> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["auto"] => Some(Request::Auto),
            ["status"] => Some(Request::Status),
            ["manual", interface, limit @ ..] if limit.len() <= 1 && interface.len() < 16 => {
                let seconds = limit.first().map(|text| text.parse::<u64>()).transpose().ok()?;
                let limit = seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST)));
                Some(Request::Manual { interface: (*interface).to_owned(), limit })
            }
            _ => None,
        }
    }
}

/// What failover does, as `failover status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub active: Option<String>,
    pub state: String,
    /// `observe`, `routes` or `networkmanager`.
    pub backend: String,
    /// Seconds until an override ends by itself.
    pub manual_s: Option<u64>,
    pub uplinks: Vec<UplinkState>,
    /// Policy routing rules whose packets do not follow the uplink; mode `routes` only.
    #[serde(default)]
    pub not_covered: Vec<String>,
}

/// A status that another thread reads later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    status: Status,
    manual_until: Option<Instant>,
}

impl Told {
    pub fn new(status: Status, manual_until: Option<Instant>) -> Told {
        Told { status, manual_until }
    }

    /// The status as it is at `now`.
    pub fn at(&self, now: Instant) -> Status {
        let manual_s = self.manual_until.map(|until| until.saturating_duration_since(now).as_secs());
        Status { manual_s, ..self.status.clone() }
    }
}

/// An answer: a status, or why not.
pub type Answer = Result<Status, String>;

/// The daemon's end. The socket goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Server {
    /// # Errors
    /// The socket cannot be made there.
    pub fn bind(runtime_dir: &Path) -> io::Result<Server> {
        let path = runtime_dir.join(NAME);
        // Of a daemon that was killed; there is one daemon at a time.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660))?;
        socket.set_nonblocking(true)?;
        Ok(Server { socket, path })
    }

    /// What has been asked, and by whom; at most 8 requests, the rest waits.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn requests(&self) -> io::Result<Vec<(Option<Request>, SocketAddr)>> {
        let mut requests = Vec::new();
        while requests.len() < BURST {
            // One byte more, to tell a request that is too long.
            let mut request = [0; REQUEST + 1];
            let (length, client) = match self.socket.recv_from(&mut request) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let text = std::str::from_utf8(&request[..length]).ok().filter(|text| text.len() <= REQUEST);
            requests.push((text.and_then(Request::parse), client));
        }
        Ok(requests)
    }

    /// A client that has gone gets none.
    pub fn answer(&self, client: &SocketAddr, answer: &Answer) {
        let bytes = serde_json::to_vec(answer).unwrap_or_default();
        let _ = self.socket.send_to_addr(&bytes, client);
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// The daemon is not running, or failover is off.
    NotThere(String),
    Refused(String),
}

/// Asks the running daemon; takes at most 2 s.
///
/// # Errors
/// There is no daemon, it does not answer, or it refuses.
pub fn ask(runtime_dir: &Path, request: &Request) -> Result<Status, AskError> {
    let path = runtime_dir.join(NAME);
    let answer = exchange(&path, &request.text()).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => AskError::Refused(format!(
            "cannot connect to {}: permission denied; run it with sudo",
            path.display()
        )),
        io::ErrorKind::WouldBlock => AskError::NotThere("heartbeat-daemon does not answer".into()),
        _ => AskError::NotThere(format!(
            "{}: {error}: heartbeat-daemon is not running, or [network] mode is \"off\"",
            path.display()
        )),
    })?;
    answer.map_err(AskError::Refused)
}

fn exchange(path: &Path, request: &str) -> io::Result<Answer> {
    // A name in the abstract namespace: nothing stays behind.
    let name = format!("heartbeat-daemon-{}-{:08x}", std::process::id(), fastrand::u32(..));
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    socket.connect(path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send(request.as_bytes())?;
    let mut answer = vec![0; ANSWER];
    let length = socket.recv(&mut answer)?;
    serde_json::from_slice(&answer[..length]).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::LinkState;

    fn status() -> Status {
        let uplinks = vec![UplinkState { interface: "wlan0".into(), state: LinkState::Valid }];
        let state = "wlan0_active".into();
        Status {
            active: Some("wlan0".into()),
            state,
            backend: "observe".into(),
            manual_s: None,
            uplinks,
            not_covered: Vec::new(),
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let manual = |limit| Request::Manual { interface: "wlan0".into(), limit };
        for request in [Request::Auto, Request::Status, manual(None), manual(Some(Duration::from_secs(600)))]
        {
            assert_eq!(Request::parse(&request.text()), Some(request));
        }
    }

    #[test]
    fn an_override_that_was_told_earlier_ends_when_it_ends() {
        let now = Instant::now();
        let told = Told::new(status(), Some(now + Duration::from_secs(600)));
        assert_eq!(told.at(now + Duration::from_secs(60)).manual_s, Some(540));
        assert_eq!(Told::new(status(), None).at(now), status());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "reboot",
            "auto now",
            "manual",
            "manual wlan0 soon",
            "manual a b c",
            "manual wlan0wlan0wlan0x",
            "\0",
        ] {
            assert_eq!(Request::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_daemon_answers_a_client_and_refuses_nonsense() {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Server::bind(dir.path()).expect("bound");
        let mode = fs::metadata(dir.path().join(NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let path = dir.path().join(NAME);
        for (request, good) in [("status", true), ("x".repeat(REQUEST + 1).as_str(), false), ("?", false)] {
            let (path, request) = (path.clone(), request.to_owned());
            let client = std::thread::spawn(move || exchange(&path, &request).expect("an answer"));
            while !client.is_finished() {
                for (request, client) in server.requests().expect("served") {
                    server.answer(&client, &request.map(|_| status()).ok_or_else(|| "no request".to_owned()));
                }
                std::thread::yield_now();
            }
            assert_eq!(client.join().expect("no panic").is_ok(), good);
        }
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn without_a_daemon_it_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(ask(dir.path(), &Request::Status), Err(AskError::NotThere(_))));
        // What a killed daemon leaves behind.
        drop(UnixDatagram::bind(dir.path().join(NAME)).expect("bound"));
        assert!(matches!(ask(dir.path(), &Request::Status), Err(AskError::NotThere(_))));
        Server::bind(dir.path()).expect("taken over");
    }
}
