//! The command that a person pastes on a device, its script, and files for SD cards.

use crate::device_enrolment::{Device, succeeded};
use crate::https::renew;
use crate::packages::{Apt, Repository, has_tools};
use crate::support::browser::Browser;
use crate::support::daemon::output_of;
use crate::support::eventually;
use crate::support::https::Authority;
use crate::support::monitor::{Answer, Monitor, Plan, bearer};
use crate::support::skip::skip;
use rustix::process::Signal;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// A monitor with a repository, under this address for people.
fn monitor(plan: Plan, url: &str) -> Monitor {
    let repository = Repository::new(plan.scratch().path());
    offering(plan, &repository, url)
}

fn offering(plan: Plan, repository: &Repository, url: &str) -> Monitor {
    let directory = repository.path();
    plan.key("packages.directory", directory.to_str().expect("UTF-8")).key("web.public_url", url).start()
}

/// A monitor with a certificate of a private CA.
struct PrivateMonitor {
    monitor: Monitor,
    repository: Repository,
    /// Its address, without a slash at the end.
    site: String,
    /// The file of the CA.
    ca: String,
}

impl PrivateMonitor {
    fn start(listen: &str) -> PrivateMonitor {
        let (authority, plan) = (Authority::new(), Plan::new().key("http.listen", listen));
        let repository = Repository::new(plan.scratch().path());
        let (certificate, key) = renew(&authority, plan.scratch().path());
        let ca = plan.scratch().file("ca.pem", &authority.pem);
        let plan = plan.key("http.certificate_file", &certificate).key("http.key_file", &key);
        let mut monitor = offering(plan.key("web.ca_file", &ca), &repository, "https://127.0.0.1:1/");
        let site = format!("https://{}", monitor.address());
        monitor.reconfigure("web.public_url", &format!("{site:?}"));
        monitor.signal(Signal::HUP);
        monitor.wait_for_line("of the reload", |line| line.contains("configuration reloaded"));
        PrivateMonitor { monitor, repository, site, ca }
    }

    /// The pasted command without its end, which runs the script as root.
    fn fetch(&self) -> String {
        let command = command_of(&self.repository.path(), &self.site, &self.ca);
        let (fetch, rest) = command.split_once(" | sudo sh").expect("the script is run as root");
        assert_eq!(rest, " -s heartbeat-ca.pem");
        fetch.to_owned()
    }

    /// The script that the command downloads.
    fn script(&self) -> String {
        let output = sh(&self.fetch(), self.monitor.plan().scratch().path());
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && script.contains(&format!("site='{}'", self.site)), "{output:?}");
        script
    }
}

fn refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.body.contains(&format!("{what} needs HTTPS")), "{answer:?}");
}

fn sh(command: &str, directory: &Path) -> Output {
    Command::new("sh").args(["-c", command]).current_dir(directory).output().expect("a shell")
}

#[test]
fn the_script_is_for_this_monitor_and_contains_no_secret() {
    if !has_tools() {
        return;
    }
    let monitor = monitor(Plan::new(), "https://monitor.example.org/hb/");
    let key = monitor.plan().token(&["enroll", "add"]);
    let answer = monitor.get("/install");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("Content-Type").is_some_and(|kind| kind.starts_with("text/x-shellscript")));
    assert!(answer.body.contains("site='https://monitor.example.org/hb'"), "{}", answer.body);
    let fingerprint = fs::read_to_string(monitor.plan().scratch().path().join("packages/fingerprint"));
    assert!(answer.body.contains(fingerprint.expect("a fingerprint").trim()));
    assert!(!answer.body.contains(&key));
    // Half of it does nothing: without its last line it only defines a function.
    let half = answer.body.rsplit_once("install_heartbeat \"$@\"").expect("the call").0;
    let scratch = monitor.plan().scratch().path();
    fs::write(scratch.join("half"), half).expect("written");
    let output = sh("sh half", scratch);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(monitor.post("/install", &[], b"x").status, 405);
}

