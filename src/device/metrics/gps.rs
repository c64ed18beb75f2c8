//! The last fix, from gpsd's JSON protocol.

use super::schedule::QuerySource;
use super::source::Source;
use crate::clock::remaining_or_timeout;
use crate::wire::{Gps, GpsFix};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// gpsd's default address.
pub const GPSD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2947);

/// What gpsd knows already, and then whatever the receivers report: one that was asleep has nothing to poll
/// yet.
const REQUEST: &[u8] = b"?WATCH={\"enable\":true,\"json\":true};\n?POLL;\n";
/// gpsd says 1 to 4 KiB a second; more than this before the first fix report is not gpsd.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// Fix and, if `position`, place of the receiver with the best fix; `None` if gpsd has no receiver. A
/// receiver that is awake answers within milliseconds; gpsd wakes a sleeping one, which takes a second or
/// more, and lets it sleep 60 s after its last client has gone: asked more often than that, it stays awake.
///
/// # Errors
/// One sentence: gpsd does not run, does not answer within `limit`, or what answers is not gpsd.
pub fn query(address: SocketAddr, position: bool, limit: Duration) -> Result<Option<Gps>, String> {
    let deadline = Instant::now() + limit;
    let stream = connect(address, deadline).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => "gpsd is not running".to_owned(),
        _ => format!("gpsd at {address}: {error}"),
    })?;
    listen(stream, deadline).map(|receiver| {
        receiver.map(|gps| match position {
            true => gps,
            false => Gps { latitude: None, longitude: None, ..gps },
        })
    })
}

/// [`query`] of this machine's gpsd, as a source.
pub fn source(position: bool) -> impl Source {
    QuerySource {
        name: "gps",
        place: format!("gpsd at {GPSD}"),
        query: move |limit| query(GPSD, position, limit),
        put: |gps: &Gps, reading| reading.connection.gps = Some(gps.clone()),
        show: |gps| match gps.fix {
            GpsFix::None => "no fix".into(),
            GpsFix::TwoD => "2d fix".into(),
            GpsFix::ThreeD => "3d fix".into(),
        },
    }
}

fn connect(address: SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, remaining_or_timeout(deadline)?)?;
    stream.set_write_timeout(Some(remaining_or_timeout(deadline)?))?;
    stream.write_all(REQUEST)?;
    Ok(stream)
}

/// Reads lines until one of them settles the matter.
fn listen(mut stream: TcpStream, deadline: Instant) -> Result<Option<Gps>, String> {
    let mut heard: Vec<u8> = Vec::new();
    let mut parsed = 0;
    let mut chunk = [0; 4096];
    while heard.len() < OUTPUT_LIMIT {
        let read = remaining_or_timeout(deadline).and_then(|left| {
            stream.set_read_timeout(Some(left))?;
            stream.read(&mut chunk)
        });
        match read {
            Ok(0) => return Err("gpsd closed the connection without a report".into()),
            Ok(length) => heard.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err("gpsd has no report of a receiver in time".into());
            }
            Err(error) => return Err(format!("gpsd: {error}")),
        }
        while let Some(end) = heard[parsed..].iter().position(|&byte| byte == b'\n') {
            let line = &heard[parsed..parsed + end];
            parsed += end + 1;
            match parse(line) {
                Some(Report::NoReceiver) => return Ok(None),
                Some(Report::Fix(gps)) => return Ok(Some(gps)),
                None => {}
            }
        }
    }
    Err("what answers on gpsd's port does not come to an end".into())
}

/// What a line settles.
#[derive(Debug, PartialEq)]
enum Report {
    NoReceiver,
    Fix(Gps),
}

/// The classes of the protocol that matter here; gpsd has others, and adds some.
fn parse(line: &[u8]) -> Option<Report> {
    let line: Value = serde_json::from_slice(line).ok()?;
    match line["class"].as_str()? {
        "DEVICES" => line["devices"].as_array()?.is_empty().then_some(Report::NoReceiver),
        "POLL" => {
            let tpv = line["tpv"].as_array().into_iter().flatten();
            tpv.max_by_key(|tpv| tpv["mode"].as_u64()).and_then(fix).map(Report::Fix)
        }
        "TPV" => fix(&line).map(Report::Fix),
        _ => None,
    }
}

