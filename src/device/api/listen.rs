//! Where the API listens: an address, and a socket file with its mode and group.

use crate::device::config::{Api, Listen};
use crate::device::port::Port;
use crate::http::listener::{Listener, SocketFile};
use rustix::fs::{Gid, chown};
use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// What could be opened.
#[derive(Default)]
pub struct Open {
    pub listeners: Vec<Listener>,
    /// The address with its real port.
    pub address: Option<SocketAddr>,
    pub file: Option<SocketFile>,
    /// What could not: a sentence each.
    pub problems: Vec<String>,
}

impl Open {
    pub fn all(config: &Api, port: &Port) -> Open {
        let mut open = Open::default();
        if let Some(address) = port.address(config.listen) {
            open.tcp(address, config.listen == Listen::Auto, port);
        }
        open.unix(config);
        open
    }

    /// What `auto` does not get is the other program's until the next start.
    fn tcp(&mut self, address: SocketAddr, is_auto: bool, port: &Port) {
        let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
        match bound {
            Ok((address, listener)) => {
                self.address = Some(address);
                self.listeners.push(Listener::Tcp(listener));
            }
            Err(error) if is_auto => {
                port.miss();
                self.problems.push(format!(
                    "cannot listen on {address}: {error}; not tried again before the next start (\"heartbeat-daemon port \
                     leave\" leaves it to the other program for good)"
                ));
            }
            Err(error) => self.problems.push(format!("cannot listen on {address}: {error}")),
        }
    }

    fn unix(&mut self, config: &Api) {
        let path = &config.socket;
        match bind(path) {
            Ok((listener, file)) => {
                self.listeners.push(Listener::Unix(listener));
                self.file = Some(file);
                if let Err(problem) = permit(path, config) {
                    self.problems.push(format!("{}: {problem}", path.display()));
                }
            }
            Err(error) => self.problems.push(format!("cannot listen on {}: {error}", path.display())),
        }
    }
}

/// "127.0.0.1:5000 and /run/heartbeat-daemon/api.sock"
impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, &self.file) {
            (Some(address), Some(file)) => write!(f, "{address} and {}", file.0.display()),
            (Some(address), None) => write!(f, "{address}"),
            (None, Some(file)) => write!(f, "{}", file.0.display()),
            (None, None) => f.write_str("nothing"),
        }
    }
}

fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    // Left by a killed daemon; there is one daemon at a time. Other kinds of files are not removed.
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    Ok((listener, SocketFile(path.to_owned())))
}

/// Group first: the mode must never count for another group than the one that is meant.
fn permit(path: &Path, config: &Api) -> Result<(), String> {
    if let Some(name) = &config.socket_group {
        let groups = fs::read_to_string("/etc/group").map_err(|error| format!("/etc/group: {error}"))?;
        let id = group_id(&groups, name).ok_or_else(|| format!("there is no group {name:?}"))?;
        chown(path, None, Some(Gid::from_raw(id)))
            .map_err(|error| format!("cannot be given to the group {name:?}: {error}"))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(config.socket_mode))
        .map_err(|error| format!("cannot get the mode {:04o}: {error}", config.socket_mode))
}

/// Lines are "name:password:id:members".
fn group_id(groups: &str, name: &str) -> Option<u32> {
    let fields = groups
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields));
    fields?.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn config(socket: &Path) -> Api {
        Api {
            listen: Listen::Nowhere,
            socket: socket.to_owned(),
            socket_mode: 0o640,
            socket_group: None,
            token_file: None,
        }
    }

    fn port(dir: &tempfile::TempDir) -> Port {
        Port::at_start(dir.path())
    }

    #[test]
    fn the_socket_has_its_mode_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("api.sock");
        let open = Open::all(&config(&path), &port(&dir));
        assert_eq!((open.listeners.len(), open.problems.len()), (1, 0));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
        assert_eq!(open.to_string(), path.display().to_string());
        drop(open);
        assert!(!path.exists());
    }

    #[test]
    fn a_killed_daemons_socket_is_replaced_and_other_files_stay() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("api.sock");
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(Open::all(&config(&path), &port(&dir)).problems.is_empty());
        fs::write(&path, "an unrelated file").expect("written");
        let open = Open::all(&config(&path), &port(&dir));
        assert_eq!((open.listeners.len(), open.problems.len()), (0, 1), "{:?}", open.problems);
        drop(open);
        assert!(path.exists());
    }

    #[test]
    fn without_its_group_the_socket_stays_closed_to_others() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("api.sock");
        let open =
            Open::all(&Api { socket_group: Some("no such group".into()), ..config(&path) }, &port(&dir));
        assert!(open.problems[0].ends_with("there is no group \"no such group\""), "{:?}", open.problems);
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\nvideo:x:44:pi\nvideos:x:45:\nbad:x\nworse:x:many:\n";
        for (name, id) in
            [("video", Some(44)), ("root", Some(0)), ("vid", None), ("bad", None), ("worse", None)]
        {
            assert_eq!(group_id(groups, name), id, "{name}");
        }
    }
}
