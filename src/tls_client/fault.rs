//! One sentence for each certificate error that a person can correct.

use super::verifier::webpki_error;
use rustls::{CertificateError, Error};
use std::io;

/// The fault of a server's certificate and its remedy; `None` for other errors and for dates, whose
/// sentence depends on whose clock it is.
pub fn advice(error: &Error) -> Option<String> {
    match webpki_error(error) {
        Some(webpki::Error::CaUsedAsEndEntity) => {
            return Some(
                "its certificate is self-signed or an authority's, and ca_file does not contain it: put exactly this \
                 certificate into ca_file"
                    .into(),
            );
        }
        Some(webpki::Error::UnsupportedCertVersion) => {
            return Some(format!("its certificate is X.509 version 1, which names no host: {NEW_ONE}"));
        }
        _ => {}
    }
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some("its certificate was issued by an unknown CA: put the CA's certificate into ca_file".into())
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })
            if presented.is_empty() =>
        {
            Some(format!("its certificate has no subjectAltName, and its CN does not count: {NEW_ONE}"))
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }) => {
            Some(format!(
                "its certificate is for another name ({}), not for {}: check the host",
                presented.join(", "),
                expected.to_str()
            ))
        }
        Error::InvalidCertificate(CertificateError::NotValidForName) => {
            Some("its certificate is for another name: check the host".into())
        }
        _ => None,
    }
}

const NEW_ONE: &str =
    "make a new one with openssl req -x509 ... -addext subjectAltName=DNS:HOST (or IP:ADDRESS)";

/// The TLS error inside an error of a connection.
pub fn within(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}
