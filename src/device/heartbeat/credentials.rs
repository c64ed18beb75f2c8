//! What proves who is who: the token, the server's CA, our client certificate. Read at start and at reload.

use crate::config::ConfigError;
use crate::device::config::{ClientCertificate, Heartbeat};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// The credential's name under `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential=).
const CREDENTIAL: &str = "heartbeat-token";

/// Longer than any token, shorter than any header limit.
const LONGEST_TOKEN: usize = 4096;

/// Everything secret or security-relevant that sending needs.
#[derive(Debug)]
pub struct Credentials {
    pub token: Option<Token>,
    pub tls: TlsConfig,
}

/// A bearer token, which never shows up in a log.
pub struct Token(String);

impl Token {
    /// For the header; nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Credentials {
    /// # Errors
    /// A file cannot be read, or does not hold what it should; the sentence never shows its content.
    pub fn load(config: &Heartbeat) -> Result<Credentials, ConfigError> {
        let token_file = config.token_file.clone().or_else(systemd_credential);
        let roots = config.ca_file.as_deref().map(roots).transpose()?.unwrap_or(RootCerts::WebPki);
        let client = config.client_certificate.as_ref().map(client).transpose()?;
        Ok(Credentials {
            token: token_file.as_deref().map(token).transpose()?,
            tls: TlsConfig::builder().root_certs(roots).client_cert(client).build(),
        })
    }
}

fn systemd_credential() -> Option<PathBuf> {
    let path = Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join(CREDENTIAL);
    path.exists().then_some(path)
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| {
        ConfigError::new(format!("[heartbeat] {key} = \"{}\": cannot be read: {error}", path.display()))
    })
}

fn fault(key: &str, path: &Path, problem: &str) -> ConfigError {
    ConfigError::new(format!("[heartbeat] {key} = \"{}\": {problem}", path.display()))
}

fn token(path: &Path) -> Result<Token, ConfigError> {
    let bytes = read("token_file", path)?;
    let text = std::str::from_utf8(&bytes).unwrap_or("").trim();
    let allowed = |c: char| c.is_ascii_graphic();
    if text.is_empty() || text.len() > LONGEST_TOKEN || !text.chars().all(allowed) {
        let problem = "must hold one line: the token, up to 4096 printable ASCII characters without spaces";
        return Err(fault("token_file", path, problem));
    }
    Ok(Token(text.to_owned()))
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
