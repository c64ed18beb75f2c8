//! From the cable of a camera to Telegram: a camera in its own network, a real daemon that checks it, the monitor, and a
//! fake Telegram.

use crate::support::daemon::Daemon;
use crate::support::lateness::{self, in_time};
use crate::support::monitor::{Monitor, Plan, request};
use crate::support::namespace::Namespace;
use crate::support::net::{Net, Resolver, Shape, obstacle, setup};
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use crate::support::skip;
use serde_json::Value;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// After the heartbeat that completes the hold time.
const PROMISE: Duration = SECOND;
/// After the camera was unplugged, with the defaults of both programs.
const PROMISE_OF_DEFAULTS: Duration = Duration::from_secs(150);
const BOT_TOKEN: &str = "123456:ABC-DEF_ghi";

/// The intervals of a test.
struct Intervals {
    heartbeat: &'static str,
    cameras: &'static str,
    /// Of the condition `camera`; `None`: its default.
    hold: Option<&'static str>,
    check: &'static str,
    offline_threshold: &'static str,
}

const FAST: Intervals =
    Intervals { heartbeat: "1s", cameras: "1s", hold: Some("0s"), check: "1s", offline_threshold: "3s" };

/// A device "barn-cam" with the camera "gate" behind a cable of its own. The daemon ends first.
struct CameraRig {
    daemon: Daemon,
    /// Passes the daemon's heartbeats on to the monitor, and records them.
    relay: Server,
    telegram: Server,
    _monitor: Monitor,
    _camera_socket: Server,
    camera: Namespace,
    _resolver: Resolver,
    _net: Net,
}

impl CameraRig {
    /// With a recipient that has chosen nothing: the default topics. `None` where there can be no namespaces.
    fn start(intervals: &Intervals) -> Option<CameraRig> {
        if let Some(reason) = obstacle() {
            skip(reason);
            return None;
        }
        lateness::watch();
        let net = Net::new(Shape::default()).expect("as it was possible before");
        let resolver = net.resolver();
        let (camera, camera_socket) = camera(&net);
        let telegram = Server::on(net.listen(0), None, |_| Reply::ok());
        let monitor = net.internet.enter(|| plan(&net, &telegram, intervals).start());
        let token = net.internet.enter(|| monitor.machine("barn-cam"));
        let (address, listener) = (monitor.address(), net.listen(0));
        let pass_on = move |beat: &Request| {
            let token = beat.header("authorization").unwrap_or_default().to_owned();
            let answer =
                request(address, &beat.method, &beat.target, &[("Authorization", token)], &beat.body);
            Reply::Answer(answer.status, Vec::new(), answer.body.into_bytes())
        };
        // Its threads connect to the monitor.
        let relay = net.internet.enter(|| Server::on(listener, None, pass_on));
        let gate =
            r#"[{ mac = "02:00:00:00:00:01", address = "10.60.0.2", tcp_port = 80, hostname = "gate" }]"#;
        let setup = setup("observe").to(&relay.url("/api/v1/heartbeat")).token(&token);
        let setup = setup.interval(intervals.heartbeat).key("cameras.interval", intervals.cameras);
        let setup = setup.toml("cameras.camera", gate);
        let command = net.become_daemon();
        let daemon = net.device.enter(|| setup.start_as(command));
        let rig = CameraRig {
            daemon,
            relay,
            telegram,
            _monitor: monitor,
            _camera_socket: camera_socket,
            camera,
            _resolver: resolver,
            _net: net,
        };
        rig.heartbeat("of a device on eth0 whose camera responds", |beat| {
            beat["connection"]["active"] == "eth0" && beat["cameras"][0]["status"] == "connected"
        });
        Some(rig)
    }

    /// Pulls the camera's cable out, or puts it back.
    fn plug(&self, on: bool) -> Instant {
        self.camera.switch("port", on)
    }

    /// The next live heartbeat for which `holds` is true.
    #[track_caller]
    fn heartbeat(&self, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Request {
        let deadline = Instant::now() + PROMISE_OF_DEFAULTS;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let beat = self.relay.request_within(left).unwrap_or_else(|| panic!("no heartbeat {what}"));
            if beat.is_live() && holds(&beat.json()) {
                return beat;
            }
        }
    }

    /// The heartbeat of the check that proves that the camera is down.
    fn heartbeat_of_the_second_failed_check(&self) -> Request {
        let failed = |beat: &Value| beat["cameras"][0]["failed_checks"].as_u64();
        self.heartbeat("after two failed checks", |beat| failed(beat).is_some_and(|failed| failed >= 2))
    }

