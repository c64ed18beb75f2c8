//! The OpenAPI file against the running program: what is documented is answered so, and nothing else is there.

use crate::support::monitor::{Answer, Monitor, Plan, bearer};
use heartbeat_daemon::monitor::api::route::ApiRoute as Route;
use heartbeat_daemon::monitor::ingest;
use heartbeat_daemon::monitor::packages::install::SCRIPT_PATH;
use heartbeat_daemon::monitor::packages::offer::PREFIX;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn document() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/openapi.json");
    let text = std::fs::read_to_string(path).expect("the file is there");
    serde_json::from_str(&text).expect("JSON")
}

/// A part of the document that `$ref` points to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(pointer) => document.pointer(pointer.trim_start_matches('#')).expect(pointer),
        None => value,
    }
}

/// What is wrong with `value` by this schema: as far as this document uses JSON Schema.
fn violations(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let schema = resolved(document, schema);
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![kind],
    };
    let fits = allowed.contains(&kind) || kind == "integer" && allowed.contains(&"number");
    if !fits {
        found.push(format!("{place} is {kind}, documented as {allowed:?}"));
    }
    if let (Some(words), Some(text)) = (schema["enum"].as_array(), value.as_str()) {
        if !words.iter().any(|word| word == text) {
            found.push(format!("{place} is {text:?}, documented as {words:?}"));
        }
    }
    if let Value::Array(items) = value {
        for (number, item) in items.iter().enumerate() {
            violations(document, &schema["items"], item, &format!("{place}[{number}]"), found);
        }
    }
    let (Value::Object(fields), Some(known)) = (value, schema["properties"].as_object()) else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{place}.{name} is missing"));
        }
    }
    for (name, field) in fields {
        match known.get(name) {
            Some(schema) => violations(document, schema, field, &format!("{place}.{name}"), found),
            None if schema["additionalProperties"] == false => {
                found.push(format!("{place}.{name} is not documented"))
            }
            None => {}
        }
    }
}

/// One request and the status that it must have.
struct Case {
    method: &'static str,
    /// As in the document.
    path: &'static str,
    /// As it is requested.
    target: &'static str,
    token: Token,
    body: &'static str,
    status: u16,
}

#[derive(Clone, Copy)]
enum Token {
    None,
    Reader,
    Machine,
}

const HEARTBEAT: &str = heartbeat_daemon::wire::SAMPLE;

