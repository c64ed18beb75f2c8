//! A Chromium in which an owner is signed in, beside the real monitor.

use crate::support::browser::Browser as Client;
use crate::support::devtools::Browser;
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::skip_without;
use heartbeat_daemon::wire::SAMPLE;
use serde_json::{Value, json};
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex};

/// Browsers at a time: each has a dozen processes, and two cores show three pages at once.
const MOST_BROWSERS: usize = 3;

static SEATS: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// The right to run one browser, returned on drop.
struct Seat;

impl Seat {
    fn take() -> Seat {
        let (taken, returned) = &SEATS;
        let guard = taken.lock().expect("no panic");
        *returned.wait_while(guard, |taken| *taken >= MOST_BROWSERS).expect("no panic") += 1;
        Seat
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (taken, returned) = &SEATS;
        *taken.lock().expect("no panic") -= 1;
        returned.notify_one();
    }
}

/// A browser on a desk's screen.
pub struct Desk {
    browser: Browser,
    _seat: Seat,
}

/// Width of the desk's screen in pixels, as in the drawing of the page.
pub const DESK: u32 = 1300;
/// A usual phone's.
pub const PHONE: u32 = 390;

impl Desk {
    /// `None` where there is no Chromium: the test is skipped.
    pub fn new() -> Option<Desk> {
        let seat = Seat::take();
        let Some(mut browser) = Browser::start() else {
            skip_without("chromium, which shows the pages");
            return None;
        };
        browser.resize(DESK);
        Some(Desk { browser, _seat: seat })
    }

    /// The text of the page's heading.
    pub fn heading(&mut self) -> String {
        let text = self.value("document.querySelector('h1').innerText");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the heading is this text.
    #[track_caller]
    pub fn wait_for_heading(&mut self, text: &str) {
        self.until(&format!("document.querySelector('h1')?.innerText === {text:?}"));
    }

    #[track_caller]
    pub fn has_not_complained(&self) {
        assert_eq!(self.complaints, Vec::<String>::new());
    }
}

impl Deref for Desk {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl DerefMut for Desk {
    fn deref_mut(&mut self) -> &mut Browser {
        &mut self.browser
    }
}

/// The owner "ada" at a desk. The browser ends before the monitor.
pub struct Bed {
    pub desk: Desk,
    pub monitor: Monitor,
    session: String,
}

impl Bed {
    pub fn start(plan: Plan) -> Option<Bed> {
        let desk = Desk::new()?;
        let monitor = plan.start();
        let owner = Client::signed_up(&monitor, "ada", "owner", &[]);
        let session = owner.cookie("heartbeat_session").expect("a session").to_owned();
        let mut bed = Bed { desk, monitor, session };
        bed.sign_in();
        Some(bed)
    }

    /// Gives the browser the owner's session.
    pub fn sign_in(&mut self) {
        self.desk.set_cookie(&self.monitor.url("/"), "heartbeat_session", &self.session);
    }

    pub fn open(&mut self, path: &str) {
        self.desk.open(&self.monitor.url(path));
    }

    /// Sends the sample of the wire format with these fields instead of its own.
    #[track_caller]
    pub fn beat(&self, token: &str, fields: Value) {
        let body = heartbeat(fields).to_string();
        let answer = self.monitor.post("/api/v1/heartbeat", &[bearer(token)], body.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Adds a machine that has sent one such heartbeat, and waits until the monitor counts it as online.
    #[track_caller]
    pub fn machine(&self, name: &str, fields: Value) -> String {
        let token = self.monitor.machine(name);
        self.beat(&token, fields);
        token
    }
}

fn heartbeat(fields: Value) -> Value {
    let mut beat: Value = serde_json::from_str(SAMPLE).expect("the sample");
    // Ten minutes: a machine that sends one heartbeat stays on time for as long as a test takes.
    beat["interval_s"] = json!(600.0);
    beat["id"] = json!(format!("{:016x}", fastrand::u64(..)));
    beat["expected_activity"] = json!([]);
    // The sample's machine runs on its standby uplink.
    beat["connection"]["uplinks"] = json!([{"interface": "wlan0", "health": "valid", "proven_s": 5}]);
    for (name, value) in fields.as_object().expect("fields") {
        beat[name] = value.clone();
    }
    beat
}

/// A camera "gate" as a daemon reports it.
pub fn gate(responds: bool) -> Value {
    let (status, failed) = if responds { ("connected", 0) } else { ("disconnected", 3) };
    json!([{"mac": "b8:27:eb:12:34:56", "hostname": "gate", "status": status, "failed_checks": failed,
        "last_seen": "2025-11-21T20:19:22Z"}])
}

/// A monitor that waits an hour for heartbeats and announces a camera at once.
pub fn patient() -> Plan {
    let plan = Plan::new().key("detection.offline_threshold", "1h");
    plan.says(&["condition", "set", "camera", "--for", "0s"]);
    plan
}

/// A recipient whom a channel reaches, so that the page does not warn.
pub fn with_channel(plan: Plan, telegram: &str) -> Plan {
    let plan = plan.key("notify.telegram_api", telegram.trim_end_matches('/'));
    let secret = plan.scratch().file("bot-token", "123456:ABC-DEF_ghi\n");
    plan.says(&["recipient", "add", "Farm team"]);
    plan.says(&["channel", "add", "telegram", "7", "--recipient", "Farm team", "--bot-token-file", &secret]);
    plan
}