    #[track_caller]
    fn message(&self) -> Request {
        let end = Instant::now() + PROMISE_OF_DEFAULTS;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let request = self.telegram.request_within(left).expect("a message");
            if is_message(&request) {
                return request;
            }
        }
    }

    #[track_caller]
    fn no_message_for(&self, time: Duration) {
        let mut messages = self.telegram.requests_during(time);
        messages.retain(is_message);
        assert!(messages.is_empty(), "{messages:?}");
    }

    /// Unplugs the camera and plugs it in again: one message each, `promise` after what `promised_from` gives for the
    /// moment of the cable and the heartbeat that proves it.
    fn is_lost_and_found(&self, promise: Duration, promised_from: impl Fn(Instant, &Request) -> Instant) {
        let unplugged = self.plug(false);
        let noticed = self.heartbeat_of_the_second_failed_check();
        let lost = self.message();
        println!("camera unplugged to message: {:?}", lost.at - unplugged);
        in_time(promised_from(unplugged, &noticed), lost.at, promise, "message of a lost camera");
        let (text, first) = (text(&lost), "\u{1F534} barn-cam: camera gate is down since ");
        let line = text.lines().next().unwrap_or_default();
        assert!(line.starts_with(first) && line.ends_with(" (the device is fine, on eth0)"), "{text}");
        assert!(text.ends_with("heartbeat-monitor condition off camera --machine barn-cam"), "{text}");
        self.no_message_for(SECOND * 5);
        let plugged = self.plug(true);
        let is_connected = |beat: &Value| beat["cameras"][0]["status"] == "connected";
        let noticed = self.heartbeat("of a camera that is back", is_connected);
        let found = self.message();
        println!("camera plugged in to message: {:?}", found.at - plugged);
        in_time(promised_from(plugged, &noticed), found.at, promise, "message of a camera that is back");
        let text = self::text(&found);
        assert!(text.starts_with("\u{1F7E2} barn-cam: camera gate is back after "), "{text}");
        self.no_message_for(SECOND * 5);
    }
}

/// The camera's network, connected to the device, and its socket.
fn camera(net: &Net) -> (Namespace, Server) {
    let camera = Namespace::new().expect("as it was possible before");
    let cable = format!("link add lan0 index 201 type veth peer name port netns {}", camera.path());
    net.device.ip_batch(&format!("{cable}\nlink set lan0 up\naddr add 10.60.0.1/24 dev lan0"));
    camera.ip_batch("link set port up\naddr add 10.60.0.2/24 dev port");
    let listener = camera.enter(|| TcpListener::bind("10.60.0.2:80")).expect("its address");
    (camera, Server::on(listener, None, |_| Reply::ok()))
}

fn plan(net: &Net, telegram: &Server, intervals: &Intervals) -> Plan {
    let plan = Plan::new()
        .key("http.listen", &format!("{}:8080", net.server_ip()))
        .key("notify.telegram_api", telegram.url("").trim_end_matches('/'))
        .key("detection.check_interval", intervals.check)
        .key("detection.offline_threshold", intervals.offline_threshold);
    let secret = plan.scratch().file("bot-token", &format!("{BOT_TOKEN}\n"));
    plan.says(&["recipient", "add", "farm"]);
    plan.says(&["channel", "add", "telegram", "7", "--recipient", "farm", "--bot-token-file", &secret]);
    if let Some(hold) = intervals.hold {
        plan.says(&["condition", "set", "camera", "--for", hold]);
    }
    plan
}

/// The other requests ask whether somebody has pressed a button.
fn is_message(request: &Request) -> bool {
    request.target == format!("/bot{BOT_TOKEN}/sendMessage")
}

fn text(message: &Request) -> String {
    message.json()["text"].as_str().expect("text").to_owned()
}

#[test]
fn a_camera_that_is_unplugged_is_one_telegram_message_and_one_more_when_it_is_back() {
    let Some(rig) = CameraRig::start(&FAST) else { return };
    rig.is_lost_and_found(PROMISE, |_, noticed| noticed.at);
}

/// `cargo test --features monitor --test monitor -- --ignored --nocapture defaults`
#[test]
#[ignore = "takes five minutes"]
fn with_the_defaults_the_message_of_a_camera_comes_within_150_seconds() {
    let defaults =
        Intervals { heartbeat: "5s", cameras: "60s", hold: None, check: "30s", offline_threshold: "120s" };
    let Some(rig) = CameraRig::start(&defaults) else { return };
    // Right after a check, so that a whole interval passes until the next one.
    let mut first = None;
    rig.heartbeat("after another check", |beat| {
        let last_seen = beat["cameras"][0]["last_seen"].clone();
        *first.get_or_insert_with(|| last_seen.clone()) != last_seen
    });
    rig.is_lost_and_found(PROMISE_OF_DEFAULTS, |cable, _| cable);
}

#[test]
fn a_power_cut_that_takes_the_camera_before_the_device_is_one_message_about_the_device() {
    let hold = Some("8s");
    let Some(rig) = CameraRig::start(&Intervals { hold, ..FAST }) else { return };
    rig.plug(false);
    rig.heartbeat_of_the_second_failed_check();
    let CameraRig { daemon, .. } = &rig;
    daemon.signal(rustix::process::Signal::KILL);
    let message = text(&rig.message());
    assert!(message.starts_with("\u{1F534} Machine offline\nMachine: barn-cam\n"), "{message}");
    rig.no_message_for(SECOND * 10);
}
