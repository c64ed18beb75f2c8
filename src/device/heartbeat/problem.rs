//! Connection errors in words for the person who reads them in the log.

use crate::clock::Moment;
use crate::config::Period;
use crate::tls_client::fault;
use std::io;
use std::time::Duration;

/// Whether the other side has closed the connection without a word, or the kernel has because nothing came through
/// (ETIMEDOUT; our own limit is [`ureq::Error::Timeout`]).
pub fn has_closed(error: &ureq::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof,
    };
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut | UnexpectedEof
        ),
        _ => false,
    }
}

/// `limit`: the time that the request had.
pub fn describe(error: &ureq::Error, limit: Duration, now: Moment) -> String {
    match error {
        ureq::Error::Timeout(_) => {
            format!("no answer within {}", Period(Duration::from_millis(limit.as_millis() as u64)))
        }
        ureq::Error::Io(error) => match fault::within(error) {
            Some(error) => describe_tls(error, now),
            None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => {
                "it closed the connection".to_owned()
            }
            None => error.to_string(),
        },
        ureq::Error::Rustls(error) => describe_tls(error, now),
        ureq::Error::Protocol(error) => {
            format!(
                "its answer is not HTTP ({error}); if the port is for HTTPS, url must start with https://"
            )
        }
        ureq::Error::LargeResponseHeader(..) => "its answer has more than 16 KiB of headers".to_owned(),
        other => other.to_string(),
    }
}

fn describe_tls(error: &rustls::Error, now: Moment) -> String {
    use rustls::CertificateError as Bad;
    use rustls::Error::InvalidCertificate;
    match error {
        InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => format!(
            "its certificate is not valid yet; this device's clock says {}: has the time been set?",
            now.rfc_3339().unwrap_or_else(|| "an impossible time".to_owned())
        ),
        InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            format!(
                "its certificate has expired, or this device's clock is wrong: it says {}",
                now.rfc_3339().unwrap_or_else(|| "an impossible time".to_owned())
            )
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired) => {
            "it wants a client certificate: set client_certificate_file and client_key_file".to_owned()
        }
        // The first byte of the answer begins no TLS record.
        rustls::Error::InvalidMessage(_) => {
            "its answer is not TLS; if the port is for plain HTTP, url must start with http://".to_owned()
        }
        other => fault::advice(other).unwrap_or_else(|| format!("TLS: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_named_when_a_certificate_is_not_valid_yet() {
        let error = rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidYet);
        let wrapped = ureq::Error::Io(io::Error::new(io::ErrorKind::InvalidData, error));
        let text = describe(&wrapped, Duration::from_secs(2), Moment(0));
        assert!(text.contains("1970-01-01T00:00:00Z"), "{text}");
        assert!(text.contains("has the time been set"), "{text}");
    }
}
