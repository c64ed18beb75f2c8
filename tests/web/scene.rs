//! The fleet of the drawing: 24 machines in three groups, of which three need a person, with a day behind them.

use crate::bed::{Bed, patient, with_channel};
use crate::support::browser::{Browser as Client, link_token};
use crate::support::eventually;
use crate::support::monitor::{Plan, bearer};
use crate::support::server::{Reply, Server};
use heartbeat_daemon::clock::Moment;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::time::Duration;

/// Group, name, and what its heartbeat says besides the sample.
type Drawn = (&'static str, String, Value);

/// The monitor with this fleet, and the Telegram that its messages go to.
pub struct Scene {
    pub bed: Bed,
    /// The last heartbeat of each machine that is alive, with its token.
    beats: Vec<(String, Value)>,
    /// Path of a new user's link.
    pub welcome: String,
    _telegram: Server,
}

/// Each page of a signed-in owner: a name for its picture, and its path.
pub const PAGES: [(&str, &str); 18] = [
    ("fleet", "/"),
    ("wall", "/wall"),
    ("machine", "/machines/1?span=24h"),
    ("add-machine", "/machines/add"),
    ("incidents", "/incidents"),
    ("incident", "/incidents/5"),
    ("people", "/people"),
    ("settings", "/settings"),
    ("conditions", "/settings/conditions"),
    ("keys", "/settings/keys"),
    ("maintenance", "/settings/maintenance"),
    ("status-settings", "/settings/status"),
    ("status", "/status/mill"),
    ("users", "/settings/users"),
    ("user", "/settings/users/1"),
    ("audit", "/settings/audit"),
    ("account", "/account"),
    ("refusal", "/machines/999"),
];

/// Minutes of history that machine 1 has sent as replays.
const MINUTES: u64 = 24 * 60;

impl Scene {
    pub fn start() -> Option<Scene> {
        let telegram =
            Server::start(|_| Reply::Answer(200, Vec::new(), br#"{"ok":true,"result":[]}"#.to_vec()));
        let plan = with_channel(patient(), &telegram.url(""));
        plan.says(&["token", "add", "grafana"]);
        plan.says(&["enroll", "add", "--group", "orchard"]);
        let fleet = fleet();
        let tokens: Vec<String> = fleet.iter().map(|drawn| add(&plan, drawn)).collect();
        past(&plan);
        plan.says(&["machine", "pause", "orchard-17", "--for", "2h", "--reason", "new roof"]);
        // For no machine: a plan with a warning, which pauses none whenever the test runs.
        plan.says(&["maintenance", "add", "--group", "orchid", "--weekly", "sun", "02:00-04:00"]);
        plan.says(&["status-page", "set", "mill", "--public"]);
        plan.says(&["status-page", "label", "mill-yard", "The yard"]);
        let link = link_token(&plan.token(&["user", "add", "bob", "--role", "viewer", "--group", "barn"]));
        let bed = Bed::start(plan)?;
        for ((_, name, _), token) in fleet.iter().zip(&tokens) {
            // What a machine brings along at its first heartbeat is not announced.
            bed.beat(token, before(name));
        }
        bed.is_online(fleet.len());
        for ((_, _, fields), token) in fleet.iter().zip(&tokens) {
            bed.beat(token, fields.clone());
        }
        bed.day(&tokens[0]);
        let comment = [("text", "The cable is cut. A new one comes tomorrow.")];
        let mut operator = Client::signed_up(&bed.monitor, "eve", "operator", &[]);
        eventually("an incident can be commented", || {
            operator.post("/incidents/5/comment", &comment).status == 303
        });
        let alive = fleet.into_iter().zip(tokens).filter(|((_, name, _), _)| name != "mill-race");
        let beats = alive.map(|((_, _, fields), token)| (token, fields)).collect();
        let welcome = format!("/welcome?link={link}");
        let mut scene = Scene { bed, beats, welcome, _telegram: telegram };
        scene.is_as_drawn();
        Some(scene)
    }

    /// The next heartbeat of each machine.
    pub fn beat(&self) {
        for (token, fields) in &self.beats {
            self.bed.beat(token, fields.clone());
        }
    }

    fn is_as_drawn(&mut self) {
        self.bed.open("/");
        self.bed.desk.wait_for_heading("3 need you, 20 are fine");
        self.bed
            .desk
            .until("document.querySelector('[data-group=orchard] .what').innerText === '16 fine, 1 paused'");
        self.bed.desk.wait_for("problems", "mill-race has been silent for");
        self.bed.desk.wait_for("problems", "Farm team notified");
    }
}

impl Bed {
    /// Until then a heartbeat counts as a return, which forgets what has not held for its hold time.
    pub fn is_online(&self, machines: usize) {
        let reader = self.monitor.reader();
        eventually("every machine is online", || {
            let listed = self.monitor.get_as(&reader, "/api/v1/machines?limit=100").json();
            let items = listed["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            items.iter().filter(|machine| machine["status"] == "online").count() == machines
        });
    }

    /// Sends a day of replays, as a device that had no network.
    fn day(&self, token: &str) {
        let minutes: Vec<u64> = (1..MINUTES).rev().collect();
        for part in minutes.chunks(400) {
            let replays: Vec<Value> = part.iter().map(|minute| replay(*minute)).collect();
            let body = json!(replays).to_string();
            let answer = self.monitor.post("/api/v1/heartbeat", &[bearer(token)], body.as_bytes());
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
}

/// Warmer at noon, busier at times.
fn replay(minutes_ago: u64) -> Value {
    let wave = |period: u64| (minutes_ago as f64 / period as f64).sin();
    json!({"replay_age_s": minutes_ago * 60, "cpu": 34.0 + 12.0 * wave(37), "mem": 41.0 + wave(90),
        "temp": 55.0 + 6.0 * wave(230), "power": 4.2 + 0.4 * wave(50), "disk": {"percent": 62.0}})
}

/// Figures that differ from machine to machine and are all within their limits.
fn figures(name: &str) -> Value {
    let spread = name.bytes().fold(0_u32, |sum, byte| sum * 31 % 97 + u32::from(byte)) % 20;
    json!({"hostname": name, "interval_s": 5.0, "temp": 40 + spread, "cpu": 5 + spread, "mem": 25 + spread, "cameras": [],
        "connection": uplink("eth0"), "streaming_active": false, "recording_active": false,
        "disk": {"percent": 20 + spread, "used_gb": 8.0, "total_gb": 29.5, "free_gb": 21.5}})
}

/// Its first heartbeat: nothing is wrong yet.
fn before(name: &str) -> Value {
    let mut fields = figures(name);
    if name == "barn-cam" {
        fields["cameras"] = cameras(&[("gate", true), ("stable", true), ("west-yard", true)]);
    }
    fields
}

fn uplink(name: &str) -> Value {
    json!({"active": name, "uplinks": [{"interface": name, "health": "valid", "proven_s": 5}]})
}

fn cameras(states: &[(&str, bool)]) -> Value {
    let camera = |(name, responds): &(&str, bool)| {
        json!({"mac": format!("b8:27:eb:00:00:{:02x}", name.len()), "hostname": name, "failed_checks": if *responds { 0 } else { 3 },
            "status": if *responds { "connected" } else { "disconnected" }, "last_seen": "2025-11-21T20:19:22Z"})
    };
    states.iter().map(camera).collect()
}

fn fleet() -> Vec<Drawn> {
    let drawn = |group, name: &str, fields: Value| {
        let mut all = figures(name);
        for (key, value) in fields.as_object().expect("fields") {
            all[key] = value.clone();
        }
        (group, name.to_owned(), all)
    };
    let barn = cameras(&[("gate", false), ("stable", true), ("west-yard", true)]);
    let mut fleet = vec![
        drawn(
            "barn",
            "barn-cam",
            json!({"cameras": barn, "streaming_active": true, "recording_active": true}),
        ),
        drawn("barn", "barn-feed", json!({"streaming_active": true})),
        drawn(
            "barn",
            "barn-door",
            json!({"cameras": cameras(&[("door", true)]), "connection": uplink("wlan0")}),
        ),
        drawn("barn", "silo-1", json!({"interval_s": 60.0, "connection": uplink("wwan0")})),
        drawn("mill", "mill-race", json!({})),
        drawn(
            "mill",
            "mill-yard",
            json!({"throttled": {"now": ["under_voltage"], "since_boot": []},
            "connection": uplink("wlan0"), "recording_active": true}),
        ),
        drawn("mill", "mill-gate", json!({"streaming_active": true})),
    ];
    fleet.extend((1..=17).map(|number| drawn("orchard", &format!("orchard-{number:02}"), json!({}))));
    fleet
}

fn add(plan: &Plan, (group, name, _): &Drawn) -> String {
    let mut arguments = vec!["machine", "add", name, "--group", group];
    match name.as_str() {
        "mill-race" => arguments.extend(["--threshold", "5s", "--description", "water gauge"]),
        "barn-feed" => arguments.extend(["--description", "feed store", "--tag", "indoors"]),
        _ => {}
    }
    plan.token(&arguments)
}

/// As if the fleet were 40 days old; two machines had an outage within the day.
fn past(plan: &Plan) {
    let database = Connection::open(plan.database()).expect("the database");
    let ago = |minutes: u64| Moment::now().minus(Duration::from_secs(60 * minutes)).0;
    database.execute("UPDATE machine SET created_at = ?1", [ago(40 * 24 * 60)]).expect("created earlier");
    for (machine, began, ended) in [(1, 300, 263), (3, 1090, 1062), (6, 700, 640), (6, 320, 290)] {
        database
            .execute(
                "INSERT INTO incident (machine_id, kind, planned, last_seen, began_at, ended_at, notified_at)
                 VALUES (?1, 'offline', 0, ?2, ?2, ?3, ?2)",
                params![machine, ago(began), ago(ended)],
            )
            .expect("an incident");
    }
    let days = "WITH RECURSIVE back(days) AS (SELECT 0 UNION ALL SELECT days + 1 FROM back WHERE days < 38)
                INSERT INTO beat_day (machine_id, day, scheduled) SELECT id, ?1 - days, 9 FROM machine, back WHERE days <> 20";
    database.execute(days, [ago(0) / 86_400_000]).expect("days with heartbeats");
}