#[test]
fn script_and_enrolment_are_refused_over_plain_http() {
    if !has_tools() {
        return;
    }
    const DEVICE: &[u8] = br#"{"hardwareid": "10000000a5bd2dd2", "hostname": "barn-cam"}"#;
    let plan = Plan::new().toml("http.trusted_proxies", "[\"127.0.0.1\"]");
    let monitor = monitor(plan, "http://monitor.example.org/");
    let key = monitor.plan().token(&["enroll", "add"]);
    let from = |proto: Option<&str>| {
        let proto = proto.map(|proto| ("X-Forwarded-Proto", proto.to_owned()));
        [("X-Forwarded-For", "203.0.113.9".to_owned())].into_iter().chain(proto).collect::<Vec<_>>()
    };
    for headers in [from(None), from(Some("http"))] {
        refused(&monitor.request("GET", "/install", &headers, b""), "/install");
        let headers = [headers, vec![bearer(&key)]].concat();
        refused(&monitor.request("POST", "/api/v1/enroll", &headers, DEVICE), "enrolment");
    }
    assert_eq!(monitor.request("GET", "/install", &from(Some("https")), b"").status, 200);
    // The key was not used.
    let headers = [from(Some("https")), vec![bearer(&key)]].concat();
    assert_eq!(monitor.request("POST", "/api/v1/enroll", &headers, DEVICE).status, 201);
}

#[test]
fn the_command_trusts_a_private_ca_only_by_its_hash() {
    if !has_tools() {
        return;
    }
    let private = PrivateMonitor::start("127.0.0.1:0");
    let script = private.script();
    assert!(script.contains("Acquire::https::127.0.0.1::CAInfo"), "{script}");

    // Another CA than the one that the page named.
    let fetch = private.fetch();
    let hash = fetch.split("echo '").nth(1).and_then(|rest| rest.split(' ').next()).expect("a hash");
    let forged = fetch.replace(hash, &"0".repeat(64));
    let output = sh(&forged, private.monitor.plan().scratch().path());
    assert!(!output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("install_heartbeat"), "{output:?}");
}

#[test]
fn a_device_installs_and_enrols_at_an_ipv6_address_with_a_private_ca() {
    if !has_tools() {
        return;
    }
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("this machine has no IPv6");
    }
    let private = PrivateMonitor::start("[::1]:0");
    let scratch = private.monitor.plan().scratch().path();
    let option = private
        .script()
        .lines()
        .find_map(|line| line.trim().strip_prefix("echo \"")?.split_once(" \\\"$ca"))
        .map(|(name, _)| format!("{name} {:?};\n", private.ca));
    let apt = Apt::new(scratch.join("apt"), &private.site, &private.repository, "amd64");
    fs::write(apt.root.join("etc/apt/apt.conf"), option.expect("the option")).expect("written");
    apt.succeeds(&["update"]);
    apt.succeeds(&["download", "heartbeat-daemon"]);

    let device = Device::new();
    let key = device.key_file(&private.monitor.plan().token(&["enroll", "add"]));
    let site = format!("{}/", private.site);
    let arguments = ["enroll", &site, "--key-file", &key, "--ca-file", &private.ca];
    let said = succeeded(&output_of(device.0.command(&arguments)));
    assert!(said.starts_with("enrolled at https://[::1]:"), "{said}");
    let _daemon = device.0.start();
    eventually("its heartbeats arrive", || {
        private.monitor.plan().says(&["machine", "list"]).contains(" online ")
    });
}

/// The command that the page of a new key shows. The page comes from another monitor with the same settings, because the
/// browser of these tests does not speak TLS.
fn command_of(packages: &Path, site: &str, ca: &str) -> String {
    let plan = Plan::new().key("packages.directory", packages.to_str().expect("UTF-8"));
    let monitor = plan.key("web.public_url", site).key("web.ca_file", ca).start();
    let mut owner = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let page = owner.post("/settings/keys", &[("do", "add-key"), ("for", "1h"), ("uses", "1")]).body;
    let (key, command) = (shown(&page, "token"), shown(&page, "command"));
    assert!(key.len() >= 43 && !command.contains(&key), "{page}");
    assert!(
        page.contains("download=\"heartbeat.toml\"") && page.contains("download=\"vendor-data\""),
        "{page}"
    );
    let several = owner.post("/settings/keys", &[("do", "add-key"), ("for", "1h"), ("uses", "2")]).body;
    assert!(several.contains("id=\"command\"") && !several.contains("heartbeat.toml"), "{several}");
    command
}

