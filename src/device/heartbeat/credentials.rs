//! Credentials of both sides: the token, the server's CA, our client certificate. Read at start and at reload. Token and CA
//! come from the configuration, or else from the enrolment.

use crate::config::ConfigError;
use crate::device::config::{ClientCertificate, HeartbeatConfig};
use crate::device::token::Token;
use crate::tls_client::trust::{ClientIdentity, Trust};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The credential's name under `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential=).
const CREDENTIAL: &str = "heartbeat-token";

/// Everything secret or security-relevant that sending needs.
#[derive(Debug)]
pub struct Credentials {
    pub token: Option<Token>,
    pub tls: Arc<ClientConfig>,
}

impl Credentials {
    /// Those of each server, in the order of [`HeartbeatConfig::servers`]; without any server, those that `[heartbeat]` names.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should; the sentence never shows its content.
    pub fn load_each(config: &HeartbeatConfig) -> Result<Vec<Credentials>, ConfigError> {
        match config.servers() {
            servers if servers.is_empty() => Ok(vec![Credentials::load(config)?]),
            servers => servers.iter().map(Credentials::load).collect(),
        }
    }

    /// # Errors
    /// A file cannot be read, or does not hold what it should; the sentence never shows its content.
    pub fn load(config: &HeartbeatConfig) -> Result<Credentials, ConfigError> {
        let enrolled = config.enrolment.record();
        let trust = match (config.ca_file.as_deref(), enrolled.and_then(|record| record.ca.as_deref())) {
            (Some(path), _) => trust(path)?,
            (None, Some(pem)) => Trust::only(pem.as_bytes())
                .map_err(|problem| ConfigError::new(format!("the CA of the enrolment {problem}")))?,
            (None, None) => Trust::public(),
        };
        let files = config.client_certificate.as_ref();
        let tls = trust.client_config(files.map(identity).transpose()?).map_err(|error| match files {
            Some(ClientCertificate { key_file, .. }) => {
                fault("client_key_file", key_file, "does not belong to client_certificate_file")
            }
            None => ConfigError::new(format!("TLS cannot be set up: {error}")),
        })?;
        let token = own_token(config)?.or_else(|| Token::parse(&enrolled?.token));
        Ok(Credentials { token, tls: Arc::new(tls) })
    }
}

/// The token in `token_file` or in the systemd credential; without either, that of the enrolment is used.
///
/// # Errors
/// The file cannot be read, or does not hold a token.
pub fn own_token(config: &HeartbeatConfig) -> Result<Option<Token>, ConfigError> {
    Token::load("heartbeat", config.token_file.as_deref(), CREDENTIAL)
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| {
        ConfigError::new(format!("[heartbeat] {key} = \"{}\": cannot be read: {error}", path.display()))
    })
}

fn fault(key: &str, path: &Path, problem: &str) -> ConfigError {
    ConfigError::new(format!("[heartbeat] {key} = \"{}\": {problem}", path.display()))
}

fn trust(path: &Path) -> Result<Trust, ConfigError> {
    Trust::only(&read("ca_file", path)?).map_err(|problem| fault("ca_file", path, &problem))
}

fn identity(files: &ClientCertificate) -> Result<ClientIdentity, ConfigError> {
    let (certificate_file, key_file) = (files.certificate_file.as_path(), files.key_file.as_path());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read("client_certificate_file", certificate_file)?)
        .filter_map(Result::ok)
        .collect();
    if chain.is_empty() {
        return Err(fault("client_certificate_file", certificate_file, "holds no certificate in PEM form"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read("client_key_file", key_file)?)
        .map_err(|_| fault("client_key_file", key_file, "holds no private key in PEM form"))?;
    Ok((chain, key))
}
