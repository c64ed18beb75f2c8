//! A hundred thousand hostile requests.

use super::*;

/// In one connection, before the answers are read.
const PIPELINED: usize = 100;
const REQUESTS: usize = 100_000;

/// What a request must be answered with.
type Expected = fn(u16) -> bool;

#[test]
fn a_hundred_thousand_random_requests_crash_nothing_and_leave_nothing() {
    let site = Site::new();
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..REQUESTS / PIPELINED {
        let requests: Vec<(Vec<u8>, Expected)> =
            (0..PIPELINED).map(|_| request(&mut random, &site.tokens)).collect();
        let mut client = site.connect();
        // The server reads on only when its answers are taken.
        let mut writer = client.stream.try_clone().expect("a second handle");
        let bytes: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes).copied().collect();
        let writing = thread::spawn(move || writer.write_all(&bytes));
        for (bytes, expected) in &requests {
            let answer = client.answer();
            assert!(expected(answer.status), "{answer:?} to {}", String::from_utf8_lossy(bytes));
        }
        writing.join().expect("no panic").expect("written");
    }
    site.writes();
    assert!(site.has_no_values());
    assert_eq!(site.shared.fleet.seen(MachineId(3)), None, "disabled");
    assert_eq!(site.beat(wire::SAMPLE).status, 200, "and it still works");
}

#[test]
fn bytes_that_are_no_http_at_all_crash_nothing_and_leave_nothing() {
    let site = Site::new();
    let mut random = fastrand::Rng::with_seed(6);
    let whole = post("/api/v1/heartbeat", &bearer(&site.tokens[0]), wire::SAMPLE.as_bytes()).into_bytes();
    for round in 0..1000 {
        let mut bytes = whole.clone();
        // Cut off, or hurt in its head so that it is not what it was.
        let cut = random.usize(1..bytes.len());
        match round % 3 {
            0 => bytes.truncate(cut),
            1 => bytes = noise(&mut random, 3000),
            _ => bytes.splice(..random.usize(1..40), std::iter::repeat_n(random.u8(..), 5)).for_each(drop),
        }
        let mut client = site.connect();
        client.send(&bytes);
        client.stream.shutdown(std::net::Shutdown::Write).expect("shut");
        while let Some(answer) = client.try_answer() {
            assert!((400..=505).contains(&answer.status) && answer.status != 500, "{answer:?}");
        }
    }
    site.writes();
    assert!(site.is_untouched());
}

/// A request that HTTP allows, but that is not a heartbeat.
fn request(random: &mut fastrand::Rng, tokens: &[String]) -> (Vec<u8>, Expected) {
    const PATHS: [&str; 6] = [
        "/api/v1/heartbeat",
        "/heartbeat.php",
        "/agent/metrics",
        "/api/devices/cam-7/online",
        "/x/heartbeat.php?a=b",
        "/api/v1/heartbeat?token=",
    ];
    let path = PATHS[random.usize(..PATHS.len())];
    let token = &tokens[random.usize(..2)];
    match random.u8(0..6) {
        0 => (with(path, &bearer(&forged(random, token)), wire::SAMPLE.as_bytes()), |status| status == 401),
        1 => (with(path, "", wire::SAMPLE.as_bytes()), |status| status == 401),
        2 => {
            let cut = random.usize(..wire::SAMPLE.len() - 1);
            (with(path, &bearer(token), &wire::SAMPLE.as_bytes()[..cut]), refused)
        }
        3 => (with(path, &bearer(token), &broken(random)), refused),
        4 => {
            let method = ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"][random.usize(..5)];
            let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{}\r\n", bearer(token));
            (head.into_bytes(), |status| matches!(status, 400 | 405))
        }
        _ => {
            let length = random.usize(..200);
            let path: String = std::iter::repeat_with(|| random.alphanumeric()).take(length).collect();
            (with(&format!("/{path}"), &bearer(token), b"{}"), |status| status == 404)
        }
    }
}

/// 401: one of the paths names another device.
fn refused(status: u16) -> bool {
    matches!(status, 400 | 401)
}

fn with(path: &str, header: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{header}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Another token, of about the same form.
fn forged(random: &mut fastrand::Rng, token: &str) -> String {
    let mut bytes = token.as_bytes().to_vec();
    match random.u8(0..4) {
        0 => bytes.truncate(random.usize(1..bytes.len())),
        1 => bytes.extend_from_slice(token.as_bytes()),
        2 => bytes.iter_mut().for_each(|byte| *byte = random.alphanumeric() as u8),
        _ => {
            let at = random.usize(..bytes.len());
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
        }
    }
    String::from_utf8(bytes).expect("ASCII")
}

fn noise(random: &mut fastrand::Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(1..most)];
    random.fill(&mut bytes);
    bytes
}

/// A body that is no JSON: the sample, hurt until a reader of its own says so.
fn broken(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut body = match random.u8(0..3) {
        0 => wire::SAMPLE.as_bytes().to_vec(),
        1 => noise(random, 2000),
        _ => ["[", "{\"a\":", "\"\\ud800", "1e999"][random.usize(..4)]
            .repeat(random.usize(1..2000))
            .into_bytes(),
    };
    while serde_json::from_slice::<serde_json::Value>(&body).is_ok() {
        let at = random.usize(..body.len());
        body[at] = random.u8(..);
    }
    body
}
