//! Port 5000 of loopback. The web manager and PumaGuard listen there too, and exit if it is in use when they start. So
//! `listen = "auto"` leaves it to them if the installation found them.
//!
//! The result is a file in the state directory: `use` or `leave`, and the reason in its second line. Without the file
//! the port is used. A person changes the choice with `heartbeat-daemon port`.

use crate::atomic_file;
use crate::device::config::{AUTO, Listen};
use crate::device::os::file::open_regular;
use std::fmt;
use std::fs::{self};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// In the state directory.
const NAME: &str = "api-port";
/// Two short lines.
const LONGEST: u64 = 4096;

/// Where systemd looks for units.
const UNITS: [&str; 4] =
    ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// Parts of unit names, and the program that they belong to.
const OTHERS: [(&str, &str); 3] =
    [("pumaguard", "PumaGuard"), ("webmanager", "the web manager"), ("web-manager", "the web manager")];

/// `TCP_LISTEN` of net/tcp_states.h, as /proc/net/tcp writes it.
const LISTENING: &str = "0A";

/// Whether the daemon uses port 5000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Use,
    /// The program that has it, or the reason.
    Leave(String),
}

/// Text of the default, used without a saved choice.
pub const DEFAULT: &str = "port 5000 is used: nothing else that needs it was found";

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Use => f.write_str("port 5000 is used (\"port use\" was called)"),
            Choice::Leave(other) => write!(
                f,
                "port 5000 is left to {other}; the API has its socket file (\"heartbeat-daemon port use\" takes the port)"
            ),
        }
    }
}

/// The port in a running daemon. The choice is made at the start. A port that was in use then is not tried again: the
/// other program may restart, and must find it free.
#[derive(Debug)]
pub struct Port {
    left_to: Option<String>,
    missed: AtomicBool,
}

impl Port {
    pub fn at_start(state_dir: &Path) -> Port {
        let left_to = match read(state_dir) {
            Some(Choice::Leave(why)) => Some(why),
            Some(Choice::Use) | None => None,
        };
        Port { left_to, missed: AtomicBool::new(false) }
    }

    /// Address to listen on over TCP; `None` for the socket file alone.
    pub fn address(&self, listen: Listen) -> Option<SocketAddr> {
        match listen {
            Listen::Nowhere => None,
            Listen::At(address) => Some(address),
            Listen::Auto if self.left_to.is_some() || self.missed.load(Ordering::Relaxed) => None,
            Listen::Auto => Some(AUTO),
        }
    }

    /// The program that `auto` leaves the port to.
    pub fn left_to(&self) -> Option<&str> {
        self.left_to.as_deref()
    }

    /// Another program has the port: `auto` does not try again before the next start.
    pub fn miss(&self) {
        self.missed.store(true, Ordering::Relaxed);
    }
}

/// The saved choice; `None` without a file or with an unknown content.
pub fn read(state_dir: &Path) -> Option<Choice> {
    let mut text = String::new();
    open_regular(&state_dir.join(NAME)).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    match lines.next()? {
        "use" => Some(Choice::Use),
        "leave" => Some(Choice::Leave(lines.next().unwrap_or("another program").to_owned())),
        _ => None,
    }
}

/// Saves a choice atomically, also across a power failure. Root writes here into a directory of the service's user, so
/// an existing symbolic link is never followed.
pub fn write(state_dir: &Path, choice: &Choice) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    atomic_file::replace_durably(&state_dir.join(NAME), |file| match choice {
        Choice::Use => writeln!(file, "use"),
        Choice::Leave(why) => writeln!(file, "leave\n{why}"),
    })
}

/// Searches the machine with the root directory `root` for other users of the port, unless a choice is saved. Returns a
/// new choice.
pub fn check(root: &Path, state_dir: &Path) -> io::Result<Option<Choice>> {
    if read(state_dir).is_some() {
        return Ok(None);
    }
    let Some(other) = installed(root).or_else(|| listener(root)) else { return Ok(None) };
    let choice = Choice::Leave(other);
    write(state_dir, &choice)?;
    Ok(Some(choice))
}

