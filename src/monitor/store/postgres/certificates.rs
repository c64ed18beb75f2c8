//! How the certificate of a PostgreSQL server is checked, by `sslmode`.

use super::url::{PostgresUrl, TlsMode};
use crate::tls_client::trust::Trust;
use crate::tls_client::verifier::{CertificateCheck, ShownCertificate, TrustCheck, Verifier};
use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, Error};
use std::sync::Arc;

/// `None`: connections are without TLS.
///
/// # Errors
/// A sentence: the CA file cannot be read, or has no certificate.
pub fn client_config(url: &PostgresUrl) -> Result<Option<ClientConfig>, String> {
    let trust = || match &url.ca_file {
        Some(path) => Trust::only_file(path),
        None => Ok(Trust::public()),
    };
    let config = match (url.tls, &url.ca_file) {
        (TlsMode::Disable, _) => return Ok(None),
        (TlsMode::VerifyFull, _) => trust()?.client_config(None),
        // As libpq: whoever names an authority wants it to be checked.
        (TlsMode::VerifyCa, _) | (TlsMode::Require, Some(_)) => {
            trust()?.verifier().and_then(|Verifier { check, algorithms }| {
                config_with(Verifier { check: AnyName(check), algorithms })
            })
        }
        (TlsMode::Prefer | TlsMode::Require, _) => {
            let algorithms = ring::default_provider().signature_verification_algorithms;
            config_with(Verifier { check: AnyCertificate, algorithms })
        }
    };
    config.map(Some).map_err(|error| error.to_string())
}

fn config_with<C: CertificateCheck + 'static>(verifier: Verifier<C>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// `sslmode=prefer` and `require`: encrypted, but any server is believed, also one that only pretends to be ours.
#[derive(Debug)]
struct AnyCertificate;

impl CertificateCheck for AnyCertificate {
    fn check(&self, _: &ShownCertificate<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// `sslmode=verify-ca`. The name is checked last, so a wrong one is all that is wrong.
#[derive(Debug)]
struct AnyName(TrustCheck);

impl CertificateCheck for AnyName {
    fn check(&self, shown: &ShownCertificate<'_>) -> Result<(), Error> {
        match self.0.check(shown) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            checked => checked,
        }
    }
}
