//! Requests `/healthz` over the monitor's own listener: for the command `health`, and before the watchdog is pinged. An
//! answer proves that connections are accepted and requests answered.

use super::config::HttpConfig;
use crate::clock::remaining_or_timeout;
use crate::tls_client::verifier::{CertificateCheck, ShownCertificate, Verifier};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Health is answered from memory.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A response is a short text.
const LONGEST: u64 = 64 * 1024;
const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Where this machine reaches the monitor that runs with this configuration.
#[derive(Debug, Clone)]
pub struct OwnListener {
    address: Option<SocketAddr>,
    is_tls: bool,
    socket: Option<PathBuf>,
}

/// Why the monitor is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    #[error("no monitor responds at {place}: {error}")]
    NoResponse { place: String, error: io::Error },
    /// The monitor's own words.
    #[error("{0}")]
    Trouble(String),
    #[error("{place} responds with {line:?}: is it a heartbeat-monitor?")]
    Unexpected { place: String, line: String },
}

impl OwnListener {
    pub fn of(http: &HttpConfig) -> OwnListener {
        OwnListener { address: http.listen, is_tls: http.tls.is_some(), socket: http.socket.clone() }
    }

    /// With the address that was bound: the port of the configuration may be 0.
    pub fn bound(http: &HttpConfig, address: Option<SocketAddr>) -> OwnListener {
        OwnListener { address, ..OwnListener::of(http) }
    }

    /// The body of a good response.
    ///
    /// # Errors
    /// The monitor does not respond in time, or reports trouble.
    pub fn health(&self) -> Result<String, Unhealthy> {
        let place = self.place();
        let response = match self.request() {
            Ok(response) => response,
            Err(error) => return Err(Unhealthy::NoResponse { place, error }),
        };
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.trim().to_owned()),
            Some("503") => Err(Unhealthy::Trouble(body.trim().to_owned())),
            _ => {
                let line = head.lines().next().unwrap_or("nothing").to_owned();
                Err(Unhealthy::Unexpected { place, line })
            }
        }
    }

    fn place(&self) -> String {
        match (self.address, &self.socket) {
            (Some(address), _) => reachable(address).to_string(),
            (None, Some(path)) => path.display().to_string(),
            (None, None) => "no address".to_owned(),
        }
    }

    fn request(&self) -> io::Result<String> {
        let deadline = Instant::now() + TIMEOUT;
        match (self.address, &self.socket) {
            (Some(address), _) => {
                let stream = TcpStream::connect_timeout(&reachable(address), TIMEOUT)?;
                if self.is_tls {
                    exchange(&mut encrypted(stream)?, deadline, |tls, time| set_timeouts(&tls.sock, time))
                } else {
                    exchange(&mut { stream }, deadline, set_timeouts)
                }
            }
            (None, Some(path)) => exchange(&mut UnixStream::connect(path)?, deadline, |stream, time| {
                stream.set_read_timeout(Some(time))?;
                stream.set_write_timeout(Some(time))
            }),
            (None, None) => {
                Err(io::Error::other("the configuration has neither an address nor a socket file"))
            }
        }
    }
}

/// The address at which this machine reaches a listener: "any address" is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

fn set_timeouts(stream: &TcpStream, time: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(time))?;
    stream.set_write_timeout(Some(time))
}

/// Sends the request and reads the response up to the end of the connection, or to `LONGEST`.
fn exchange<S: Read + Write>(
    stream: &mut S,
    deadline: Instant,
    limit: impl Fn(&S, Duration) -> io::Result<()>,
) -> io::Result<String> {
    limit(stream, remaining_or_timeout(deadline)?)?;
    stream.write_all(REQUEST)?;
    let (mut response, mut part) = (Vec::new(), [0; 4096]);
    while (response.len() as u64) < LONGEST {
        limit(stream, remaining_or_timeout(deadline)?)?;
        match stream.read(&mut part)? {
            0 => break,
            length => response.extend_from_slice(&part[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&response).into_owned())
}

/// Accepts any certificate: the other end is this machine's own listener, and the request holds no secret. The
/// certificate names the public address, and may have been renewed since the monitor read it.
#[derive(Debug)]
struct AnyCertificate;

impl CertificateCheck for AnyCertificate {
    fn check(&self, _: &ShownCertificate<'_>) -> Result<(), rustls::Error> {
        Ok(())
    }
}

fn encrypted(stream: TcpStream) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { check: AnyCertificate, algorithms }))
        .with_no_client_auth();
    let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn any_address_is_reached_over_loopback() {
        for (listen, expected) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("192.0.2.7:80", "192.0.2.7:80")]
        {
            assert_eq!(reachable(listen.parse().expect("an address")).to_string(), expected);
        }
    }
}
