//! Real handshakes in memory: which certificate is accepted with which `ca_file`, and the advice for refused ones.

use super::fault;
use super::trust::Trust;
use super::verifier::webpki_error;
use https::{Authority, SelfSigned};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use std::sync::Arc;

#[path = "../../tests/support/https.rs"]
mod https;

/// As `openssl x509 -req -signkey` makes it without extensions.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBIzCBywIUOBEfp6fYcbGlP1g6LpWNJVz6fyQwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODE2MzkwOVoYDzIxMjYxMTA0MTYzOTA5
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAS0d2NY/iqT7uPXpV0vNdJdzaaj7vFCEXdgEDqRU3XreNCb5z8bsjIywltfhUDg
/F0gN806CdZ1mZtbRobC2FaYMAoGCCqGSM49BAMCA0cAMEQCIApni28C7QrZrF7i
7YWEBZHs+z4cj2PNlsUqd6SEUa6HAiBxrvI9nUQq8WASSyLilApIP5IB+6kRC5Il
9yTuCTsUjg==
-----END CERTIFICATE-----
";

/// Whether a client that trusts `ca_file` accepts the server, which it calls `host`.
fn handshake(ca_file: &str, host: &'static str, server: &Arc<ServerConfig>) -> Result<(), rustls::Error> {
    let trust = Trust::only(ca_file.as_bytes()).expect("a usable file");
    let config = Arc::new(trust.client_config(None).expect("a configuration"));
    let name = ServerName::try_from(host).expect("a name");
    let mut client = ClientConnection::new(config, name).expect("a client");
    let mut server = ServerConnection::new(server.clone()).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("into memory");
        }
        feed(&bytes, |rest| server.read_tls(rest));
        // What the server thinks of the client's alert does not matter here.
        let _ = server.process_new_packets();
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("into memory");
        }
        feed(&bytes, |rest| client.read_tls(rest));
        client.process_new_packets()?;
    }
    Ok(())
}

fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>) {
    while !bytes.is_empty() {
        read(&mut bytes).expect("room for a handshake");
    }
}

#[track_caller]
fn assert_refused(result: Result<(), rustls::Error>, wanted: &str) {
    let error = result.expect_err("accepted");
    let said = fault::advice(&error).unwrap_or_else(|| error.to_string());
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn a_self_signed_certificate_is_accepted_where_the_file_contains_exactly_it() {
    let made = SelfSigned::valid(&["localhost", "127.0.0.1"]);
    for host in ["localhost", "127.0.0.1"] {
        handshake(&made.identity.certificate_pem, host, &made.server()).expect("accepted");
    }
}

#[test]
fn it_is_found_among_several_certificates_of_the_file_and_text_between_them() {
    let made = SelfSigned::valid(&["localhost"]);
    let other = SelfSigned::valid(&["localhost"]).identity.certificate_pem;
    let file =
        format!("subject: other\n{other}\n# ours\n{}{}", made.identity.certificate_pem, Authority::new().pem);
    handshake(&file, "localhost", &made.server()).expect("accepted");
}

#[test]
fn a_certificate_that_it_has_signed_is_accepted_too() {
    let made = SelfSigned::valid(&["localhost"]);
    handshake(&made.identity.certificate_pem, "localhost", &made.server_of_issued(&["localhost"]))
        .expect("accepted");
}

#[test]
fn for_another_host_it_is_refused() {
    let made = SelfSigned::valid(&["localhost"]);
    for host in ["other.test", "127.0.0.1"] {
        let result = handshake(&made.identity.certificate_pem, host, &made.server());
        assert_refused(result, "is for another name");
    }
}

#[test]
fn without_a_subject_alternative_name_it_is_refused_with_advice() {
    let made = SelfSigned::valid(&[]);
    let result = handshake(&made.identity.certificate_pem, "self-signed", &made.server());
    assert_refused(result, "has no subjectAltName");
}

#[test]
fn outside_its_dates_it_is_refused() {
    for (years, wanted) in [(2001..2002, "expired"), (4000..4001, "not valid yet")] {
        let made = SelfSigned::new(&["localhost"], years);
        assert_refused(handshake(&made.identity.certificate_pem, "localhost", &made.server()), wanted);
    }
}

#[test]
fn the_same_subject_with_another_key_is_refused_and_the_sentence_names_ca_file() {
    let made = SelfSigned::valid(&["localhost"]);
    let impostor = SelfSigned::valid(&["localhost"]);
    let result = handshake(&made.identity.certificate_pem, "localhost", &impostor.server());
    assert_refused(result, "ca_file does not contain it");
}

#[test]
fn the_right_certificate_without_its_private_key_is_refused() {
    let made = SelfSigned::valid(&["localhost"]);
    assert_refused(
        handshake(&made.identity.certificate_pem, "localhost", &made.server_with_another_key()),
        "BadSignature",
    );
}

#[test]
fn a_certificate_of_version_1_is_refused_with_advice() {
    let certificate = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).expect("PEM");
    let parsed = ParsedCertificate::try_from(&certificate).map(|_| ());
    assert!(parsed.as_ref().is_err_and(|error| webpki_error(error).is_some()));
    assert_refused(parsed, "-addext subjectAltName");
}

#[test]
fn a_file_without_a_certificate_is_refused() {
    for text in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        Trust::only(text.as_bytes()).expect_err(text);
    }
}
