//! The request that a check sends over a connection, and whether the response is valid. Any status is: a camera that wants
//! a password, or has no such page, is alive.

use super::camera::Method;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Bytes of a response that are read.
pub const ENOUGH: usize = 13;

/// The bytes so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseKind {
    Valid,
    /// Another protocol.
    Invalid,
    Incomplete,
}

/// The request after connecting; `None` if the connection itself is the result.
pub fn request(method: Method, address: SocketAddr) -> Option<Vec<u8>> {
    match method {
        Method::Icmp | Method::Tcp | Method::Both => None,
        // Not HEAD: some cameras do not answer it.
        Method::Http => {
            let host = match address.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            };
            let mut text = format!("GET / HTTP/1.1\r\nHost: {host}");
            if address.port() != 80 {
                // Writing to a String does not fail.
                let _ = write!(text, ":{}", address.port());
            }
            text += "\r\nUser-Agent: heartbeat-daemon\r\nAccept: */*\r\nConnection: close\r\n\r\n";
            Some(text.into_bytes())
        }
        Method::Rtsp => Some(
            format!("OPTIONS rtsp://{address}/ RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: heartbeat-daemon\r\n\r\n")
                .into_bytes(),
        ),
        Method::Https => Some(client_hello()),
    }
}

/// A ClientHello of TLS 1.2 that any server since TLS 1.0 answers, with its own hello or with an alert.
///
/// There is no handshake: a response of the camera's TLS is enough. No secret is sent, and a self-signed certificate would
/// not prove anything. This way cameras with TLS 1.0 work, which rustls refuses, and no key is computed.
fn client_hello() -> Vec<u8> {
    const SUITES: [u16; 8] = [0xc02f, 0xc02b, 0xc030, 0xc013, 0xc014, 0x009c, 0x002f, 0x0035];
    // supported_groups: x25519, P-256, P-384; ec_point_formats: uncompressed; signature_algorithms: ECDSA and RSA
    // with SHA-256, RSA-PSS, RSA with SHA-1.
    const EXTENSIONS: [u8; 30] =
        [0, 10, 0, 8, 0, 6, 0, 29, 0, 23, 0, 24, 0, 11, 0, 2, 1, 0, 0, 13, 0, 8, 0, 6, 4, 3, 4, 1, 8, 4];
    let mut hello = vec![3, 3];
    hello.extend((0..32).map(|_| fastrand::u8(..)));
    // No session, the suites, no compression.
    hello.extend([0, 0, 2 * SUITES.len() as u8]);
    hello.extend(SUITES.iter().flat_map(|suite| suite.to_be_bytes()));
    hello.extend([1, 0, 0, EXTENSIONS.len() as u8]);
    hello.extend(EXTENSIONS);
    // A handshake record of TLS 1.0, as every client sends it first, with a ClientHello in it; both are short.
    let length = hello.len() as u8;
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    record
}

/// Classifies the beginning of a response; `ended`: nothing more will come.
pub fn classify(method: Method, answer: &[u8], ended: bool) -> ResponseKind {
    let kind = match method {
        Method::Icmp | Method::Tcp | Method::Both => ResponseKind::Valid,
        Method::Http => status_line(b"HTTP/1.", answer),
        Method::Rtsp => match status_line(b"RTSP/1.", answer) {
            ResponseKind::Invalid => status_line(b"RTSP/2.", answer),
            kind => kind,
        },
        Method::Https => tls_record(answer),
    };
    match kind {
        ResponseKind::Incomplete if ended => ResponseKind::Invalid,
        kind => kind,
    }
}

/// `HTTP/1.1 200`, and the end of the word.
fn status_line(protocol: &[u8; 7], answer: &[u8]) -> ResponseKind {
    let fits = |(place, byte): (usize, &u8)| match place {
        0..=6 => *byte == protocol[place],
        8 => *byte == b' ',
        9 => (b'1'..=b'9').contains(byte),
        7 | 10 | 11 => byte.is_ascii_digit(),
        _ => matches!(byte, b' ' | b'\r' | b'\n'),
    };
    match answer {
        answer if !answer.iter().take(ENOUGH).enumerate().all(fits) => ResponseKind::Invalid,
        answer if answer.len() < ENOUGH => ResponseKind::Incomplete,
        _ => ResponseKind::Valid,
    }
}