/// Everything that is documented and can be brought about by a request alone.
fn cases() -> Vec<Case> {
    use Token::{Machine, None, Reader};
    let mut cases = Vec::new();
    let mut add = |method, path, target, token, body, status| {
        cases.push(Case { method, path, target, token, body, status });
    };
    add("get", "/", "/", None, "", 200);
    add("get", "/healthz", "/healthz", None, "", 200);
    add("get", "/metrics", "/metrics", None, "", 200);
    add("get", "/metrics", "/metrics", Machine, "", 403);
    add("get", "/metrics/machines", "/metrics/machines", None, "", 200);
    add("get", "/metrics/machines", "/metrics/machines", Machine, "", 403);
    add("get", "/metrics/machines", "/metrics/machines?machine=1", Reader, "", 400);
    for (path, good, bad) in [
        ("/api/v1/machines", "/api/v1/machines?status=online&limit=1", "/api/v1/machines?status=asleep"),
        ("/api/v1/machines/{id}", "/api/v1/machines/1", "/api/v1/machines/1?x=1"),
        ("/api/v1/machines/{id}/history", "/api/v1/machines/1/history", "/api/v1/machines/1/history?step=1"),
        ("/api/v1/machines/{id}/cameras", "/api/v1/machines/1/cameras", "/api/v1/machines/1/cameras?days=0"),
        ("/api/v1/incidents", "/api/v1/incidents?open=1&machine=1", "/api/v1/incidents?open=yes"),
        ("/api/v1/conditions", "/api/v1/conditions", "/api/v1/conditions?limit=1"),
        ("/api/v1/events", "/api/v1/events?after=0", "/api/v1/events?limit=0"),
        ("/api/v1/deliveries", "/api/v1/deliveries?state=waiting", "/api/v1/deliveries?state=lost"),
        ("/api/v1/maintenance", "/api/v1/maintenance", "/api/v1/maintenance?limit=1"),
    ] {
        add("get", path, good, Reader, "", 200);
        add("get", path, bad, Reader, "", 400);
        add("get", path, good, None, "", 401);
        add("get", path, good, Machine, "", 403);
    }
    add("get", "/api/v1/machines/{id}", "/api/v1/machines/999", Reader, "", 404);
    add("get", "/api/v1/machines/{id}/history", "/api/v1/machines/999/history", Reader, "", 404);
    add("get", "/api/v1/machines/{id}/cameras", "/api/v1/machines/999/cameras", Reader, "", 404);
    add("post", "/api/v1/heartbeat", "/api/v1/heartbeat", Machine, HEARTBEAT, 200);
    add("post", "/api/v1/heartbeat", "/api/v1/heartbeat", Machine, "{", 400);
    add("post", "/api/v1/heartbeat", "/api/v1/heartbeat", None, HEARTBEAT, 401);
    add("post", "/api/v1/heartbeat", "/api/v1/heartbeat", Reader, HEARTBEAT, 401);
    add("post", "/heartbeat.php", "/heartbeat.php", Machine, r#"{"cpu": 5, "temp": "48.8°C"}"#, 200);
    add("post", "/heartbeat.php", "/heartbeat.php", Machine, "[", 400);
    add("post", "/heartbeat.php", "/heartbeat.php", None, "{}", 401);
    add("get", "/heartbeat.php", "/heartbeat.php?params=%7B%22cpu%22%3A5%7D", Machine, "", 200);
    add("get", "/heartbeat.php", "/heartbeat.php?params=%7B", Machine, "", 400);
    add("get", "/heartbeat.php", "/heartbeat.php?params=%7B%7D", None, "", 401);
    add(
        "post",
        "/agent/metrics",
        "/agent/metrics",
        Machine,
        r#"{"cpu_pct": 5, "mem_used_pct": 7, "disk_used_pct": 9}"#,
        202,
    );
    add("post", "/agent/metrics", "/agent/metrics", Machine, "{", 400);
    add("post", "/agent/metrics", "/agent/metrics", None, "{}", 401);
    add("post", "/api/v1/enroll", "/api/v1/enroll", None, "{", 400);
    add("get", "/install", "/install", None, "", 200);
    add("get", "/apt/{file}", "/apt/heartbeat.asc", None, "", 200);
    add("get", "/apt/{file}", "/apt/pool%2Fnone.deb", None, "", 404);
    cases
}

/// A monitor without pages that offers packages.
fn monitor() -> Monitor {
    let plan = Plan::new().toml("web.enabled", "false").key("web.public_url", "https://monitor.example.org/");
    let packages = plan.scratch().path().join("packages");
    fs::create_dir(&packages).expect("created");
    for (name, text) in [
        (
            "heartbeat.asc",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n",
        ),
        ("fingerprint", "0123456789ABCDEF0123456789ABCDEF01234567\n"),
    ] {
        fs::write(packages.join(name), text).expect("written");
    }
    plan.key("packages.directory", packages.to_str().expect("UTF-8")).start()
}

fn get(monitor: &Monitor, case: &Case, reader: &str, machine: &str) -> Answer {
    let headers = match case.token {
        Token::None => vec![],
        Token::Reader => vec![bearer(reader)],
        Token::Machine => vec![bearer(machine)],
    };
    monitor.request(&case.method.to_uppercase(), case.target, &headers, case.body.as_bytes())
}

#[test]
fn every_response_matches_the_openapi_document() {
    let (document, monitor) = (document(), monitor());
    let (machine, reader) = (monitor.machine("barn"), monitor.reader());
    for target in ["--machine", "--group", "--tag"] {
        monitor.plan().says(&["maintenance", "add", target, "barn", "--weekly", "sun", "02:00-04:00"]);
    }
    for case in cases() {
        let what = format!("{} {}", case.method, case.target);
        let answer = get(&monitor, &case, &reader, &machine);
        assert_eq!(answer.status, case.status, "{what}: {answer:?}");
        let operation = &document["paths"][case.path][case.method];
        assert!(operation.is_object(), "{what} is not documented");
        let response = &operation["responses"][case.status.to_string()];
        assert!(response.is_object(), "{what}: {} is not documented", case.status);
        let content = &resolved(&document, response)["content"];
        let documented = content.as_object().and_then(|content| content.iter().next());
        let Some((kind, media)) = documented else {
            assert_eq!(answer.body, "", "{what}");
            continue;
        };
        // The answer to a heartbeat does without: with it, every beat of every device would cost 32 bytes more.
        let sent = answer.header("content-type").unwrap_or(kind);
        assert!(kind == "*/*" || sent.starts_with(kind.as_str()), "{what}: {sent}, documented as {kind}");
        if kind == "application/json" {
            let mut found = Vec::new();
            violations(&document, &media["schema"], &answer.json(), "$", &mut found);
            assert_eq!(found, [""; 0], "{what}: {}", answer.body);
        }
    }
}

#[test]
fn every_documented_operation_is_tried() {
    let document = document();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("methods").keys() {
            documented.insert((path.clone(), method.clone()));
        }
    }
    let tried: BTreeSet<_> =
        cases().iter().map(|case| (case.path.to_owned(), case.method.to_owned())).collect();
    // The Meeting API wants a device key, and enrolment a key: each has a test of its own.
    let elsewhere = [
        "/api/devices/{device_key}",
        "/api/devices/{device_key}/online",
        "/api/devices/{device_key}/availability",
    ];
    let missing: Vec<_> =
        documented.difference(&tried).filter(|(path, _)| !elsewhere.contains(&path.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The path of the document that a route is described by. Whoever adds a route is stopped here by the compiler.
fn web_path(route: Route) -> &'static str {
    match route {
        Route::Root => "/",
        Route::Health => "/healthz",
        Route::Metrics => "/metrics",
        Route::MachineMetrics => "/metrics/machines",
        Route::Machines => "/api/v1/machines",
        Route::Machine(_) => "/api/v1/machines/{id}",
        Route::History(_) => "/api/v1/machines/{id}/history",
        Route::Cameras(_) => "/api/v1/machines/{id}/cameras",
        Route::Incidents => "/api/v1/incidents",
        Route::Conditions => "/api/v1/conditions",
        Route::Events => "/api/v1/events",
        Route::Deliveries => "/api/v1/deliveries",
        Route::Maintenance => "/api/v1/maintenance",
    }
}

/// The same for what devices send to.
fn ingest_path(route: ingest::route::IngestRoute) -> &'static str {
    use ingest::route::IngestRoute as Route;
    match route {
        Route::Heartbeat => "/api/v1/heartbeat",
        Route::Streamer => "/heartbeat.php",
        Route::Online { .. } => "/api/devices/{device_key}/online",
        Route::Availability { .. } => "/api/devices/{device_key}/availability",
        Route::Device { .. } => "/api/devices/{device_key}",
        Route::Metrics => "/agent/metrics",
    }
}

/// The same for what devices download.
fn packages_path(target: &str) -> Option<&'static str> {
    match target {
        SCRIPT_PATH => Some("/install"),
        _ => target.starts_with(PREFIX).then_some("/apt/{file}"),
    }
}

