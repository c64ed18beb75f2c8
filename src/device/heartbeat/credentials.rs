//! What proves who is who: the token, the server's CA, our client certificate. Read at start and at reload.

use crate::config::ConfigError;
use crate::device::config::{ClientCertificate, Heartbeat};
use crate::device::token::Token;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs;
use std::path::Path;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// The credential's name under `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential=).
const CREDENTIAL: &str = "heartbeat-token";

/// Everything secret or security-relevant that sending needs.
#[derive(Debug)]
pub struct Credentials {
    pub token: Option<Token>,
    pub tls: TlsConfig,
}

impl Credentials {
    /// # Errors
    /// A file cannot be read, or does not hold what it should; the sentence never shows its content.
    pub fn load(config: &Heartbeat) -> Result<Credentials, ConfigError> {
        let roots = config.ca_file.as_deref().map(roots).transpose()?.unwrap_or(RootCerts::WebPki);
        let client = config.client_certificate.as_ref().map(client).transpose()?;
        Ok(Credentials {
            token: Token::load("heartbeat", config.token_file.as_deref(), CREDENTIAL)?,
            tls: TlsConfig::builder().root_certs(roots).client_cert(client).build(),
        })
    }
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| {
        ConfigError::new(format!("[heartbeat] {key} = \"{}\": cannot be read: {error}", path.display()))
    })
}

fn fault(key: &str, path: &Path, problem: &str) -> ConfigError {
    ConfigError::new(format!("[heartbeat] {key} = \"{}\": {problem}", path.display()))
}

fn roots(path: &Path) -> Result<RootCerts, ConfigError> {
    let bytes = read("ca_file", path)?;
    let certificates = certificates(&bytes);
    let usable = |c: &Certificate| {
        rustls::RootCertStore::empty().add_parsable_certificates([CertificateDer::from(c.der())]).0 == 1
    };
    if certificates.is_empty() || !certificates.iter().any(usable) {
        return Err(fault("ca_file", path, "holds no certificate in PEM form"));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect()
}

fn client(files: &ClientCertificate) -> Result<ClientCert, ConfigError> {
    let (certificate_file, key_file) = (files.certificate_file.as_path(), files.key_file.as_path());
    let chain = certificates(&read("client_certificate_file", certificate_file)?);
    if chain.is_empty() {
        return Err(fault("client_certificate_file", certificate_file, "holds no certificate in PEM form"));
    }
    let key_pem = read("client_key_file", key_file)?;
    let key = PrivateKey::from_pem(&key_pem)
        .map_err(|_| fault("client_key_file", key_file, "holds no private key in PEM form"))?;
    // Checked here because ureq would panic at the first connection.
    let der = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| fault("client_key_file", key_file, "holds no private key in PEM form"))?;
    let der_chain = chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
    CertifiedKey::from_der(der_chain, der, &ring::default_provider())
        .map_err(|_| fault("client_key_file", key_file, "does not belong to client_certificate_file"))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}
