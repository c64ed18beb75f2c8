use super::*;
use crate::device::failover::decision::UplinkState;
use crate::device::failover::handle::failover;
use crate::device::failover::status::FailoverStatus;
use crate::device::heartbeat::credentials::Credentials;
use crate::device::trigger::{Trigger, trigger};
use crate::resolver::{NameResolver, lookup};
use crate::wire::{self, LinkState};
use crossbeam_channel::{Receiver, Sender as ChannelSender, bounded, never};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

const LONG: Duration = Duration::from_secs(20);

/// The other ends of everything that can reach a running thread, and what its server receives.
struct Rig {
    beats: ChannelSender<Instant>,
    trigger: Trigger,
    published: Published,
    control: Option<ChannelSender<Reload>>,
    heartbeats: Receiver<wire::Heartbeat>,
    heartbeat_status: Arc<HeartbeatStatus>,
    failover: Failover,
    thread: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn start() -> Rig {
        let (url, heartbeats) = server();
        let text = format!("[heartbeat]\nurl = \"{url}\"\ninterval = \"1h\"\ntimeout = \"10s\"\n");
        let config = config::Config::from_source(&crate::config::Source::new("test", text), &|_| None)
            .expect("a good configuration")
            .heartbeat;
        let credentials = Credentials::load_each(&config).expect("none");
        let names = NameResolver::start(RESOLVER_LIMITS, lookup).expect("started");
        let servers = Servers::new(&config, credentials, &Arc::new(names), &Arc::default());
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (beats, due) = bounded(0);
        let (trigger, triggers) = trigger();
        let (control, reloads) = bounded(1);
        let (failover, _) = failover().expect("a descriptor");
        let proofs = failover.clone();
        let file = dir.path().join("heartbeat.json");
        let heartbeat_status = Arc::new(HeartbeatStatus::new(Instant::now()));
        let (identity, published) = (Identity::default(), Published::default());
        published.failover.put(None);
        let heartbeat = HeartbeatThread::new(
            config,
            servers,
            identity,
            published.clone(),
            failover,
            &file,
            heartbeat_status.clone(),
        );
        let sources = EventSources { ticker: Ticker::by_hand(due), triggers, copies: never(), reloads };
        let thread = thread::spawn(move || heartbeat.run(sources));
        Rig {
            beats,
            trigger,
            published,
            control: Some(control),
            heartbeats,
            heartbeat_status,
            failover: proofs,
            thread,
            _dir: dir,
        }
    }

    fn beat(&self) {
        self.beats.send_timeout(Instant::now(), LONG).expect("the loop takes its beats");
    }

    fn next(&self) -> wire::Heartbeat {
        self.heartbeats.recv_timeout(LONG).expect("a heartbeat")
    }
}

/// Answers 204 to everything, on one connection, and passes the bodies on.
fn server() -> (String, Receiver<wire::Heartbeat>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let (sender, receiver) = crossbeam_channel::unbounded();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..length]);
            let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
            if let Some(Ok(heartbeat)) = head.map(|head| serde_json::from_slice(&bytes[head..])) {
                sender.send(heartbeat).expect("the test listens");
                bytes.clear();
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("sent");
            }
        }
    });
    (url, receiver)
}

#[test]
fn each_beat_sends_one_heartbeat_with_the_newest_metrics_and_the_stop_sends_the_last() {
    let mut rig = Rig::start();
    rig.published.metrics.put(Reading {
        values: wire::Values { mem: Some(1.0), ..wire::Values::default() },
        ..Reading::default()
    });
    let first = rig.next();
    assert_eq!((first.reason, first.seq, first.values.mem), (Reason::Startup, 1, Some(1.0)));
    for seq in 2..=4 {
        rig.beat();
        let heartbeat = rig.next();
        assert_eq!((heartbeat.reason, heartbeat.seq), (Reason::Scheduled, seq));
    }
    drop(rig.control.take());
    assert_eq!(rig.next().reason, Reason::Shutdown);
    rig.thread.join().expect("no panic");
    assert!(rig.heartbeats.try_recv().is_err(), "nothing after the shutdown heartbeat");
}