/// The web manager or PumaGuard, recognised by its unit, which need not be running.
fn installed(root: &Path) -> Option<String> {
    let units = UNITS.iter().filter_map(|directory| fs::read_dir(root.join(directory)).ok());
    let mut paths: Vec<PathBuf> = units.flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().find_map(|path| {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let is_masked = fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null"));
        if !name.ends_with(".service") || is_masked {
            return None;
        }
        let (_, owner) = OTHERS.iter().find(|(part, _)| name.contains(part))?;
        let shown = path.strip_prefix(root).unwrap_or(&path);
        Some(format!("{owner} (/{})", shown.display()))
    })
}

/// Another program that listens on the address of the API.
fn listener(root: &Path) -> Option<String> {
    let sockets = ["proc/net/tcp", "proc/net/tcp6"].map(|table| fs::read_to_string(root.join(table)));
    let inodes: Vec<String> =
        sockets.iter().flatten().flat_map(|table| table.lines().filter_map(conflicting)).collect();
    inodes.iter().find_map(|inode| match owner(root, inode) {
        Some((_, name)) if name == "heartbeat-daemon" => None,
        Some((pid, name)) => Some(format!("{name} (pid {pid} listened there)")),
        None => Some("another program that listened there".to_owned()),
    })
}

/// The inode of a socket that listens on port 5000 of loopback or of every address.
fn conflicting(line: &str) -> Option<String> {
    let mut fields = line.split_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let is_ours = u16::from_str_radix(port, 16) == Ok(AUTO.port()) && state == LISTENING;
    let ip = ip(address)?.to_canonical();
    (is_ours && (ip.is_loopback() || ip.is_unspecified())).then(|| inode.to_owned())
}

/// An address in words of four bytes, each in the machine's order.
fn ip(hex: &str) -> Option<IpAddr> {
    let words = (0..hex.len()).step_by(8).map(|at| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok());
    let words: Vec<[u8; 4]> = words.map(|word| word.map(u32::to_ne_bytes)).collect::<Option<_>>()?;
    let bytes = words.concat();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// Pid and program of the process that holds a socket; needs root for other users' processes.
fn owner(root: &Path, inode: &str) -> Option<(u32, String)> {
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    let processes = fs::read_dir(root.join("proc")).ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find_map(|pid| {
        let process = root.join(format!("proc/{pid}"));
        let mut open = fs::read_dir(process.join("fd")).ok()?.flatten();
        let holds = open.any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == wanted));
        holds.then(|| (pid, program(&process)))
    })
}

/// The name of the executable, which an upgrade may have replaced in the meantime.
fn program(process: &Path) -> String {
    let path = fs::read_link(process.join("exe")).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}

