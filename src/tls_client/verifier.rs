//! The check of a server's certificate: rustls' own, with one addition for self-signed certificates.
//!
//! `openssl req -x509` marks the certificate that it makes as an authority (CA:TRUE), and webpki accepts no authority
//! as a server's own certificate. A certificate that the configured file contains byte for byte is trusted all the
//! same, after the checks that webpki has not done by then: dates and name. The handshake proves that the server
//! has its private key, as for any other certificate.

use super::validity::validity;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use std::fmt::Debug;
use std::sync::Arc;

/// Decides about a server's certificate.
pub trait CertificateCheck: Debug + Send + Sync {
    fn check(&self, shown: &ShownCertificate<'_>) -> Result<(), Error>;
}

/// The certificate that a server shows, and everything that it is checked against.
pub struct ShownCertificate<'a> {
    pub end_entity: &'a CertificateDer<'a>,
    pub intermediates: &'a [CertificateDer<'a>],
    pub server_name: &'a ServerName<'a>,
    pub ocsp_response: &'a [u8],
    pub now: UnixTime,
}

/// rustls' verifier of handshakes, with `C` to decide about the certificate.
#[derive(Debug)]
pub struct Verifier<C> {
    pub check: C,
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl<C: CertificateCheck> ServerCertVerifier for Verifier<C> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = ShownCertificate { end_entity, intermediates, server_name, ocsp_response, now };
        self.check.check(&shown).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Trusts certificates of the given authorities, and the certificates in the configured file themselves.
#[derive(Debug)]
pub struct TrustCheck {
    webpki: Arc<WebPkiServerVerifier>,
    pinned: Arc<[CertificateDer<'static>]>,
}

impl TrustCheck {
    /// # Errors
    /// There is no authority.
    pub fn verifier(
        roots: Arc<RootCertStore>,
        pinned: Arc<[CertificateDer<'static>]>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Verifier<TrustCheck>, Error> {
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        let algorithms = provider.signature_verification_algorithms;
        Ok(Verifier { check: TrustCheck { webpki, pinned }, algorithms })
    }
}

impl CertificateCheck for TrustCheck {
    fn check(&self, shown: &ShownCertificate<'_>) -> Result<(), Error> {
        let ShownCertificate { end_entity, intermediates, server_name, ocsp_response, now } = *shown;
        let verified =
            self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(error)
                if webpki_error(&error) == Some(&webpki::Error::CaUsedAsEndEntity)
                    && self.pinned.contains(end_entity) =>
            {
                check_dates(end_entity, now)?;
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)
            }
            verified => verified.map(drop),
        }
    }
}

/// webpki's own error, where rustls has none of its own for it.
pub fn webpki_error(error: &Error) -> Option<&webpki::Error> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.downcast_ref(),
        _ => None,
    }
}

fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (not_before, not_after) = validity(certificate).ok_or(CertificateError::BadEncoding)?;
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    Ok(())
}
