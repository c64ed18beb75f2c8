//! Every page with every role and limit: who may see it, and who may send its form.
//!
//! The table has each route of `src/bin/heartbeat-monitor/web/route.rs`; a test names the one that you forgot.

use crate::support::browser::Browser;
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use std::collections::BTreeSet;
use std::path::Path;

/// Who may send a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    /// Nobody has to sign in.
    Nothing,
    Viewer,
    Operator,
    Owner,
}

/// A request, and who may send it.
struct Case {
    /// Its route, as in `PageRoute`.
    route: &'static str,
    method: &'static str,
    /// `{machine}` and `{incident}` are those of the machine below.
    path: &'static str,
    needs: Needs,
    /// Is about one machine: who is limited to others gets 404.
    is_limited: bool,
}

/// Their paths have a secret, and the table has none.
const NEED_A_LINK: [&str; 2] = ["Welcome", "AcknowledgeLink"];

const fn case(route: &'static str, method: &'static str, path: &'static str, needs: Needs) -> Case {
    Case { route, method, path, needs, is_limited: false }
}

const fn of_machine(route: &'static str, method: &'static str, path: &'static str, needs: Needs) -> Case {
    Case { route, method, path, needs, is_limited: true }
}

const CASES: &[Case] = &[
    case("Fleet", "GET", "/", Needs::Viewer),
    case("Fleet", "GET", "/?q=cam&show=problems", Needs::Viewer),
    case("Wall", "GET", "/wall", Needs::Viewer),
    case("Live", "GET", "/live?since=0", Needs::Viewer),
    case("MachineAdd", "GET", "/machines/add", Needs::Owner),
    case("MachineAdd", "POST", "/machines/add", Needs::Owner),
    of_machine("Machine", "GET", "/machines/{machine}", Needs::Viewer),
    of_machine("Machine", "GET", "/machines/{machine}?span=1y", Needs::Viewer),
    of_machine("MachineForm", "POST", "/machines/{machine}/pause", Needs::Operator),
    of_machine("MachineForm", "POST", "/machines/{machine}/resume", Needs::Operator),
    of_machine("MachineForm", "POST", "/machines/{machine}/settings", Needs::Owner),
    of_machine("MachineForm", "POST", "/machines/{machine}/token", Needs::Owner),
    of_machine("MachineForm", "POST", "/machines/{machine}/remove", Needs::Owner),
    of_machine("MachineMute", "POST", "/machines/{machine}/mute", Needs::Operator),
    of_machine("MachineAcknowledge", "POST", "/machines/{machine}/acknowledge", Needs::Operator),
    case("Incidents", "GET", "/incidents", Needs::Viewer),
    case("Incidents", "GET", "/incidents?kind=offline", Needs::Viewer),
    of_machine("Incidents", "GET", "/incidents?machine={machine}", Needs::Viewer),
    of_machine("Incident", "GET", "/incidents/{incident}", Needs::Viewer),
    of_machine("IncidentAcknowledge", "POST", "/incidents/{incident}/acknowledge", Needs::Operator),
    of_machine("IncidentComment", "POST", "/incidents/{incident}/comment", Needs::Operator),
    of_machine("IncidentRelease", "POST", "/incidents/{incident}/release", Needs::Operator),
    case("People", "GET", "/people", Needs::Operator),
    case("People", "POST", "/people", Needs::Owner),
    case("Channels", "GET", "/channels?kind=ntfy&recipient=everybody", Needs::Owner),
    case("Channels", "POST", "/channels", Needs::Owner),
    case("ChannelForm", "POST", "/channels/1/test", Needs::Operator),
    case("ChannelForm", "POST", "/channels/1/disable", Needs::Owner),
    case("ChannelForm", "GET", "/channels/1/address", Needs::Owner),
    case("ChannelForm", "POST", "/channels/1/address", Needs::Owner),
    case("Chats", "POST", "/chats", Needs::Owner),
    case("Chat", "GET", "/chats/1", Needs::Owner),
    case("Chat", "POST", "/chats/1", Needs::Owner),
    case("Conditions", "GET", "/settings/conditions", Needs::Viewer),
    case("Conditions", "POST", "/settings/conditions", Needs::Owner),
    case("Maintenance", "GET", "/settings/maintenance", Needs::Viewer),
    case("Maintenance", "POST", "/settings/maintenance", Needs::Operator),
    case("Keys", "GET", "/settings/keys", Needs::Owner),
    case("Keys", "POST", "/settings/keys", Needs::Owner),
    case("Login", "GET", "/login", Needs::Nothing),
    case("Login", "POST", "/login", Needs::Nothing),
    case("Welcome", "GET", "/welcome?link=none", Needs::Nothing),
    case("Welcome", "POST", "/welcome", Needs::Nothing),
    case("AcknowledgeLink", "GET", "/acknowledge/none", Needs::Nothing),
    case("AcknowledgeLink", "POST", "/acknowledge/none", Needs::Nothing),
    case("Settings", "GET", "/settings", Needs::Viewer),
    case("Audit", "GET", "/settings/audit", Needs::Owner),
    case("Users", "GET", "/settings/users", Needs::Owner),
    case("Users", "POST", "/settings/users", Needs::Owner),
    case("User", "GET", "/settings/users/1", Needs::Owner),
    case("User", "POST", "/settings/users/1", Needs::Owner),
    case("Account", "GET", "/account", Needs::Viewer),
    case("Account", "POST", "/account", Needs::Viewer),
    case("StatusSettings", "GET", "/settings/status", Needs::Owner),
    case("StatusSettings", "POST", "/settings/status", Needs::Owner),
    case("StatusPage", "GET", "/status/barn", Needs::Nothing),
    case("StatusBadge", "GET", "/status/barn/badge.svg", Needs::Nothing),
    case("Asset", "GET", "/assets/x/style.css", Needs::Nothing),
    // Last: it ends the session.
    case("Logout", "POST", "/logout", Needs::Nothing),
];

