//! What a camera is asked over a connection, and whether what comes back is an answer. Any status is one: a camera
//! that wants a password, or has no such page, lives.

use super::camera::Method;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// All that is ever looked at of an answer.
pub const ENOUGH: usize = 13;

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Answer,
    Garbage,
    Incomplete,
}

/// What is sent once the connection stands; `None` where the connection itself is the answer.
pub fn request(method: Method, address: SocketAddr) -> Option<Vec<u8>> {
    match method {
        Method::Icmp | Method::Tcp | Method::Both => None,
        // Not HEAD: some cameras never answer it.
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
        Method::Https => Some(greeting()),
    }
}

/// A ClientHello of TLS 1.2 that any server since TLS 1.0 answers, with its own hello or with an alert.
///
/// No handshake is made. That the camera's TLS answers is all that is asked: no secret is sent, and its certificate,
/// which it has signed itself, would say nothing of whether it lives. So cameras are understood that speak only
/// TLS 1.0, which rustls refuses, and nobody computes a key.
fn greeting() -> Vec<u8> {
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

/// Judges the beginning of an answer; `ended`: nothing more will come.
pub fn judge(method: Method, answer: &[u8], ended: bool) -> Verdict {
    let verdict = match method {
        Method::Icmp | Method::Tcp | Method::Both => Verdict::Answer,
        Method::Http => status_line(b"HTTP/1.", answer),
        Method::Rtsp => match status_line(b"RTSP/1.", answer) {
            Verdict::Garbage => status_line(b"RTSP/2.", answer),
            verdict => verdict,
        },
        Method::Https => tls_record(answer),
    };
    match verdict {
        Verdict::Incomplete if ended => Verdict::Garbage,
        verdict => verdict,
    }
}

/// `HTTP/1.1 200`, and then the end of the word.
fn status_line(protocol: &[u8; 7], answer: &[u8]) -> Verdict {
    let fits = |(place, byte): (usize, &u8)| match place {
        0..=6 => *byte == protocol[place],
        8 => *byte == b' ',
        9 => (b'1'..=b'9').contains(byte),
        7 | 10 | 11 => byte.is_ascii_digit(),
        _ => matches!(byte, b' ' | b'\r' | b'\n'),
    };
    match answer {
        answer if !answer.iter().take(ENOUGH).enumerate().all(fits) => Verdict::Garbage,
        answer if answer.len() < ENOUGH => Verdict::Incomplete,
        _ => Verdict::Answer,
    }
}

/// A record with a ServerHello, or with an alert.
fn tls_record(answer: &[u8]) -> Verdict {
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
        answer if !answer.iter().take(6).enumerate().all(fits) => Verdict::Garbage,
        answer if answer.len() < 6 => Verdict::Incomplete,
        _ => Verdict::Answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: Method, answer: &[u8]) -> Verdict {
        judge(method, answer, false)
    }

    #[test]
    fn any_status_is_an_answer_and_anything_else_is_none() {
        for (answer, verdict) in [
            ("HTTP/1.1 200 OK\r\n", Verdict::Answer),
            ("HTTP/1.0 401 Unauthorized\r\n", Verdict::Answer),
            ("HTTP/1.1 404\r\n", Verdict::Answer),
            ("HTTP/1.1 503 x", Verdict::Answer),
            ("HTTP/1.1 2", Verdict::Incomplete),
            ("", Verdict::Incomplete),
            ("HTTP/1.1 2000 OK", Verdict::Garbage),
            ("HTTP/1.1 000 OK", Verdict::Garbage),
            ("HTTP/2.0 200 OK", Verdict::Garbage),
            ("http/1.1 200 OK", Verdict::Garbage),
            ("RTSP/1.0 200 OK", Verdict::Garbage),
            ("SSH-2.0-dropbear\r\n", Verdict::Garbage),
            ("\0\0\0\0", Verdict::Garbage),
        ] {
            assert_eq!(judged(Method::Http, answer.as_bytes()), verdict, "{answer:?}");
        }
        assert_eq!(judge(Method::Http, b"HTTP/1.1 20", true), Verdict::Garbage, "it ends too early");
        for answer in ["RTSP/1.0 200 OK\r\n", "RTSP/1.0 401 Unauthorized\r\n", "RTSP/2.0 505 x"] {
            assert_eq!(judged(Method::Rtsp, answer.as_bytes()), Verdict::Answer, "{answer}");
        }
        assert_eq!(judged(Method::Rtsp, b"HTTP/1.1 400 Bad Request\r\n"), Verdict::Garbage);
    }

    #[test]
    fn a_hello_or_an_alert_of_tls_is_an_answer() {
        assert_eq!(judged(Method::Https, &[22, 3, 3, 0, 80, 2, 0]), Verdict::Answer);
        assert_eq!(judged(Method::Https, &[21, 3, 1, 0, 2, 2, 70]), Verdict::Answer);
        assert_eq!(judged(Method::Https, &[22, 3, 3, 0]), Verdict::Incomplete);
        for garbage in [&b"HTTP/1.1 400"[..], &[22, 3, 3, 0, 80, 1, 0], &[23, 3, 3, 0, 80, 2], &[22, 2, 0, 0]]
        {
            assert_eq!(judged(Method::Https, garbage), Verdict::Garbage, "{garbage:?}");
        }
    }

    #[test]
    fn the_greeting_is_a_client_hello_whose_lengths_add_up() {
        let record = greeting();
        let length = |at: usize| usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
        assert_eq!(record.len(), 5 + length(3));
        assert_eq!(length(3), 4 + length(7));
        assert_eq!((record[5], record[6]), (1, 0));
        let suites = 9 + 2 + 32 + 1;
        let extensions = suites + 2 + length(suites) + 2;
        assert_eq!(record.len(), extensions + 2 + length(extensions));
    }

    #[test]
    fn the_address_stands_in_the_request_as_urls_have_it() {
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
    fn no_answer_makes_it_panic() {
        let mut random = fastrand::Rng::with_seed(4711);
        for _ in 0..50_000 {
            let length = random.usize(..20);
            let answer: Vec<u8> =
                (0..length).map(|_| *random.choice(b"HTSP/1.0 2\x15\x16\x03").unwrap_or(&0)).collect();
            for method in [Method::Http, Method::Https, Method::Rtsp] {
                judge(method, &answer, random.bool());
            }
        }
    }
}
