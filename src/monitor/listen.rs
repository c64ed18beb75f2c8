//! Binds the address and the socket file, before the monitor reports that it is ready.

use super::command_error::CommandError;
use super::config::{Config, HttpConfig, TlsFiles};
use super::packages::private_ca::PrivateCa;
use crate::config::ConfigError;
use crate::http::listener::{Listener, SocketFile};
use crate::http::tickets::TicketKeys;
use crate::http::tls::{TlsConfig, server_config};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// File descriptors for everything but connections: database, couriers, log, and connections that are being refused.
const RESERVE: u64 = 128;

/// The bound listeners.
pub struct Bound {
    pub listeners: Vec<Listener>,
    /// For replacing the certificate.
    pub tls: Option<TlsConfig>,
    /// The actual address, if port 0 was configured.
    pub address: Option<SocketAddr>,
    pub socket: Option<SocketFile>,
}

/// Loads certificate and key; `None`: the configuration names none. The certificate of a private CA becomes the end of the
/// chain, because new devices take it from there.
///
/// # Errors
/// A file cannot be read, or they do not belong together.
pub fn certificate(config: &Config) -> Result<Option<rustls::ServerConfig>, ConfigError> {
    let Some(tls) = &config.http.tls else { return Ok(None) };
    let ca = config.web.ca_file.as_deref().map(PrivateCa::read).transpose()?;
    load(tls, ca.as_ref()).map(Some)
}

fn load(tls: &TlsFiles, ca: Option<&PrivateCa>) -> Result<rustls::ServerConfig, ConfigError> {
    let read = |path: &Path| {
        let problem = |error| ConfigError::new(format!("cannot read {}: {error}", path.display()));
        fs::read(path).map_err(problem)
    };
    let (mut chain, key) = (read(&tls.certificate_file)?, read(&tls.key_file)?);
    if let Some(ca) = ca {
        chain.extend_from_slice(format!("\n{}", ca.pem).as_bytes());
    }
    server_config(&chain, &key).map_err(|problem| {
        let (chain, key) = (tls.certificate_file.display(), tls.key_file.display());
        ConfigError::new(format!("{chain} and {key}: {problem}"))
    })
}

/// Binds address and socket file. With `tls`, the address speaks TLS; the socket file never does.
pub fn bind(
    http: &HttpConfig,
    state_dir: &Path,
    tls: Option<rustls::ServerConfig>,
) -> Result<Bound, CommandError> {
    let tls =
        tls.map(|tls| TlsConfig::new(tls, Arc::new(TicketKeys::open(ticket_keys_file(http, state_dir)))));
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

fn ticket_keys_file(http: &HttpConfig, state_dir: &Path) -> PathBuf {
    http.ticket_keys_file.clone().unwrap_or_else(|| state_dir.join("tls-ticket-keys"))
}

fn explain(place: &str, error: &io::Error) -> CommandError {
    match error.kind() {
        ErrorKind::AddrInUse => CommandError::InUse(format!(
            "{place}: another process listens there; stop it, or change listen in [http]"
        )),
        ErrorKind::PermissionDenied => CommandError::Other(format!(
            "{place}: not permitted; use a reverse proxy for ports below 1024, or grant CAP_NET_BIND_SERVICE"
        )),
        ErrorKind::AddrNotAvailable => {
            CommandError::Other(format!("{place}: this host has no such address; see listen in [http]"))
        }
        _ => CommandError::Other(format!("{place}: cannot listen: {error}")),
    }
}

/// Replaces the stale socket of a killed monitor; refuses a socket in use and any other file.
fn bind_file(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            _ => return Err(ErrorKind::AddrInUse.into()),
        },
        Ok(_) => return Err(io::Error::other("the file exists and is not a socket")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    // The proxy's user can be a member of the group.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Raises the limit of open files for the configured connections, as far as permitted. Returns how many of them can be open
/// at once, and warns if these are fewer: beyond that number new ones are refused, while descriptors are left for the rest.
pub fn make_room(config: &Config) -> usize {
    let wanted = config.limits.connections as u64 + RESERVE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if current.is_some_and(|current| current < allowed) {
        // On failure the limit stays; the warning below says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    }
    let current = getrlimit(Resource::Nofile).current;
    let Some(current) = current.filter(|current| *current < wanted) else { return config.limits.connections };
    let room = usize::try_from(current.saturating_sub(RESERVE)).unwrap_or(usize::MAX).max(1);
    log::warn!(
        "the limit of open files is {current}: at most {room} of {} connections ([limits]) can be open at once",
        config.limits.connections
    );
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(listen: Option<SocketAddr>, socket: Option<PathBuf>) -> HttpConfig {
        HttpConfig { listen, socket, tls: None, ticket_keys_file: None, trusted_proxies: Vec::new() }
    }

    #[test]
    fn an_address_in_use_is_reported_as_such() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let http = http(taken.local_addr().ok(), None);
        let error = bind(&http, Path::new("/nonexistent"), None).err().expect("taken");
        assert!(matches!(&error, CommandError::InUse(why) if why.contains("another process")), "{error:?}");
    }

    #[test]
    fn only_a_stale_socket_file_is_replaced() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("http.sock");
        let http = http(None, Some(path.clone()));
        drop(UnixListener::bind(&path).expect("one that is left behind"));
        let bound = bind(&http, Path::new("/nonexistent"), None).expect("taken over");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert!(matches!(bind(&http, Path::new("/nonexistent"), None), Err(CommandError::InUse(_))));
        drop(bound);
        assert!(!path.exists());
        fs::write(&path, "mine").expect("a file");
        assert!(matches!(bind(&http, Path::new("/nonexistent"), None), Err(CommandError::Other(_))));
        assert_eq!(fs::read_to_string(&path).expect("untouched"), "mine");
    }
}