/// Two machines that are offline: "barn-cam" in the group "barn" with the tag "camera", "mill-gate" in "mill".
struct Site {
    monitor: Monitor,
    /// The number of the open incident of each machine.
    incidents: [i64; 2],
}

impl Site {
    fn new() -> Site {
        // A receiver that refuses at once.
        let plan = Plan::new().key("notify.telegram_api", "http://127.0.0.1:1");
        let token = plan.scratch().file("bot-token", "1:a\n");
        plan.says(&["channel", "add", "telegram", "1", "--bot-token-file", &token]);
        let monitor = plan.start();
        let reader = monitor.reader();
        for (name, group) in [("barn-cam", "barn"), ("mill-gate", "mill")] {
            let token = monitor.machine(name);
            monitor.plan().says(&["machine", "set", name, "--group", group]);
            let beat = heartbeat_daemon::wire::SAMPLE.as_bytes();
            assert!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], beat).status < 300);
        }
        monitor.plan().says(&["machine", "set", "barn-cam", "--tag", "camera"]);
        monitor.plan().says(&["status-page", "set", "barn", "--public"]);
        let open = || {
            let listed = monitor.get_as(&reader, "/api/v1/incidents").json();
            let incidents = listed["items"].as_array().cloned().unwrap_or_default();
            let of = |machine: i64| {
                let outage =
                    |found: &&serde_json::Value| found["machine_id"] == machine && found["kind"] == "offline";
                incidents.iter().find(outage).and_then(|found| found["id"].as_i64())
            };
            Some([of(1)?, of(2)?])
        };
        eventually("both machines are offline", || open().is_some());
        let incidents = open().expect("both");
        Site { monitor, incidents }
    }

    /// The path of a case about the machine of this number, from 0.
    fn path(&self, case: &Case, machine: usize) -> String {
        let id = (machine + 1).to_string();
        case.path.replace("{machine}", &id).replace("{incident}", &self.incidents[machine].to_string())
    }

    fn send(&self, browser: &mut Browser, case: &Case, machine: usize) -> (u16, String) {
        let path = self.path(case, machine);
        let answer = match case.method {
            "GET" => browser.get(&path),
            _ => browser.post(&path, &[]),
        };
        (answer.status, answer.body)
    }
}