/// Of a report of time, position, velocity. Its mode: 0 nothing heard yet, 1 no fix, 2 two-dimensional, 3
/// three-dimensional.
fn fix(tpv: &Value) -> Option<Gps> {
    let fix = match tpv["mode"].as_u64()? {
        1 => GpsFix::None,
        2 => GpsFix::TwoD,
        3 => GpsFix::ThreeD,
        _ => return None,
    };
    let has_place = fix != GpsFix::None;
    let within = |key: &str, limit: f64| tpv[key].as_f64().filter(|value| has_place && value.abs() <= limit);
    Some(Gps { fix, latitude: within("lat", 90.0), longitude: within("lon", 180.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(100);

    const GREETING: &str = concat!(
        r#"{"class":"VERSION","release":"3.22","rev":"3.22","proto_major":3,"proto_minor":14}"#,
        "\r\n",
        r#"{"class":"DEVICES","devices":[{"class":"DEVICE","path":"/dev/ttyACM0","driver":"u-blox"}]}"#,
        "\r\n",
        r#"{"class":"WATCH","enable":true,"json":true,"nmea":false,"raw":0}"#,
        "\r\n",
    );
    const NOT_YET: &str =
        r#"{"class":"POLL","time":"2026-11-21T22:00:00.000Z","active":0,"tpv":[],"gst":[],"sky":[]}"#;
    const TPV_3D: &str =
        r#"{"class":"TPV","device":"/dev/ttyACM0","mode":3,"lat":52.5,"lon":13.25,"alt":34.0}"#;

    /// A gpsd that says this to its one client and then waits for it to go.
    fn gpsd(says: impl Into<Vec<u8>>) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let says = says.into();
        let server = thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            // The client may have heard enough, and closed.
            let _ = client.write_all(&says).and_then(|()| client.read_to_end(&mut Vec::new()));
        });
        (address, server)
    }

    fn answer_to(says: impl Into<Vec<u8>>, limit: Duration) -> Result<Option<Gps>, String> {
        let (address, server) = gpsd(says);
        let answer = query(address, true, limit);
        server.join().expect("the server ended");
        answer
    }

    #[test]
    fn the_poll_of_a_receiver_that_is_awake_settles_it() {
        let poll = format!(r#"{GREETING}{{"class":"POLL","active":1,"tpv":[{TPV_3D}],"sky":[]}}{}"#, "\r\n");
        let expected = Gps { fix: GpsFix::ThreeD, latitude: Some(52.5), longitude: Some(13.25) };
        assert_eq!(answer_to(poll, LONG), Ok(Some(expected)));
    }

    #[test]
    fn a_receiver_that_sleeps_is_waited_for() {
        let later = format!("{GREETING}{NOT_YET}\r\n{{\"class\":\"SKY\"}}\r\n{TPV_3D}\r\n");
        assert_eq!(answer_to(later, LONG).expect("an answer").expect("a receiver").fix, GpsFix::ThreeD);
    }

    #[test]
    fn without_a_receiver_there_is_nothing() {
        assert_eq!(answer_to("{\"class\":\"DEVICES\",\"devices\":[]}\n", LONG), Ok(None));
    }

    #[test]
    fn the_position_is_reported_only_if_configured() {
        let (address, server) = gpsd(format!("{TPV_3D}\n"));
        let gps = query(address, false, LONG).expect("an answer").expect("a receiver");
        server.join().expect("the server ended");
        assert_eq!(gps, Gps { fix: GpsFix::ThreeD, latitude: None, longitude: None });
    }

    #[test]
    fn no_fix_has_no_position_and_mode_0_is_no_report() {
        let fix = |mode: u8| parse(TPV_3D.replace("\"mode\":3", &format!("\"mode\":{mode}")).as_bytes());
        assert_eq!(fix(1), Some(Report::Fix(Gps { fix: GpsFix::None, latitude: None, longitude: None })));
        assert!(matches!(fix(2), Some(Report::Fix(Gps { fix: GpsFix::TwoD, latitude: Some(_), .. }))));
        assert_eq!(fix(0), None);
        assert_eq!(fix(7), None);
    }

    #[test]
    fn a_place_off_the_globe_is_absent() {
        let report = parse(TPV_3D.replace("52.5", "91.5").as_bytes());
        let Some(Report::Fix(gps)) = report else { panic!("{report:?}") };
        assert_eq!((gps.latitude, gps.longitude), (None, Some(13.25)));
    }

    #[test]
    fn the_better_fix_of_two_receivers_counts() {
        let poll = format!(r#"{{"class":"POLL","tpv":[{{"class":"TPV","mode":1}},{TPV_3D}]}}"#);
        assert!(matches!(parse(poll.as_bytes()), Some(Report::Fix(Gps { fix: GpsFix::ThreeD, .. }))));
    }

    #[test]
    fn garbage_and_unknown_classes_are_passed_over() {
        let mut says =
            b"\xff\xfe\x00garbage\n[]\nnull\n{\"class\":\"NEW\"}\n{\"class\":\"TPV\",\"mode\":\"3\"}\n"
                .to_vec();
        says.extend(TPV_3D.as_bytes());
        says.extend(b"\n");
        assert_eq!(answer_to(says, LONG).expect("an answer").expect("a receiver").fix, GpsFix::ThreeD);
    }

    #[test]
    fn silence_and_half_a_line_end_at_the_limit() {
        for says in ["", &TPV_3D[..40], TPV_3D, GREETING] {
            let begin = Instant::now();
            assert_eq!(
                answer_to(says, SHORT),
                Err("gpsd has no report of a receiver in time".into()),
                "{says}"
            );
            assert!(begin.elapsed() < LONG);
        }
    }

    #[test]
    fn a_line_without_end_is_cut_off() {
        let error = answer_to(vec![b'a'; 1024 * 1024], LONG).expect_err("too much");
        assert_eq!(error, "what answers on gpsd's port does not come to an end");
    }

    #[test]
    fn a_connection_that_is_closed_at_once_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = thread::spawn(move || drop(listener.accept()));
        assert!(query(address, true, LONG).expect_err("closed").starts_with("gpsd"));
        server.join().expect("the server ended");
    }

    #[test]
    fn a_missing_gpsd_is_reported_in_a_sentence() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        assert_eq!(query(address, true, LONG), Err("gpsd is not running".into()));
    }
}
