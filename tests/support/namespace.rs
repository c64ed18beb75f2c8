//! A network namespace without a name: it and all that is in it are gone once nobody holds it, also after a crash.

use heartbeat_daemon::device::os::netlink::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::net::netdevice::name_to_index;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// `RTM_NEWLINK` of linux/rtnetlink.h and `IFF_UP` of linux/if.h.
const NEW_LINK: u16 = 16;
const IFF_UP: u32 = 1;

/// Held by a descriptor; processes, sockets and links of it keep it as well.
pub struct Namespace {
    handle: File,
    /// A socket stays in the namespace that it was made in.
    links: Mutex<Socket>,
}

impl Namespace {
    /// # Errors
    /// Without CAP_SYS_ADMIN, and in containers that keep namespaces to themselves.
    pub fn new() -> io::Result<Namespace> {
        // In a thread that ends here: the others stay where they are.
        let made = thread::spawn(|| {
            // SAFETY: a network namespace shares no memory and no descriptors; only CLONE_FILES would.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            let links = Mutex::new(Socket::open(NETLINK_ROUTE)?);
            Ok(Namespace { handle: File::open("/proc/thread-self/ns/net")?, links })
        });
        let namespace: io::Result<Namespace> = made.join().expect("no panic");
        let namespace = namespace?;
        namespace.ip("link set lo up");
        Ok(namespace)
    }

    /// Acts on a thread inside. Sockets, and processes that are started, stay inside.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("who made a namespace may enter it");
            act()
        };
        let result = thread::scope(|scope| scope.spawn(inside).join());
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// What `ip` takes for a namespace, as long as this value lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    pub fn ip(&self, command: &str) {
        self.must_do("ip", command.split(' '), "");
    }

    /// Many commands for the price of one; a line each.
    pub fn ip_batch(&self, commands: &str) {
        self.must_do("ip", ["-batch", "-"], commands);
    }

    /// What `ip` prints.
    pub fn ip_show(&self, command: &str) -> String {
        let output = self.enter(|| Command::new("ip").args(command.split(' ')).output());
        String::from_utf8(output.expect("iproute2 is installed").stdout).expect("ASCII")
    }

    pub fn nft(&self, rules: &str) {
        self.must_do("nft", ["-f", "-"], rules);
    }

    /// `name` as it stands under /proc/sys/net.
    pub fn sysctl(&self, name: &str, value: u8) {
        let path = format!("/proc/sys/net/{name}");
        let written = self.enter(|| fs::write(&path, value.to_string()));
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Switches a link on or off. Returns the moment just before the kernel was asked: no program has to start, so
    /// that it can be measured from.
    pub fn switch(&self, link: &str, on: bool) -> Instant {
        let index =
            self.enter(|| name_to_index(UdpSocket::bind("0.0.0.0:0")?, link).map_err(io::Error::from));
        let index = index.unwrap_or_else(|error| panic!("{link}: {error}"));
        let flags = if on { IFF_UP } else { 0 };
        // struct ifinfomsg: family, type, index, flags, and which of the flags are meant.
        let mut message = vec![0; 4];
        message.extend_from_slice(&index.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&IFF_UP.to_ne_bytes());
        let mut links = self.links.lock().expect("no panic");
        let before = Instant::now();
        links.request(NEW_LINK, 0, &message, |_, _| ()).unwrap_or_else(|e| panic!("switching {link}: {e}"));
        before
    }

    fn must_do<S: AsRef<OsStr> + Send + Sync>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S> + Send,
        input: &str,
    ) {
        let output = self.enter(|| {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn()?;
            child.stdin.take().expect("piped").write_all(input.as_bytes())?;
            child.wait_with_output()
        });
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {said}\n{input}");
    }
}
