//! The page of a machine and the buttons beside its problems: what they show and change.

use crate::support::browser::Browser;
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use serde_json::{Value, json};

fn sample() -> Value {
    serde_json::from_str(heartbeat_daemon::wire::SAMPLE).expect("the sample")
}

#[track_caller]
fn beat(monitor: &Monitor, token: &str, beat: &Value) -> u16 {
    let body = beat.to_string();
    monitor.post("/api/v1/heartbeat", &[bearer(token)], body.as_bytes()).status
}

/// A machine with the number 1 that has sent this heartbeat, and an owner.
fn site(payload: &Value) -> (Monitor, String, Browser) {
    let monitor = Plan::new().toml("detection.offline_threshold", "\"1h\"").start();
    let token = monitor.machine("barn-cam");
    assert_eq!(beat(&monitor, &token, payload), 200);
    let owner = Browser::signed_up(&monitor, "ada", "owner", &[]);
    (monitor, token, owner)
}

#[test]
fn it_shows_what_the_machine_sent() {
    let (_monitor, _, mut owner) = site(&sample());
    let page = owner.get("/machines/1").body;
    for part in ["<h1>barn-cam ", "gate", "no cable or no network", "works", "&quot;hardwareid&quot;"] {
        assert!(page.contains(part) || page.contains(&part.replace("&quot;", "&#34;")), "{part}: {page}");
    }
    assert_eq!(owner.get("/machines/2").status, 404);
    for span in ["6h", "1y", "", "<script>", "99999999999y"] {
        assert_eq!(
            owner.get(&format!("/machines/1?span={}", span.replace('<', "%3C"))).status,
            200,
            "{span}"
        );
    }
}

#[test]
fn nothing_that_a_device_or_a_person_enters_becomes_markup() {
    let evil = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>";
    let mut payload = sample();
    payload["connection"]["active"] = json!(evil);
    payload["connection"]["wifi"] = json!({"interface": evil, "ssid": evil});
    payload["connection"]["uplinks"] = json!([{"interface": evil, "health": evil, "proven_s": 5}]);
    payload["cameras"] =
        json!([{"mac": "b8:27:eb:12:34:56", "hostname": evil, "status": "disconnected", "failed_checks": 9}]);
    payload[evil] = json!({ evil: evil });
    let (monitor, token, mut owner) = site(&payload);
    let settings =
        [("name", evil), ("group", evil), ("tags", evil), ("description", evil), ("threshold", "1h")];
    assert_eq!(owner.post("/machines/1/settings", &settings).status, 303);
    monitor.plan().says(&["condition", "set", "camera", "--for", "0s"]);
    eventually("the camera is down", || {
        assert_eq!(beat(&monitor, &token, &payload), 200);
        owner.get("/incidents").body.contains("camera")
    });
    owner.post("/incidents/1/comment", &[("text", evil)]);
    for path in [
        "/",
        "/wall",
        "/?by=tag",
        "/?q=%3Cscript%3E",
        "/machines/1",
        "/incidents",
        "/incidents/1",
        "/machines/add?group=%3Cscript%3E",
    ] {
        let page = owner.get(path).body;
        let markup = page.replace("<script src=", "").to_lowercase();
        for part in ["<script", "<img", "onerror=alert(1)>"] {
            assert!(!markup.contains(part), "{path} has {part}: {page}");
        }
    }
}

#[test]
fn settings_are_changed_and_a_wrong_one_is_shown_beside_its_form() {
    let (monitor, _, mut owner) = site(&sample());
    monitor.plan().says(&["machine", "add", "other"]);
    let settings =
        |name: &'static str| [("name", name), ("group", "barn"), ("tags", "a, b"), ("threshold", "5m")];
    let refused = owner.post("/machines/1/settings", &settings("other"));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("role=\"alert\""), "{refused:?}");
    assert_eq!(owner.post("/machines/1/settings", &settings("gate-cam")).status, 303);
    let shown = monitor.plan().says(&["machine", "show", "gate-cam"]);
    for part in ["barn", "a,b", "5m"] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_pause_a_new_token_and_a_removal_take_effect() {
    let (monitor, token, mut owner) = site(&sample());
    assert_eq!(owner.post("/machines/1/pause", &[("for", "2h"), ("reason", "roof")]).status, 303);
    assert!(owner.get("/machines/1").body.contains("is paused"));
    assert_eq!(owner.post("/machines/1/resume", &[]).status, 303);
    assert!(!owner.get("/machines/1").body.contains("is paused"));

    let page = owner.post("/machines/1/token", &[("keep", "0s")]).body;
    let new = page.split_once("<pre id=\"token\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let new = new.expect("the new token").0.to_owned();
    assert_eq!(beat(&monitor, &token, &sample()), 401, "the old token is refused at once");
    assert_eq!(beat(&monitor, &new, &sample()), 200);

    assert_eq!(owner.post("/machines/1/remove", &[("name", "wrong")]).status, 400);
    assert_eq!(owner.post("/machines/1/remove", &[("name", "barn-cam")]).status, 303);
    assert_eq!(owner.get("/machines/1").status, 404);
    assert_eq!(beat(&monitor, &new, &sample()), 401);
}

#[test]
fn a_problem_is_taken_on_commented_and_muted_from_the_pages() {
    let mut payload = sample();
    payload["throttled"] = json!({"now": ["under_voltage"], "since_boot": null});
    let (monitor, token, mut owner) = site(&sample());
    eventually("under-voltage is an incident", || {
        assert_eq!(beat(&monitor, &token, &payload), 200);
        owner.get("/incidents").body.contains("under-voltage")
    });
    assert_eq!(owner.post("/machines/1/acknowledge", &[]).status, 303);
    let listed = monitor.plan().says(&["incident", "list", "--open"]);
    assert!(listed.contains("ada"), "{listed}");
    let fleet = owner.get("/").body;
    assert!(fleet.contains("Ada has been on it since"), "{fleet}");
    let id = listed
        .lines()
        .find(|line| line.contains("under_voltage"))
        .and_then(|line| line.split_whitespace().next());
    let path = format!("/incidents/{}", id.expect("its number"));
    assert_eq!(owner.post(&format!("{path}/comment"), &[("text", "new supply\nordered")]).status, 303);
    assert!(owner.get(&path).body.contains("new supply\nordered"));
    assert_eq!(owner.post(&format!("{path}/comment"), &[("text", " ")]).status, 400);
    assert_eq!(owner.post(&format!("{path}/release"), &[]).status, 303);
    assert!(owner.get(&path).body.contains("Nobody is on it yet"));
    assert_eq!(owner.post("/machines/1/mute", &[]).status, 303);
    assert!(owner.get("/").body.contains("paused"));
}

#[test]
fn all_conditions_that_count_are_listed_with_where_each_setting_comes_from() {
    let monitor = Plan::new().start();
    monitor.machine("gate");
    monitor.plan().says(&["machine", "set", "gate", "--group", "barn"]);
    monitor.plan().says(&["condition", "set", "--group", "barn", "temp", "75", "--for", "10m"]);
    let mut viewer = Browser::signed_up(&monitor, "vera", "viewer", &[]);
    let page = viewer.get("/machines/1").body;
    for shown in ["75 °C (group:barn)", "10m (group:barn)", "under_voltage", "<small>changed</small>"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}