/// The text of the element with this id.
fn shown(page: &str, id: &str) -> String {
    let (_, rest) =
        page.split_once(&format!("<pre id=\"{id}\">")).unwrap_or_else(|| panic!("no {id}: {page}"));
    let text = rest.split("</pre>").next().unwrap_or_default();
    [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[test]
fn a_card_has_the_key_in_one_file_and_a_script_without_it() {
    if !has_tools() {
        return;
    }
    let monitor = monitor(Plan::new(), "https://monitor.example.org/");
    let card = monitor.plan().scratch().path().join("card");
    fs::create_dir(&card).expect("created");
    fs::write(card.join("user-data"), "#cloud-config\nhostname: of-imager\n").expect("written");
    let place = card.to_str().expect("UTF-8");
    monitor.plan().says(&["enroll", "card", place, "--name", "barn-cam", "--group", "barn"]);
    let read =
        |name: &str| fs::read_to_string(card.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let order = read("heartbeat.toml");
    let value = |key: &str| {
        order.lines().find_map(|line| line.strip_prefix(&format!("{key} = \""))?.strip_suffix('"'))
    };
    assert_eq!(
        (value("url"), value("name")),
        (Some("https://monitor.example.org/"), Some("barn-cam")),
        "{order}"
    );
    let key = value("key").expect("a key");
    assert!(key.len() >= 43, "{order}");
    let script = read("vendor-data");
    assert!(!script.contains(key) && script.starts_with("#!/bin/sh\n"), "{script}");
    assert!(script.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") && !script.contains('@'), "{script}");
    let checked = Command::new("sh").arg("-n").arg(card.join("vendor-data")).status().expect("a shell");
    assert!(checked.success());
    assert_eq!(read("user-data"), "#cloud-config\nhostname: of-imager\n", "Imager's file stays");

    let again = monitor.plan().run(&["enroll", "card", place]);
    assert!(
        !again.status.success() && String::from_utf8_lossy(&again.stderr).contains("already exists"),
        "{again:?}"
    );
    assert_eq!(read("vendor-data"), script);
    assert_eq!(monitor.plan().says(&["enroll", "list"]).matches("0 of 1").count(), 1, "one key");
}

#[test]
fn a_seed_is_complete_and_a_failed_one_leaves_nothing() {
    if !has_tools() {
        return;
    }
    let monitor = monitor(Plan::new(), "https://monitor.example.org/");
    let scratch = monitor.plan().scratch();
    let ssh_key = scratch.file("key.pub", "ssh-ed25519 AAAAC3Nza someone@example.org\n");
    let card = scratch.path().join("card");
    fs::create_dir(&card).expect("created");
    let place = card.to_str().expect("UTF-8");
    monitor.plan().says(&["enroll", "card", place, "--name", "barn-cam", "--seed", "--ssh-key", &ssh_key]);
    let read =
        |name: &str| fs::read_to_string(card.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(
        read("user-data"),
        "#cloud-config\nhostname: barn-cam\nssh_authorized_keys:\n  - \"ssh-ed25519 AAAAC3Nza someone@example.org\"\n"
    );
    assert!(read("meta-data").starts_with("instance-id: heartbeat-"));

    let other = scratch.path().join("other");
    fs::create_dir(&other).expect("created");
    fs::write(other.join("meta-data"), "of the image").expect("written");
    let place = other.to_str().expect("UTF-8");
    for arguments in [vec!["--seed"], vec!["--name", "a b"], vec!["--seed", "--ssh-key", "/nowhere"]] {
        let output = monitor.plan().run(&[&["enroll", "card", place][..], &arguments].concat());
        assert!(!output.status.success(), "{output:?}");
    }
    let left: Vec<_> = fs::read_dir(&other)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["meta-data"]);
    assert_eq!(monitor.plan().says(&["enroll", "list"]).matches("0 of 1").count(), 1, "one key");
}
