//! Markup in every text that a device or a person can set is shown as text, and runs nowhere.

use crate::bed::{Bed, patient};
use crate::scene::PAGES;
use crate::support::browser::Browser as Client;
use crate::support::eventually;
use serde_json::json;

/// Ends an attribute and an element; an image that does not exist runs its handler. At most 64 characters, as a group.
fn evil(field: &str) -> String {
    format!("{field}'\"><img src=x onerror=alert()><script>alert()</script>")
}

#[test]
fn markup_in_every_field_is_shown_as_text_and_runs_nowhere() {
    let plan = patient();
    plan.says(&["condition", "set", "read_only", "--for", "0s"]);
    let evils = ["name", "group", "tag", "text", "reason", "person", "reader", "user"].map(evil);
    let [name, group, tag, text, reason, person, reader, user] = evils.each_ref().map(String::as_str);
    let token = plan.token(&[
        "machine",
        "add",
        name,
        "--group",
        group,
        "--tag",
        tag,
        "--description",
        text,
        "--device-key",
        "key",
    ]);
    plan.says(&["recipient", "add", person]);
    plan.says(&["token", "add", reader]);
    plan.says(&["user", "add", user, "--role", "viewer", "--group", group]);
    plan.says(&["status-page", "set", group, "--public"]);
    plan.says(&["status-page", "label", "1", &evil("label")]);
    let Some(mut bed) = Bed::start(plan) else { return };
    bed.beat(&token, json!({}));
    bed.is_online(1);
    bed.beat(&token, json!({
        "hostname": evil("host"),
        "app_version": evil("app"),
        "cameras": [{"mac": evil("mac"), "hostname": evil("camera"), "status": "disconnected", "failed_checks": 3}],
        "file_systems": [{"path": format!("/{}", evil("path")), "read_only": true}],
        "recording_file_path": evil("file"),
        "connection": {
            "active": evil("uplink"), "state": evil("state"),
            "wifi": {"interface": evil("wlan"), "ssid": evil("ssid"), "state": evil("wifi")},
            "uplinks": [{"interface": evil("uplink"), "health": evil("health"), "proven_s": 5}],
        },
    }));
    people(&bed, text, reason, person);

    let status = format!("/status/{}", encoded(group));
    let others = ["/settings/users/2", "/?by=tag", "/?q=%3Cimg%20src=x%3E", &status];
    let paths = PAGES.iter().map(|(_, path)| *path).chain(others);
    let mut shown = String::new();
    for path in paths {
        bed.open(path);
        let injected =
            bed.desk.value("document.querySelectorAll('img, script:not([src]), [onerror]').length");
        assert_eq!(injected, 0, "{path}");
        let all = "document.title + document.body.textContent + [...document.querySelectorAll('input, [title], [aria-label]')]
            .map(it => (it.value ?? '') + it.title + it.getAttribute('aria-label')).join()";
        shown += bed.desk.value(all).as_str().expect("text");
    }
    let fields = [
        "name", "group", "tag", "text", "reason", "label", "person", "reader", "user", "host", "mac",
        "camera", "path", "file", "uplink", "ssid", "health",
    ];
    for field in fields {
        // Only in the latest heartbeat, some are shown as JSON.
        let json = json!(evil(field)).to_string();
        let is_shown = shown.contains(&evil(field)) || shown.contains(json.trim_matches('"'));
        assert!(is_shown, "{field} is shown nowhere");
    }
    bed.desk.complaints.retain(|complaint| !complaint.contains("404"));
    bed.desk.has_not_complained();
}

/// As a part of a path.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

/// What people can set on the pages: a channel, a comment, a reason; and a live update with all of that.
fn people(bed: &Bed, text: &str, reason: &str, person: &str) {
    let mut owner = Client::signed_up(&bed.monitor, "eve", "owner", &[]);
    let target = "https://example.org/<img src=x onerror=alert()>";
    let channel = [("recipient", person), ("kind", "webhook"), ("target", target)];
    assert!([200, 400].contains(&owner.post("/channels", &channel).status));
    eventually("the file system is an incident", || owner.get("/incidents/1").status == 200);
    assert_eq!(owner.post("/incidents/1/comment", &[("text", text)]).status, 303);
    assert_eq!(owner.post("/machines/1/acknowledge", &[]).status, 303);
    assert_eq!(owner.post("/machines/1/pause", &[("for", "2h"), ("reason", reason)]).status, 303);
    assert_eq!(
        owner.post("/settings/keys", &[("do", "add-key"), ("for", "1h"), ("group", &evil("key"))]).status,
        200
    );
}
