//! Reads the expiry of a server's certificate for `doctor`. The certificate is not verified here; sending does that.

use crate::tls_client::validity::validity;
use crate::tls_client::verifier::{CertificateCheck, ShownCertificate, Verifier};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The moment after which the certificate of the server at `address` is no longer valid.
///
/// # Errors
/// The server does not respond within `limit`, does not speak TLS, or its certificate cannot be parsed.
pub fn expiry(host: &str, address: SocketAddr, limit: Duration) -> Result<SystemTime, String> {
    let provider = ring::default_provider();
    let (seen, algorithms) = (Witness::default(), provider.signature_verification_algorithms);
    let verifier = Verifier { check: seen.clone(), algorithms };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let mut connect = || {
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        connection.complete_io(&mut stream)
    };
    let result: io::Result<_> = connect();
    let certificate = seen.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (certificate, result) {
        (Some(der), _) => not_after(&der).ok_or_else(|| "its certificate cannot be parsed".to_owned()),
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(_)) => Err("it sends no certificate".to_owned()),
    }
}

/// Keeps the certificate and refuses every handshake, so that nothing is ever sent to an unverified server.
#[derive(Debug, Clone, Default)]
struct Witness(Arc<Mutex<Option<Vec<u8>>>>);

impl CertificateCheck for Witness {
    fn check(&self, shown: &ShownCertificate<'_>) -> Result<(), Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown.end_entity.to_vec());
        Err(Error::General("only the certificate was needed".into()))
    }
}

/// The last second of a certificate.
fn not_after(der: &[u8]) -> Option<SystemTime> {
    let (_, end) = validity(der)?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(end.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn certificate(year: i32) -> Vec<u8> {
        let mut parameters = CertificateParams::new(vec!["barn".to_owned()]).expect("a name");
        parameters.not_after = date_time_ymd(year, 3, 4);
        let key = KeyPair::generate().expect("a key");
        parameters.self_signed(&key).expect("signed").der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms() {
        for year in [2031, 2049, 2050, 2099] {
            let expected: SystemTime = date_time_ymd(year, 3, 4).into();
            assert_eq!(not_after(&certificate(year)), Some(expected), "{year}");
        }
    }

    #[test]
    fn a_damaged_certificate_has_no_dates() {
        let der = certificate(2031);
        for end in 0..der.len() {
            let _ = not_after(&der[..end]);
        }
        for place in 0..der.len().min(200) {
            let mut damaged = der.clone();
            damaged[place] ^= 0xff;
            let _ = not_after(&damaged);
        }
        assert_eq!(not_after(b""), None);
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
