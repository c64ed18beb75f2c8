//! Cameras on loopback, and a camera thread that watches them.

// The benchmark includes this too, and uses a part of it.
#![allow(dead_code)]

use crate::support::SOON;
use crate::support::scratch::Scratch;
use crossbeam_channel::{Receiver, bounded};
use heartbeat_daemon::config::Source;
use heartbeat_daemon::device::cameras::{self, CameraContext, CameraInfo, CamerasHandle, Mac};
use heartbeat_daemon::device::config::Config;
use heartbeat_daemon::device::trigger::trigger;
use heartbeat_daemon::wire::Reason;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The MAC of the camera with this number.
pub fn mac(number: u16) -> Mac {
    let [high, low] = number.to_be_bytes();
    Mac::parse(&format!("02:00:00:00:{high:02x}:{low:02x}")).expect("a MAC")
}

/// A camera that listens, on an address of loopback that no other test has.
pub struct Listener {
    pub address: SocketAddr,
    _socket: Option<Socket>,
    _clients: Vec<TcpStream>,
}

/// Loopback has 16 million addresses, so that tests that run at the same time do not meet.
pub fn address() -> Ipv4Addr {
    Ipv4Addr::from(0x7f10_0000 | fastrand::u32(1..0xf_ffff))
}

impl Listener {
    /// Connections are accepted by the kernel, and nobody says anything.
    pub fn accepting() -> Listener {
        let socket = socket(address(), 0, 64);
        Listener { address: local(&socket), _socket: Some(socket), _clients: Vec::new() }
    }

    /// Its port is nobody's.
    pub fn refusing() -> Listener {
        let socket = bound(address(), 0);
        Listener { address: local(&socket), _socket: Some(socket), _clients: Vec::new() }
    }

    /// The queue is full, so that the kernel drops what comes.
    pub fn dropping() -> Listener {
        let socket = socket(address(), 0, 0);
        let address = local(&socket);
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let clients = std::iter::from_fn(connect).take(8).collect();
        Listener { address, _socket: Some(socket), _clients: clients }
    }

    /// Somebody else's.
    pub fn elsewhere(address: SocketAddr) -> Listener {
        Listener { address, _socket: None, _clients: Vec::new() }
    }

    /// Reads a request and says this, after a while. It answers until the test's process ends.
    pub fn answering(answer: &'static [u8], after: Duration) -> Listener {
        Listener::at(address(), 0, answer, after)
    }

    pub fn at(ip: Ipv4Addr, port: u16, answer: &'static [u8], after: Duration) -> Listener {
        let listener = TcpListener::from(socket(ip, port, 64));
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer_one(stream, answer, after));
            }
        });
        Listener::elsewhere(address)
    }
}

fn answer_one(mut stream: TcpStream, answer: &[u8], after: Duration) {
    let mut request = [0; 1024];
    if stream.read(&mut request).unwrap_or(0) > 0 {
        thread::sleep(after);
        // The camera thread may have gone away.
        let _ = stream.write_all(answer);
    }
}

fn bound(ip: Ipv4Addr, port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("allowed");
    socket.bind(&SocketAddr::from((ip, port)).into()).expect("an address of loopback");
    socket
}

pub fn socket(ip: Ipv4Addr, port: u16, backlog: i32) -> Socket {
    let socket = bound(ip, port);
    socket.listen(backlog).expect("listening");
    socket
}

fn local(socket: &Socket) -> SocketAddr {
    socket.local_addr().expect("bound").as_socket().expect("an IP address")
}

/// `[[cameras.camera]]` with this number, at this address.
pub fn entry(number: u16, address: SocketAddr, more: &str) -> String {
    format!(
        "[[cameras.camera]]\nmac = \"{}\"\naddress = \"{}\"\ntcp_port = {}\n{more}\n",
        mac(number),
        address.ip(),
        address.port()
    )
}

/// The camera thread alone, in this process.
pub struct Watching {
    pub cameras: CamerasHandle,
    pub triggers: Receiver<Reason>,
    thread: Option<JoinHandle<()>>,
    scratch: Scratch,
}

pub fn config(text: &str) -> Config {
    Config::from_source(&Source::new("test", text), &|_| None)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

impl Watching {
    /// Nothing is checked by itself within an hour, but for the first time.
    pub fn start(text: &str) -> Watching {
        Watching::start_in(text, Scratch::new(), Path::new("/"))
    }

    pub fn start_in(text: &str, scratch: Scratch, root: &Path) -> Watching {
        let text = match text.strip_prefix("[cameras]\n") {
            Some(rest) => format!("[cameras]\n{rest}"),
            None => format!("[cameras]\ninterval = \"1h\"\n{text}"),
        };
        let (trigger, triggers) = trigger();
        let outside = CameraContext { trigger, state_dir: scratch.path().to_owned(), root: root.to_owned() };
        let (cameras, thread) = cameras::new(config(&text).cameras, outside).expect("descriptors");
        let thread = Some(thread::spawn(|| thread.run()));
        Watching { cameras, triggers, thread, scratch }
    }

    /// Has all checked, and waits for it.
    pub fn check(&self) -> Arc<Vec<CameraInfo>> {
        let (done, finished) = bounded(1);
        assert!(self.cameras.check(Box::new(move |list| done.send(list).expect("somebody waits"))));
        finished.recv_timeout(SOON).expect("all are checked")
    }

    pub fn camera(&self, number: u16) -> CameraInfo {
        let list = self.cameras.list();
        list.iter().find(|camera| camera.mac == mac(number)).expect("it is in the list").clone()
    }

    pub fn state_file(&self) -> PathBuf {
        self.scratch.path().join("cameras.json")
    }

    pub fn saved(&self) -> serde_json::Value {
        let bytes = std::fs::read(self.state_file()).expect("saved");
        serde_json::from_slice(&bytes).expect("whole")
    }

    /// Ends the thread, and gives what it leaves behind.
    pub fn stop(mut self) -> Scratch {
        self.end();
        std::mem::replace(&mut self.scratch, Scratch::new())
    }

    fn end(&mut self) {
        self.cameras.stop();
        self.thread.take().into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.end();
    }
}