#[test]
fn the_table_has_every_route() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/heartbeat-monitor/web/route.rs");
    let source = std::fs::read_to_string(file).expect("the routes");
    let routes = source.split_once("pub enum PageRoute {").expect("the routes").1;
    let routes = routes.split_once("\n}").expect("their end").0;
    let name = |line: &str| line.trim().split(['(', ',', ' ']).next().unwrap_or_default().to_owned();
    let is_variant = |line: &&str| line.trim().starts_with(|c: char| c.is_ascii_uppercase());
    let routes: BTreeSet<String> = routes.lines().filter(is_variant).map(name).collect();
    let tested = CASES.iter().map(|case| case.route.to_owned()).collect();
    assert_eq!(routes, tested, "add the new route to CASES, with who may use it");
}

#[test]
fn every_request_needs_its_role_and_its_machine() {
    let site = Site::new();
    let limited = ["--group", "barn"];
    let by_tag = ["--tag", "camera"];
    let nothing = ["--group", "nowhere"];
    for (name, role, needs, limits, sees) in [
        ("viewer", "viewer", Needs::Viewer, &[][..], [true, true]),
        ("operator", "operator", Needs::Operator, &[], [true, true]),
        ("owner", "owner", Needs::Owner, &[], [true, true]),
        ("limited-viewer", "viewer", Needs::Viewer, &limited, [true, false]),
        ("limited-operator", "operator", Needs::Operator, &by_tag, [true, false]),
        ("blind-operator", "operator", Needs::Operator, &nothing, [false, false]),
    ] {
        let mut browser = Browser::signed_up(&site.monitor, name, role, limits);
        for case in CASES {
            for (machine, is_seen) in sees.into_iter().enumerate() {
                let (status, body) = site.send(&mut browser, case, machine);
                let what = format!("{name}: {} {} is {status}", case.method, site.path(case, machine));
                if needs < case.needs {
                    assert!([403, 404].contains(&status), "{what}");
                } else if case.is_limited && !is_seen {
                    assert_eq!(status, 404, "{what}");
                } else if !NEED_A_LINK.contains(&case.route) {
                    assert!(![401, 403, 404, 405, 500].contains(&status) || case.route == "Login", "{what}");
                }
                for (hidden, name) in ["barn-cam", "mill-gate"].into_iter().enumerate() {
                    assert!(sees[hidden] || !body.contains(name), "{what} and shows {name}: {body}");
                }
            }
        }
    }
}

#[test]
fn counts_and_titles_follow_the_limits() {
    let site = Site::new();
    let mut all = Browser::signed_up(&site.monitor, "all", "viewer", &[]);
    let mut one = Browser::signed_up(&site.monitor, "one", "viewer", &["--group", "mill"]);
    let mut none = Browser::signed_up(&site.monitor, "none", "viewer", &["--group", "nowhere"]);
    for path in ["/", "/wall", "/live?since=0"] {
        let count = |browser: &mut Browser| {
            let body = browser.get(path).body;
            body.matches("barn-cam").count() + body.matches("mill-gate").count()
        };
        let (both, own, nothing) = (count(&mut all), count(&mut one), count(&mut none));
        assert!(both == 2 * own && nothing == 0, "{path}: {both}, {own}, {nothing}");
    }
    let title = |browser: &mut Browser| {
        let body = browser.get("/").body;
        body.split_once("<title>")
            .and_then(|(_, rest)| rest.split_once("</title>"))
            .expect("a title")
            .0
            .to_owned()
    };
    let titles = [title(&mut all), title(&mut one), title(&mut none)];
    assert!(
        titles[0].contains('2') && titles[1].contains('1') && !titles[2].contains(['1', '2']),
        "{titles:?}"
    );
}