#[test]
fn a_trigger_sends_one_heartbeat_between_the_beats_and_at_most_one_waits() {
    let rig = Rig::start();
    rig.published.metrics.put(Reading::default());
    assert_eq!(rig.next().reason, Reason::Startup);
    for _ in 0..3 {
        assert!(rig.trigger.fire(Reason::Camera));
        assert_eq!(rig.next().reason, Reason::Camera);
    }
    rig.beat();
    assert_eq!(rig.next().reason, Reason::Scheduled);
}

#[test]
fn results_are_published() {
    let rig = Rig::start();
    rig.published.metrics.put(Reading {
        values: wire::Values { mem: Some(1.0), ..wire::Values::default() },
        ..Reading::default()
    });
    rig.next();
    assert!(rig.trigger.fire(Reason::Trigger));
    rig.next();
    // Published after the answer; the next beat is accepted after that.
    rig.beat();
    let record = rig.heartbeat_status.record();
    assert_eq!((record.counts.immediate, record.counts.failed), (2, 0));
    assert_eq!(record.works, Some(true));
    assert!(record.accepted.is_some() && record.result.contains("answered 204"), "{record:?}");
    assert!(record.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.seq >= 2));
    assert!(record.tally.iter().any(|entry| entry == ("trigger", "accepted", 1)));
}

#[test]
fn link_states_of_failover_take_precedence_over_those_of_the_metrics() {
    let rig = Rig::start();
    let ethernet = wire::Ethernet { interface: "eth0".into(), state: LinkState::Up };
    let connection = wire::Connection {
        active: Some("eth0".into()),
        ethernet: Some(ethernet),
        ..wire::Connection::default()
    };
    rig.published.metrics.put(Reading { connection, ..Reading::default() });
    assert_eq!(rig.next().connection.ethernet.map(|ethernet| ethernet.state), Some(LinkState::Up));
    let uplink = |interface: &str, state| UplinkState { interface: interface.into(), state };
    let uplinks = vec![uplink("eth0", LinkState::Dead), uplink("wlan0", LinkState::Valid)];
    let status = FailoverStatus {
        active: Some("wlan0".into()),
        state: "failover_to_wlan0".into(),
        backend: "observe".into(),
        manual_s: None,
        uplinks: uplinks.clone(),
        not_covered: Vec::new(),
    };
    let configured = uplinks.into_iter().chain([uplink("wlan1", LinkState::Absent)]).collect();
    rig.published.failover.put(Some(PublishedStatus::new(status, None, configured)));
    rig.failover.report_heartbeat("wlan0", Evidence::Delivered, false);
    rig.failover.report_heartbeat("eth0", Evidence::Lost, false);
    rig.beat();
    let connection = rig.next().connection;
    assert_eq!(connection.active.as_deref(), Some("wlan0"));
    assert_eq!(connection.state.as_deref(), Some("failover_to_wlan0"));
    assert_eq!(connection.ethernet.map(|ethernet| ethernet.state), Some(LinkState::Dead));
    let uplinks = connection.uplinks.iter().map(|uplink| (uplink.interface.as_str(), uplink.health));
    let expected = [("eth0", LinkState::Dead), ("wlan0", LinkState::Valid), ("wlan1", LinkState::Absent)];
    assert!(uplinks.eq(expected), "{:?}", connection.uplinks);
    let proven: Vec<bool> = connection.uplinks.iter().map(|uplink| uplink.proven_s.is_some()).collect();
    assert_eq!(proven, [false, true, false], "a heartbeat was acknowledged over one");
}

#[test]
fn every_heartbeat_has_an_id_of_its_own() {
    let rig = Rig::start();
    rig.published.metrics.put(Reading::default());
    let mut ids = std::collections::HashSet::from([rig.next().id]);
    for _ in 0..20 {
        rig.beat();
        assert!(ids.insert(rig.next().id));
    }
}