/// Deletes the saved choice, so that the next [`check`] searches again.
pub fn forget(state_dir: &Path) -> io::Result<()> {
    match fs::remove_file(state_dir.join(NAME)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// A machine, with its state directory inside.
    struct TestRoot(TempDir);

    impl TestRoot {
        fn new() -> TestRoot {
            TestRoot(tempfile::tempdir().expect("a directory"))
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(&path, text).expect("written");
            path
        }

        fn link(&self, name: &str, target: &str) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            symlink(target, path).expect("linked");
        }

        fn state_dir(&self) -> PathBuf {
            self.0.path().join("state")
        }

        fn check(&self) -> Option<Choice> {
            check(self.0.path(), &self.state_dir()).expect("writable")
        }

        /// A process that listens: `address` as /proc/net/tcp writes it.
        fn listens(&self, table: &str, address: &str, state: &str, program: &str) {
            let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
            let line = format!(
                "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0"
            );
            self.write(&format!("proc/net/{table}"), &format!("{head}\n{line}\n"));
            self.link("proc/77/fd/3", "socket:[4242]");
            self.link("proc/77/exe", program);
        }
    }

    fn leave(why: &str) -> Option<Choice> {
        Some(Choice::Leave(why.to_owned()))
    }

    #[test]
    fn a_symbolic_link_in_the_state_directory_is_replaced_and_not_followed() {
        let machine = TestRoot::new();
        let other = machine.write("etc/shadow", "root:secret");
        for name in ["state/.api-port.new", "state/api-port"] {
            machine.link(name, other.to_str().expect("UTF-8"));
        }
        write(&machine.state_dir(), &Choice::Use).expect("written");
        assert_eq!(fs::read_to_string(&other).expect("still there"), "root:secret");
        assert_eq!(read(&machine.state_dir()), Some(Choice::Use));
    }

    #[test]
    fn the_units_of_the_others_are_found_whether_they_run_or_not() {
        for (unit, expected) in [
            (
                "etc/systemd/system/pumaguard.service",
                Some("PumaGuard (/etc/systemd/system/pumaguard.service)"),
            ),
            (
                "etc/systemd/system/snap.pumaguard.server.service",
                Some("PumaGuard (/etc/systemd/system/snap.pumaguard.server.service)"),
            ),
            (
                "usr/lib/systemd/system/rpi-cam-webmanager.service",
                Some("the web manager (/usr/lib/systemd/system/rpi-cam-webmanager.service)"),
            ),
            ("etc/systemd/system/pumaguard.service.d/override.conf", None),
            ("etc/systemd/system/pumaguard.timer", None),
            ("etc/systemd/system/heartbeat-daemon.service", None),
        ] {
            let machine = TestRoot::new();
            machine.write(unit, "");
            assert_eq!(machine.check(), expected.and_then(leave), "{unit}");
        }
        let machine = TestRoot::new();
        machine.link("etc/systemd/system/pumaguard.service", "/dev/null");
        assert_eq!(machine.check(), None, "masked");
    }

    #[test]
    fn a_foreign_listener_in_our_way_is_found_and_our_own_is_not() {
        let v6 = "00000000000000000000000000000000:1388";
        for (table, address, state, program, expected) in [
            ("tcp", "0100007F:1388", "0A", "/usr/bin/python3", true),
            ("tcp", "00000000:1388", "0A", "/usr/bin/python3 (deleted)", true),
            ("tcp6", v6, "0A", "/usr/bin/python3", true),
            ("tcp", "0100007F:1388", "01", "/usr/bin/python3", false),
            ("tcp", "0100007F:1389", "0A", "/usr/bin/python3", false),
            ("tcp", "0201A8C0:1388", "0A", "/usr/bin/python3", false),
            ("tcp", "0100007F:1388", "0A", "/usr/bin/heartbeat-daemon", false),
            ("tcp", "0100007F:1388", "0A", "/usr/local/bin/heartbeat-daemon (deleted)", false),
        ] {
            let machine = TestRoot::new();
            machine.listens(table, address, state, program);
            let found = if expected { leave("python3 (pid 77 listened there)") } else { None };
            // The table is in the order of a little-endian machine.
            if cfg!(target_endian = "little") {
                assert_eq!(machine.check(), found, "{table} {address} {state} {program}");
            }
        }
    }

    #[test]
    fn a_choice_stays_until_a_person_changes_it() {
        let machine = TestRoot::new();
        let unit = machine.write("etc/systemd/system/pumaguard.service", "");
        assert!(machine.check().is_some());
        fs::remove_file(unit).expect("removed");
        assert_eq!(machine.check(), None, "nothing new");
        let port = Port::at_start(&machine.state_dir());
        assert_eq!((port.address(Listen::Auto), port.left_to().is_some()), (None, true));
        write(&machine.state_dir(), &Choice::Use).expect("written");
        machine.write("etc/systemd/system/pumaguard.service", "");
        assert_eq!(machine.check(), None, "a person has decided");
        assert_eq!(Port::at_start(&machine.state_dir()).address(Listen::Auto), Some(AUTO));
        forget(&machine.state_dir()).expect("removed");
        assert!(machine.check().is_some(), "looks again");
    }

    #[test]
    fn a_port_that_was_missed_stays_the_others_for_auto_alone() {
        let machine = TestRoot::new();
        let port = Port::at_start(&machine.state_dir());
        assert_eq!(port.address(Listen::Auto), Some(AUTO));
        port.miss();
        assert_eq!(port.address(Listen::Auto), None);
        let other: SocketAddr = "0.0.0.0:8080".parse().expect("an address");
        assert_eq!(port.address(Listen::At(other)), Some(other));
        assert_eq!(port.address(Listen::Nowhere), None);
    }

    #[test]
    fn a_damaged_file_is_no_choice() {
        let machine = TestRoot::new();
        for text in ["", "\0\0", "maybe\n", "user\n"] {
            machine.write("state/api-port", text);
            assert_eq!(read(&machine.state_dir()), None, "{text:?}");
        }
    }
}
