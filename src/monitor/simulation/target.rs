//! The servers that a fleet sends to, and the addresses that it sends from.

use crate::tls_client::trust::Trust;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_PATH: &str = "api/v1/heartbeat";

/// A source address has some 28,000 ports (net.ipv4.ip_local_port_range), and a monitor permits 1,000 connections from one
/// address by default. A port is free again a minute after its connection was closed.
const MACHINES_A_SOURCE: u32 = 500;

/// One server.
#[derive(Debug, Clone)]
pub struct FleetServer {
    pub address: SocketAddr,
    pub authority: String,
    pub path: String,
    pub tls: Option<ServerTls>,
}

#[derive(Debug, Clone)]
pub struct ServerTls {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl FleetServer {
    /// `ca_file`: the only certificates that an https server is verified with; without one the public authorities.
    ///
    /// # Errors
    /// A sentence: the URL is wrong, the name has no address, or nothing listens there.
    pub fn of(url: &str, ca_file: Option<&Path>) -> Result<FleetServer, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(format!("{url}: expected http://HOST:PORT/PATH or https://HOST:PORT/PATH")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, DEFAULT_PATH));
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let place = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let address = reachable(&place).map_err(|why| format!("{place}: {why}"))?;
        let tls = (scheme == "https").then(|| tls(&place, ca_file)).transpose()?;
        Ok(FleetServer { address, authority: authority.to_owned(), path: format!("/{path}"), tls })
    }
}

fn reachable(place: &str) -> std::io::Result<SocketAddr> {
    let mut addresses = place.to_socket_addrs()?;
    let address = addresses.next().ok_or_else(|| std::io::Error::other("no address found"))?;
    TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    Ok(address)
}

fn tls(place: &str, ca_file: Option<&Path>) -> Result<ServerTls, String> {
    let trust = ca_file.map_or_else(|| Ok(Trust::public()), Trust::only_file)?;
    let config = trust.client_config(None).map_err(|error| error.to_string())?;
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    Ok(ServerTls { config: Arc::new(config), name })
}

/// The address that a machine connects from: on loopback one for each 500 machines, otherwise the kernel's choice.
pub fn source(server: &FleetServer, number: u32) -> Option<IpAddr> {
    let is_v4_loopback = server.address.is_ipv4() && server.address.ip().is_loopback();
    let group = number / MACHINES_A_SOURCE;
    let [_, _, high, low] = (group + 1).to_be_bytes();
    is_v4_loopback.then_some(IpAddr::V4(Ipv4Addr::new(127, 1, high, low)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_url_that_is_not_http_or_has_no_listener_is_refused() {
        for url in ["ftp://127.0.0.1/", "127.0.0.1:8080", "http://127.0.0.1:1/x", "https://127.0.0.1:1/"] {
            assert!(FleetServer::of(url, None).is_err(), "{url}");
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = FleetServer::of(&format!("http://{address}/a/b"), None).expect("a server");
        assert_eq!((server.address, server.path.as_str()), (address, "/a/b"));
        assert!(server.tls.is_none());
        let server = FleetServer::of(&format!("https://{address}"), None).expect("a server");
        assert_eq!(server.path, "/api/v1/heartbeat");
        assert!(server.tls.is_some());
        let missing = FleetServer::of(&format!("https://{address}"), Some(Path::new("/nonexistent")));
        assert!(missing.is_err_and(|why| why.contains("/nonexistent")));
    }

    #[test]
    fn machines_on_loopback_share_a_source_address_with_few_others() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = FleetServer::of(&format!("http://{address}"), None).expect("a server");
        let from = |number| source(&server, number).map(|address| address.to_string());
        assert_eq!(from(1).as_deref(), Some("127.1.0.1"));
        assert_eq!(from(499).as_deref(), Some("127.1.0.1"));
        assert_eq!(from(500).as_deref(), Some("127.1.0.2"));
        assert_eq!(from(100_000).as_deref(), Some("127.1.0.201"));
        let elsewhere = FleetServer { address: "192.0.2.1:80".parse().expect("an address"), ..server };
        assert_eq!(source(&elsewhere, 1), None);
    }
}
