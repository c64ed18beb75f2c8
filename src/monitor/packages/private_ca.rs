//! The certificate of a private CA, `[web] ca_file`: devices get it before they can trust this monitor.

use crate::config::ConfigError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Base64 per line, as openssl writes it: devices compute the hash of its output.
const COLUMNS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateCa {
    /// One certificate.
    pub pem: String,
    /// Of `pem`, in hexadecimal digits.
    pub sha256: String,
}

impl PrivateCa {
    /// Reads the first certificate of a file.
    ///
    /// # Errors
    /// The file cannot be read, or has none.
    pub fn read(path: &Path) -> Result<PrivateCa, ConfigError> {
        let fault =
            |problem: String| ConfigError::new(format!("[web] ca_file {}: {problem}", path.display()));
        let bytes = fs::read(path).map_err(|error| fault(error.to_string()))?;
        let certificate = CertificateDer::pem_slice_iter(&bytes).next();
        let certificate = certificate.ok_or_else(|| fault("it contains no certificate (PEM)".into()))?;
        Ok(PrivateCa::of(&certificate.map_err(|error| fault(error.to_string()))?))
    }

    fn of(certificate: &CertificateDer<'_>) -> PrivateCa {
        let encoded = STANDARD.encode(certificate);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in encoded.as_bytes().chunks(COLUMNS) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        let mut sha256 = String::new();
        for byte in Sha256::digest(pem.as_bytes()) {
            // Writing into a String cannot fail.
            let _ = write!(sha256, "{byte:02x}");
        }
        PrivateCa { pem, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_written_as_openssl_writes_it() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(Vec::new()).expect("no names").self_signed(&key);
        let certificate = certificate.expect("a certificate");
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("ca.pem");
        let encoded = STANDARD.encode(certificate.der());
        // Windows line ends, one long line, and text before it.
        fs::write(
            &path,
            format!(
                "CA of the barn\r\n-----BEGIN CERTIFICATE-----\r\n{encoded}\r\n-----END CERTIFICATE-----\r\n"
            ),
        )
        .expect("written");
        let ca = PrivateCa::read(&path).expect("a certificate");
        assert!(
            ca.pem.lines().all(|line| line.len() <= COLUMNS) && ca.pem.ends_with("-----\n"),
            "{}",
            ca.pem
        );
        assert_eq!(ca.pem.lines().filter(|line| !line.starts_with('-')).collect::<String>(), encoded);
        assert_eq!(ca.sha256.len(), 64);
        fs::write(&path, &ca.pem).expect("written");
        assert_eq!(PrivateCa::read(&path).expect("the same"), ca);
        fs::write(&path, "nothing").expect("written");
        let problem = PrivateCa::read(&path).expect_err("nothing").to_string();
        assert!(problem.contains("contains no certificate"), "{problem}");
    }
}