/// A record with a ServerHello, or with an alert.
fn tls_record(answer: &[u8]) -> ResponseKind {
    let fits = |(place, byte): (usize, &u8)| match place {
        0 => matches!(byte, 21 | 22),
        1 => *byte == 3,
        2 => *byte <= 4,
        // At most 16 KiB and some more for what encryption adds.
        3 => *byte <= 0x48,
        5 if answer[0] == 21 => matches!(byte, 1 | 2),
        5 => *byte == 2,
        _ => true,
    };
    match answer {
        answer if !answer.iter().take(6).enumerate().all(fits) => ResponseKind::Invalid,
        answer if answer.len() < 6 => ResponseKind::Incomplete,
        _ => ResponseKind::Valid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: Method, answer: &[u8]) -> ResponseKind {
        classify(method, answer, false)
    }

    #[test]
    fn any_status_is_valid_and_anything_else_is_not() {
        for (answer, verdict) in [
            ("HTTP/1.1 200 OK\r\n", ResponseKind::Valid),
            ("HTTP/1.0 401 Unauthorized\r\n", ResponseKind::Valid),
            ("HTTP/1.1 404\r\n", ResponseKind::Valid),
            ("HTTP/1.1 503 x", ResponseKind::Valid),
            ("HTTP/1.1 2", ResponseKind::Incomplete),
            ("", ResponseKind::Incomplete),
            ("HTTP/1.1 2000 OK", ResponseKind::Invalid),
            ("HTTP/1.1 000 OK", ResponseKind::Invalid),
            ("HTTP/2.0 200 OK", ResponseKind::Invalid),
            ("http/1.1 200 OK", ResponseKind::Invalid),
            ("RTSP/1.0 200 OK", ResponseKind::Invalid),
            ("SSH-2.0-dropbear\r\n", ResponseKind::Invalid),
            ("\0\0\0\0", ResponseKind::Invalid),
        ] {
            assert_eq!(judged(Method::Http, answer.as_bytes()), verdict, "{answer:?}");
        }
        assert_eq!(classify(Method::Http, b"HTTP/1.1 20", true), ResponseKind::Invalid, "it ends too early");
        for answer in ["RTSP/1.0 200 OK\r\n", "RTSP/1.0 401 Unauthorized\r\n", "RTSP/2.0 505 x"] {
            assert_eq!(judged(Method::Rtsp, answer.as_bytes()), ResponseKind::Valid, "{answer}");
        }
        assert_eq!(judged(Method::Rtsp, b"HTTP/1.1 400 Bad Request\r\n"), ResponseKind::Invalid);
    }

    #[test]
    fn a_hello_or_an_alert_of_tls_is_valid() {
        assert_eq!(judged(Method::Https, &[22, 3, 3, 0, 80, 2, 0]), ResponseKind::Valid);
        assert_eq!(judged(Method::Https, &[21, 3, 1, 0, 2, 2, 70]), ResponseKind::Valid);
        assert_eq!(judged(Method::Https, &[22, 3, 3, 0]), ResponseKind::Incomplete);
        for garbage in [&b"HTTP/1.1 400"[..], &[22, 3, 3, 0, 80, 1, 0], &[23, 3, 3, 0, 80, 2], &[22, 2, 0, 0]]
        {
            assert_eq!(judged(Method::Https, garbage), ResponseKind::Invalid, "{garbage:?}");
        }
    }

    #[test]
    fn the_client_hello_is_a_record_whose_lengths_add_up() {
        let record = client_hello();
        let length = |at: usize| usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
        assert_eq!(record.len(), 5 + length(3));
        assert_eq!(length(3), 4 + length(7));
        assert_eq!((record[5], record[6]), (1, 0));
        let suites = 9 + 2 + 32 + 1;
        let extensions = suites + 2 + length(suites) + 2;
        assert_eq!(record.len(), extensions + 2 + length(extensions));
    }

    #[test]
    fn the_request_has_the_address_in_url_form() {
        let text = |method, address: &str| {
            let bytes = request(method, address.parse().expect("an address")).expect("a request");
            String::from_utf8(bytes).expect("text")
        };
        assert!(text(Method::Http, "192.0.2.5:80").contains("\r\nHost: 192.0.2.5\r\n"));
        assert!(text(Method::Http, "[fd00::5]:8080").contains("\r\nHost: [fd00::5]:8080\r\n"));
        assert!(
            text(Method::Rtsp, "[fd00::5]:554").starts_with("OPTIONS rtsp://[fd00::5]:554/ RTSP/1.0\r\n")
        );
        assert_eq!(request(Method::Tcp, "192.0.2.5:80".parse().expect("an address")), None);
    }

    #[test]
    fn no_response_makes_it_panic() {
        let mut random = fastrand::Rng::with_seed(4711);
        for _ in 0..50_000 {
            let length = random.usize(..20);
            let answer: Vec<u8> =
                (0..length).map(|_| *random.choice(b"HTSP/1.0 2\x15\x16\x03").unwrap_or(&0)).collect();
            for method in [Method::Http, Method::Https, Method::Rtsp] {
                classify(method, &answer, random.bool());
            }
        }
    }
}
