//! The certificate that a server shows, for `doctor`: until when it is valid. It is read and not trusted; whether it is
//! trusted is what sending finds out.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `UTCTime` and `GeneralizedTime`, with the tags of X.690.
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT Version`, which a certificate of version 1 does not have.
const VERSION: u8 = 0xa0;

/// The moment after which the certificate of the server at `address` is no longer valid.
///
/// # Errors
/// The server does not answer within `limit`, does not speak TLS, or its certificate cannot be read.
pub fn expiry(host: &str, address: SocketAddr, limit: Duration) -> Result<SystemTime, String> {
    let seen = Arc::new(Witness(
        Mutex::new(None),
        ring::default_provider().signature_verification_algorithms.supported_schemes(),
    ));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
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
        (Some(der), _) => not_after(&der).ok_or_else(|| "its certificate cannot be read".to_owned()),
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(_)) => Err("it shows no certificate".to_owned()),
    }
}

/// Keeps the certificate and refuses every handshake, so that nothing is ever sent to a server that nobody has verified.
#[derive(Debug)]
struct Witness(Mutex<Option<Vec<u8>>>, Vec<SignatureScheme>);

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate.to_vec());
        Err(Error::General("only its certificate was wanted".into()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("never verified".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("never verified".into()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.clone()
    }
}

/// `notAfter` of RFC 5280, 4.1: Certificate { tbs { [version], serial, algorithm, issuer, validity { from, to } } }.
fn not_after(der: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (tbs, _) = expect(certificate, SEQUENCE)?;
    let (tag, _, behind) = element(tbs)?;
    let serial = if tag == VERSION { behind } else { tbs };
    let (_, _, algorithm) = element(serial)?;
    let (_, _, issuer) = element(algorithm)?;
    let (_, _, validity) = element(issuer)?;
    let (validity, _) = expect(validity, SEQUENCE)?;
    let (_, _, to) = element(validity)?;
    let (tag, text, _) = element(to)?;
    moment(tag, std::str::from_utf8(text).ok()?)
}

/// Two digits of a year below 50 are of this century (RFC 5280, 4.1.2.5.1).
fn moment(tag: u8, text: &str) -> Option<SystemTime> {
    let text = match tag {
        GENERALIZED_TIME => text.to_owned(),
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        _ => return None,
    };
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14 && digits.is_ascii())?;
    let (date, time) = digits.split_at(8);
    let date = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
    let time = format!("{}:{}:{}", &time[..2], &time[2..4], &time[4..]);
    OffsetDateTime::parse(&format!("{date}T{time}Z"), &Rfc3339).ok().map(SystemTime::from)
}

fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, behind) = element(bytes)?;
    (tag == wanted).then_some((content, behind))
}

/// Tag, content, and what is behind it. A length has one byte, or up to four after a byte with their number.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
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
    fn a_damaged_certificate_has_none_and_is_no_panic() {
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
