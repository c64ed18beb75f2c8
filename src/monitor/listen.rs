//! Where the monitor listens: addresses and socket files, bound before anything says that it is ready.

use super::config::{Config, Http, Tls};
use crate::config::ConfigError;
use crate::http::Listener;
use crate::http::tls::{TlsConfig, server_config};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Descriptors beside the connections': database, couriers, log, and some more.
const RESERVE: u64 = 64;

/// Why there is nothing to listen on: one sentence.
#[derive(Debug)]
pub enum CannotListen {
    /// Another program does.
    InUse(String),
    Other(String),
}

/// What was bound, and where that is.
pub struct Bound {
    pub listeners: Vec<Listener>,
    /// For a renewed certificate.
    pub tls: Option<TlsConfig>,
    /// The port is known, even if any was asked for.
    pub address: Option<SocketAddr>,
    pub socket: Option<SocketFile>,
}

/// Removed on drop: nobody listens there any more.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it before.
        let _ = fs::remove_file(&self.0);
    }
}

/// What the certificate's and the key's file hold.
///
/// # Errors
/// One cannot be read, or they are not a certificate with its key.
pub fn certificate(tls: &Tls) -> Result<rustls::ServerConfig, ConfigError> {
    let read = |path: &Path| {
        let problem = |error| ConfigError::new(format!("{}: cannot be read: {error}", path.display()));
        fs::read(path).map_err(problem)
    };
    let (chain, key) = (read(&tls.certificate_file)?, read(&tls.key_file)?);
    server_config(&chain, &key).map_err(|problem| {
        let (chain, key) = (tls.certificate_file.display(), tls.key_file.display());
        ConfigError::new(format!("{chain} and {key}: {problem}"))
    })
}

/// With `tls`, if the address is to speak it; the socket file never does.
///
/// # Errors
/// An address or a file is taken, or not allowed.
pub fn bind(http: &Http, tls: Option<rustls::ServerConfig>) -> Result<Bound, CannotListen> {
    let tls = tls.map(TlsConfig::new);
    let mut bound = Bound { listeners: Vec::new(), tls: tls.clone(), address: None, socket: None };
    if let Some(address) = http.listen {
        let listener = TcpListener::bind(address).map_err(|error| explain(&address.to_string(), &error))?;
        bound.address = Some(listener.local_addr().unwrap_or(address));
        bound.listeners.push(match tls {
            Some(tls) => Listener::Tls(listener, tls),
            None => Listener::Tcp(listener),
        });
    }
    if let Some(path) = &http.socket {
        let listener = bind_file(path).map_err(|error| explain(&path.display().to_string(), &error))?;
        bound.socket = Some(SocketFile(path.clone()));
        bound.listeners.push(Listener::Unix(listener));
    }
    Ok(bound)
}

fn explain(place: &str, error: &io::Error) -> CannotListen {
    match error.kind() {
        ErrorKind::AddrInUse => CannotListen::InUse(format!(
            "{place}: another program listens there; end that one, or set another listen in [http]"
        )),
        ErrorKind::PermissionDenied => CannotListen::Other(format!(
            "{place}: not allowed; ports below 1024 are a reverse proxy's, or need CAP_NET_BIND_SERVICE"
        )),
        ErrorKind::AddrNotAvailable => {
            CannotListen::Other(format!("{place}: this machine has no such address; see listen in [http]"))
        }
        _ => CannotListen::Other(format!("{place}: cannot listen there: {error}")),
    }
}

/// A file that a killed monitor has left behind is replaced, one that somebody listens on is not, and no other file.
fn bind_file(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            _ => return Err(ErrorKind::AddrInUse.into()),
        },
        Ok(_) => return Err(io::Error::other("it is there and no socket")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    // The proxy's user can be put into the group.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Raises the limit of open files to what the configuration wants, as far as it may; says if that is too little.
pub fn make_room(config: &Config) {
    let wanted = config.limits.connections as u64 + RESERVE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if current.is_some_and(|current| current < allowed) {
        // It stays as it is then, and is told below.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    }
    let current = getrlimit(Resource::Nofile).current;
    if let Some(current) = current.filter(|current| *current < wanted) {
        log::warn!(
            "the limit of open files is {current}: at most {} of {} connections ([limits]) can be open at once",
            current.saturating_sub(RESERVE),
            config.limits.connections
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(listen: Option<SocketAddr>, socket: Option<PathBuf>) -> Http {
        Http { listen, socket, tls: None, trusted_proxies: Vec::new() }
    }

    #[test]
    fn a_taken_address_is_told_as_such() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let http = http(taken.local_addr().ok(), None);
        let error = bind(&http, None).err().expect("taken");
        assert!(matches!(&error, CannotListen::InUse(why) if why.contains("another program")), "{error:?}");
    }

    #[test]
    fn a_socket_file_is_taken_over_from_the_dead_only() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("http.sock");
        let http = http(None, Some(path.clone()));
        drop(UnixListener::bind(&path).expect("one that is left behind"));
        let bound = bind(&http, None).expect("taken over");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert!(matches!(bind(&http, None), Err(CannotListen::InUse(_))));
        drop(bound);
        assert!(!path.exists());
        fs::write(&path, "mine").expect("a file");
        assert!(matches!(bind(&http, None), Err(CannotListen::Other(_))));
        assert_eq!(fs::read_to_string(&path).expect("untouched"), "mine");
    }
}