/// Something that can be requested.
fn target(path: &str) -> String {
    path.replace("{id}", "1").replace("{device_key}", "cam-7").replace("{file}", "heartbeat.asc")
}

#[test]
fn each_documented_path_is_the_route_of_its_name_and_there_are_no_others() {
    let document = document();
    let mut routes = 0;
    for path in document["paths"].as_object().expect("paths").keys() {
        let target = target(path);
        let web = Route::of(&target).map(web_path);
        let found = web.or_else(|| ingest::route::route(&target).map(ingest_path));
        let enroll = (target == ingest::enroll::PATH).then_some(ingest::enroll::PATH);
        assert_eq!(found.or(enroll).or_else(|| packages_path(&target)), Some(path.as_str()));
        routes += 1;
    }
    assert_eq!(routes, 13 + 6 + 1 + 2, "the arms of the two functions above, enrolment, and packages");
}

#[test]
fn each_documented_path_accepts_its_methods_and_lists_them_in_allow() {
    let (document, monitor) = (document(), monitor());
    for (path, item) in document["paths"].as_object().expect("paths") {
        let methods: Vec<String> =
            item.as_object().expect("methods").keys().map(|method| method.to_uppercase()).collect();
        let target = target(path);
        for method in &methods {
            let status = monitor.request(method, &target, &[], b"").status;
            assert!(status != 404 && status != 405, "{method} {path}: {status}");
        }
        let mut allowed: BTreeSet<&str> = methods.iter().map(String::as_str).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD");
        }
        for method in ["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "QUERY", "BREW"] {
            let answer = monitor.request(method, &target, &[], b"");
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            let said: BTreeSet<&str> = answer.header("allow").expect("Allow").split(", ").collect();
            assert_eq!(said, allowed, "{method} {path}");
        }
    }
}