#[test]
fn a_search_finds_only_machines_that_the_visitor_may_see() {
    let site = Site::new();
    let mut one = Browser::signed_up(&site.monitor, "one", "viewer", &["--group", "mill"]);
    for query in [
        "q=barn",
        "q=camera",
        "group=barn",
        "tag=camera",
        "q=cam&show=problems",
        "q=cam&by=tag",
        "q=a&page=2",
    ] {
        let found = one.get(&format!("/?{query}"));
        assert_eq!(found.status, 200, "{query}");
        assert!(!found.body.contains("barn-cam"), "{query}: {}", found.body);
    }
    assert!(one.get("/?q=gate").body.contains("mill-gate"));
    // What does not exist and what may not be seen look the same, apart from the words themselves.
    let answer =
        |browser: &mut Browser, word: &str| browser.get(&format!("/?q={word}")).body.replace(word, "");
    assert_eq!(answer(&mut one, "barn-cam"), answer(&mut one, "nowhere"));
}

#[test]
fn a_poisoned_host_is_on_no_page_and_in_no_address() {
    let site = Site::new();
    let owner = Browser::signed_up(&site.monitor, "ada", "owner", &[]);
    let poisoned = ["Host", "X-Forwarded-Host", "X-Original-Host"];
    let owner = poisoned.iter().fold(owner, |owner, name| owner.sends(name, "evil.example"));
    let owner = owner.sends("Forwarded", "host=evil.example;proto=https").sends("X-Forwarded-Proto", "https");
    for case in CASES {
        for mut browser in [owner.clone(), Browser::new(&site.monitor).sends("Host", "evil.example")] {
            let path = site.path(case, 0);
            let answer = match case.method {
                "GET" => browser.get(&path),
                _ => browser.post(&path, &[]),
            };
            let found = answer.head.contains("evil.example") || answer.body.contains("evil.example");
            assert!(!found, "{} {path}: {answer:?}", case.method);
        }
    }
}

#[test]
fn who_is_not_signed_in_sees_nothing() {
    let site = Site::new();
    for case in CASES.iter().filter(|case| case.needs > Needs::Nothing) {
        for session in [None, Some(""), Some("hbs_guessed"), Some("' OR 1=1 --")] {
            let mut browser = Browser::new(&site.monitor);
            if let Some(session) = session {
                browser.set_cookie("heartbeat_session", session);
            }
            let (status, body) = site.send(&mut browser, case, 0);
            let expected = if case.route == "Live" { 401 } else { 303 };
            assert_eq!(status, expected, "{} {}", case.method, case.path);
            assert!(!body.contains("barn-cam"));
        }
    }
}

#[test]
fn every_form_of_another_site_is_refused() {
    let site = Site::new();
    let owner = Browser::signed_up(&site.monitor, "owner", "owner", &[]);
    // The secret in an acknowledgement's path is what permits it: ntfy's own page posts to it.
    let is_form = |case: &&Case| case.method == "POST" && case.route != "AcknowledgeLink";
    for case in CASES.iter().filter(is_form) {
        for site_of in ["cross-site", "same-site"] {
            let mut browser = owner.clone().sends("Sec-Fetch-Site", site_of);
            assert_eq!(site.send(&mut browser, case, 0).0, 403, "{} {site_of}", case.path);
        }
    }
    for case in CASES.iter().filter(|case| case.method == "GET" && case.route != "Asset") {
        let mut browser = owner.clone().sends("Sec-Fetch-Site", "cross-site");
        assert_ne!(site.send(&mut browser, case, 0).0, 403, "a link from elsewhere: {}", case.path);
    }
}
