//! A certificate authority of our own, and the server's side of TLS.
//!
//! Tests and benchmarks include this file by its path.

// Each program that includes this file uses a part of it.
#![allow(dead_code)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;

/// Years in which certificates are valid unless asked otherwise; what rcgen does.
const VALID: Range<i32> = 1975..4096;

/// Signs for as long as the program runs; nothing of it is stored but what the caller writes.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// What `ca_file` wants.
    pub pem: String,
}

/// A certificate and its key, as PEM.
pub struct Identity {
    pub certificate_pem: String,
    pub key_pem: String,
}

/// A certificate as `openssl req -x509` makes it: signed with its own key and marked as an authority.
pub struct SelfSigned {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pub identity: Identity,
}

impl SelfSigned {
    /// For a server with these names or addresses, valid from the first day of one year to that of another.
    pub fn new(names: &[&str], years: Range<i32>) -> SelfSigned {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names and addresses");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "self-signed");
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().expect("ring makes keys");
        let certificate = params.self_signed(&key).expect("a key of the same algorithm");
        let identity = Identity {
            certificate_pem: pem("CERTIFICATE", certificate.der()),
            key_pem: pem("PRIVATE KEY", &key.serialize_der()),
        };
        SelfSigned { certificate: certificate.into(), identity, issuer: Issuer::new(params, key) }
    }

    pub fn valid(names: &[&str]) -> SelfSigned {
        SelfSigned::new(names, VALID)
    }

    /// A server that shows this certificate.
    pub fn server(&self) -> Arc<ServerConfig> {
        let key = PrivatePkcs8KeyDer::from(self.issuer.key().serialize_der()).into();
        let config = server_config().with_no_client_auth();
        Arc::new(
            config.with_single_cert(vec![self.certificate.clone()], key).expect("key and certificate fit"),
        )
    }

    /// A server that shows this certificate and signs with another key.
    pub fn server_with_another_key(&self) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("ring makes keys");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = default_provider().key_provider.load_private_key(key).expect("a key for signing");
        let shown = CertifiedKey::new(vec![self.certificate.clone()], key);
        Arc::new(
            server_config().with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(shown))),
        )
    }

    /// A server whose certificate this one has signed.
    pub fn server_of_issued(&self, names: &[&str]) -> Arc<ServerConfig> {
        let (leaf, key) = signed(&self.issuer, names, Usage::ServerAuth, VALID);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = server_config().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![leaf.into()], key).expect("key and leaf fit"))
    }
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().expect("ring makes keys");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let certificate = params.self_signed(&key).expect("a key of the same algorithm");
        Authority {
            pem: pem("CERTIFICATE", certificate.der()),
            certificate: certificate.into(),
            issuer: Issuer::new(params, key),
        }
    }

    /// For a server with these names or addresses.
    pub fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let (chain, key) = self.server_identity(names);
        Arc::new(
            server_config().with_no_client_auth().with_single_cert(chain, key).expect("key and leaf fit"),
        )
    }

    /// The same, valid from the first day of one year to that of another.
    pub fn server_valid(&self, names: &[&str], years: Range<i32>) -> Arc<ServerConfig> {
        let (leaf, key) = self.sign(names, Usage::ServerAuth, years);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = server_config().with_no_client_auth().with_single_cert(vec![leaf.into()], key);
        Arc::new(config.expect("key and leaf fit"))
    }

    /// The same, but it refuses clients without a certificate of this authority.
    pub fn server_that_wants_a_certificate(&self, names: &[&str]) -> Arc<ServerConfig> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots().into(), default_provider().into())
                .build()
                .expect("one root is enough");
        let (chain, key) = self.server_identity(names);
        let config = server_config().with_client_cert_verifier(verifier).with_single_cert(chain, key);
        Arc::new(config.expect("key and leaf fit"))
    }

    /// For a client.
    pub fn client(&self, name: &str) -> Identity {
        let (leaf, key) = self.sign(&[name], Usage::ClientAuth, VALID);
        Identity {
            certificate_pem: pem("CERTIFICATE", leaf.der()),
            key_pem: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }

    /// For a server that reads PEM.
    pub fn server_pem(&self, names: &[&str]) -> Identity {
        let (leaf, key) = self.sign(names, Usage::ServerAuth, VALID);
        Identity {
            certificate_pem: pem("CERTIFICATE", leaf.der()),
            key_pem: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }

    /// What a client trusts.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("an authority");
        roots
    }

    fn server_identity(&self, names: &[&str]) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (leaf, key) = self.sign(names, Usage::ServerAuth, VALID);
        (vec![leaf.into()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    fn sign(&self, names: &[&str], usage: Usage, years: Range<i32>) -> (rcgen::Certificate, KeyPair) {
        signed(&self.issuer, names, usage, years)
    }
}

fn signed(
    issuer: &Issuer<'static, KeyPair>,
    names: &[&str],
    usage: Usage,
    years: Range<i32>,
) -> (rcgen::Certificate, KeyPair) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names and addresses");
    params.not_before = date_time_ymd(years.start, 1, 1);
    params.not_after = date_time_ymd(years.end, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages.push(usage);
    let key = KeyPair::generate().expect("ring makes keys");
    (params.signed_by(&key, issuer).expect("the authority may sign"), key)
}

/// Named, because rustls has no default where two providers are compiled in.
fn server_config() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
}

/// RFC 7468: lines of 64.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A connection that a server has accepted.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    /// Does not wait: the handshake is part of the first read.
    pub fn accepted(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Stream {
        match tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).expect("a config that was checked");
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        }
    }

    /// For timeouts, resets and the peer's address.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}
