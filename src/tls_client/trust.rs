//! The certificates that servers are verified with, and the rustls configuration made of them.

use super::verifier::{TrustCheck, Verifier};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Remembered TLS sessions, 8 for each server: each program connects to a few servers, and rustls reserves
/// the memory of all of them at once.
const SESSIONS: usize = 64;

/// Certificates that servers are verified with.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The authorities; those of a file include its self-signed certificates.
    roots: Arc<RootCertStore>,
    /// The certificates of a file as they are: a server may show one of these itself.
    pinned: Arc<[CertificateDer<'static>]>,
}

/// Certificate chain and private key that a client shows to a server that asks for them.
pub type ClientIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Trust {
    /// The public authorities, as browsers have them.
    pub fn public() -> Trust {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Trust { roots: Arc::new(roots), pinned: Arc::default() }
    }

    /// The certificates in the PEM text of a `ca_file`, and no others.
    ///
    /// # Errors
    /// A sentence: the text is no PEM, or holds no usable certificate.
    pub fn only(pem: &[u8]) -> Result<Trust, String> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("is not valid PEM: {error}"))?;
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        match usable {
            0 => Err("holds no certificate in PEM form".into()),
            _ => Ok(Trust { roots: Arc::new(roots), pinned: certificates.into() }),
        }
    }

    /// [`Trust::only`] for a file.
    pub fn only_file(path: &Path) -> Result<Trust, String> {
        let pem = fs::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        Trust::only(&pem).map_err(|problem| format!("{}: {problem}", path.display()))
    }

    /// The public authorities in addition.
    #[must_use]
    pub fn and_public(self) -> Trust {
        let mut roots = RootCertStore::clone(&self.roots);
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Trust { roots: Arc::new(roots), ..self }
    }

    /// The check of these certificates, for a configuration of one's own.
    ///
    /// # Errors
    /// There is no authority.
    pub fn verifier(&self) -> Result<Verifier<TrustCheck>, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        TrustCheck::verifier(self.roots.clone(), self.pinned.clone(), &provider)
    }

    /// A configuration for connections that are verified with these certificates.
    ///
    /// # Errors
    /// The private key does not belong to the certificate of `identity`.
    pub fn client_config(&self, identity: Option<ClientIdentity>) -> Result<ClientConfig, rustls::Error> {
        let verifier = self.verifier()?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            // rustls' word for a verifier of one's own; ours does all that rustls' does (see its tests).
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }
}
