//! Packages that the monitor serves: a repository of packaging/repository, real apt, and clients that misbehave.

use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::skip::skip;
use heartbeat_daemon::wire;
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const TOOLS: [&str; 6] = ["apt-get", "dpkg-deb", "dpkg-scanpackages", "gpg", "xz", "gzip"];

/// False, and the test is skipped, if a tool is missing.
pub fn has_tools() -> bool {
    let is_there = |tool: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(tool).exists())
    };
    let missing = TOOLS.iter().find(|tool| !is_there(tool));
    if let Some(tool) = missing {
        skip(&format!("there is no {tool}"));
    }
    missing.is_none()
}

/// A repository in `DIRECTORY/packages`, signed by a key of its own.
pub struct Repository {
    directory: PathBuf,
    pub fingerprint: String,
}

impl Repository {
    pub fn new(directory: &Path) -> Repository {
        let home = directory.join("gpg");
        let made = repository(&["--gpg-home", text(&home), "--new-key", "Packages of a test"]);
        let repository = Repository { directory: directory.to_owned(), fingerprint: made.trim().to_owned() };
        repository.publish("1.0");
        repository
    }

    pub fn path(&self) -> PathBuf {
        self.directory.join("packages")
    }

    /// Replaces the repository by one with this version of a package for amd64, and one for ARMv6. Returns the output.
    pub fn publish(&self, version: &str) -> String {
        // Clients compare times by the second.
        let published =
            fs::metadata(self.path().join("dists/stable/InRelease")).and_then(|file| file.modified());
        eventually("the next second", || {
            published.as_ref().map_or(true, |at| at.elapsed().is_ok_and(|age| age >= Duration::from_secs(1)))
        });
        let debs = [("amd64", "amd64"), ("armhf", "armv6")]
            .map(|(architecture, name)| package(&self.directory, version, architecture, name));
        let (home, path) = (self.directory.join("gpg"), self.path());
        let [one, other] = &debs;
        repository(&[
            "--gpg-home",
            text(&home),
            "--key",
            &self.fingerprint,
            "--url",
            "https://monitor.example.org/apt/",
            text(&path),
            text(one),
            text(other),
        ])
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[track_caller]
fn repository(arguments: &[&str]) -> String {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/repository");
    let output = Command::new(program).args(arguments).env("SOURCE_DATE_EPOCH", "1764000000").output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A package with a file that does not compress.
fn package(directory: &Path, version: &str, architecture: &str, name: &str) -> PathBuf {
    let (tree, deb) =
        (directory.join("tree"), directory.join(format!("heartbeat-daemon_{version}_{name}.deb")));
    fs::create_dir_all(tree.join("DEBIAN")).expect("created");
    fs::create_dir_all(tree.join("usr/share/heartbeat")).expect("created");
    let control = format!(
        "Package: heartbeat-daemon\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: A <a@example.org>\n\
         Description: a test, as {name}\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).expect("written");
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..300_000).map(|_| random.u8(..)).collect();
    fs::write(tree.join("usr/share/heartbeat/noise"), noise).expect("written");
    let built =
        Command::new("dpkg-deb").arg("--root-owner-group").arg("--build").arg(&tree).arg(&deb).output();
    let built = built.expect("it starts");
    assert!(built.status.success(), "{built:?}");
    deb
}

/// apt with a root of its own.
pub struct Apt {
    pub root: PathBuf,
    architecture: &'static str,
}

impl Apt {
    /// The sources entry is the one that packaging/repository prints, with the address of a monitor.
    pub fn new(root: PathBuf, site: &str, repository: &Repository, architecture: &'static str) -> Apt {
        let component = if architecture == "armhf" { "armv6" } else { "main" };
        for directory in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "etc/apt/keyrings",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/lib/dpkg",
        ] {
            fs::create_dir_all(root.join(directory)).expect("created");
        }
        for empty in ["var/lib/dpkg/status", "etc/apt/apt.conf"] {
            fs::write(root.join(empty), "").expect("written");
        }
        let key = root.join("etc/apt/keyrings/heartbeat.asc");
        fs::copy(repository.path().join("heartbeat.asc"), &key).expect("a key");
        let source = format!(
            "Types: deb\nURIs: {site}/apt\nSuites: stable\nComponents: {component}\nSigned-By: {} {}\n",
            key.display(),
            repository.fingerprint
        );
        fs::write(root.join("etc/apt/sources.list.d/heartbeat.sources"), source).expect("written");
        Apt { root, architecture }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let root = self.root.display();
        let mut command = Command::new("apt-get");
        for option in [
            format!("Dir={root}"),
            format!("Dir::State::status={root}/var/lib/dpkg/status"),
            "Dir::Bin::Methods=/usr/lib/apt/methods".to_owned(),
            format!("APT::Architecture={}", self.architecture),
            format!("APT::Architectures::={}", self.architecture),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=0".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        // apt.conf.d is read before the option that names this root.
        command.env("APT_CONFIG", self.root.join("etc/apt/apt.conf"));
        command.env("LC_ALL", "C").current_dir(&self.root).args(arguments).output().expect("it starts")
    }

    #[track_caller]
    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (said, complaints) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && complaints.is_empty(), "{arguments:?}: {said}{complaints}");
        said.into_owned()
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The downloaded package.
    fn downloaded(&self, version: &str) -> PathBuf {
        self.root.join(format!("heartbeat-daemon_{version}_{}.deb", self.architecture))
    }
}

fn serve(plan: Plan, directory: &Path) -> Monitor {
    plan.key("packages.directory", text(directory)).start()
}

/// A monitor that serves a repository, and the directory of both. `None`: a program is missing, and the test is skipped.
fn published() -> Option<(Monitor, Repository, PathBuf)> {
    if !has_tools() {
        return None;
    }
    let plan = Plan::new();
    let scratch = plan.scratch().path().to_owned();
    let repository = Repository::new(&scratch);
    Some((serve(plan, &repository.path()), repository, scratch))
}

/// After a change of this file, which is refused until the reload.
fn reload(monitor: &Monitor, path: &str) {
    assert_eq!(monitor.get(path).status, 503, "{path} is as it was");
    monitor.signal(Signal::HUP);
    eventually("the reload", || monitor.get(path).status == 200);
}

#[test]
fn apt_updates_from_the_monitor_and_downloads_what_was_published() {
    let Some((monitor, repository, scratch)) = published() else { return };
    for architecture in ["amd64", "armhf"] {
        let apt = Apt::new(scratch.join(architecture), &monitor.url(""), &repository, architecture);
        apt.succeeds(&["update"]);
        apt.succeeds(&["download", "heartbeat-daemon"]);
        let name = if architecture == "armhf" { "armv6" } else { architecture };
        let original = fs::read(scratch.join(format!("heartbeat-daemon_1.0_{name}.deb"))).expect("a package");
        assert!(fs::read(apt.downloaded("1.0")).expect("a package") == original, "{architecture}");
        // Nothing has changed, so the lists are not sent again.
        assert!(apt.succeeds(&["update"]).contains("Hit:1"));
    }
}

#[test]
fn apt_continues_a_download_that_was_cut_off() {
    let Some((monitor, repository, scratch)) = published() else { return };
    let apt = Apt::new(scratch.join("apt"), &monitor.url(""), &repository, "amd64");
    apt.succeeds(&["update"]);
    let original = scratch.join("heartbeat-daemon_1.0_amd64.deb");
    let published = fs::metadata(&original).and_then(|_| {
        fs::metadata(repository.path().join("pool/main/heartbeat-daemon_1.0_amd64.deb"))?.modified()
    });
    let part = apt.root.join("var/cache/apt/archives/partial/heartbeat-daemon_1.0_amd64.deb");
    fs::write(&part, &fs::read(&original).expect("a package")[..100_000]).expect("written");
    // apt remembers the version of a part by its time.
    let file = fs::File::options().write(true).open(&part).expect("a file");
    file.set_modified(published.expect("a time")).expect("a time");
    let said = apt.succeeds(&["install", "--download-only", "--yes", "heartbeat-daemon"]);
    assert!(said.contains("Need to get "), "{said}");
    let whole = apt.root.join("var/cache/apt/archives/heartbeat-daemon_1.0_amd64.deb");
    assert!(fs::read(whole).expect("a package") == fs::read(&original).expect("a package"));
}

#[test]
fn apt_refuses_a_package_a_list_and_a_key_that_are_not_the_published_ones() {
    if !has_tools() {
        return;
    }
    let plan = Plan::new();
    let scratch = plan.scratch().path().to_owned();
    let repository = Repository::new(&scratch);
    // Of the same length, as someone does who can write into the directory but has no key.
    let deb = repository.path().join("pool/main/heartbeat-daemon_1.0_amd64.deb");
    let mut bytes = fs::read(&deb).expect("a package");
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    fs::write(&deb, bytes).expect("written");
    let monitor = serve(plan, &repository.path());
    let apt = Apt::new(scratch.join("apt"), &monitor.url(""), &repository, "amd64");
    apt.succeeds(&["update"]);
    let said = apt.fails(&["download", "heartbeat-daemon"]);
    assert!(said.contains("Hash Sum mismatch"), "{said}");
    assert!(!apt.downloaded("1.0").exists());

    let list = repository.path().join("dists/stable/InRelease");
    let forged = fs::read_to_string(&list)
        .expect("a list")
        .replace("Origin: heartbeat-daemon", "Origin: another-daemon-");
    fs::write(&list, forged).expect("written");
    reload(&monitor, "/apt/dists/stable/InRelease");
    let fresh = Apt::new(scratch.join("fresh"), &monitor.url(""), &repository, "amd64");
    let said = fresh.fails(&["update"]);
    assert!(said.contains("BADSIG") || said.contains("signature"), "{said}");

    repository.publish("1.0");
    reload(&monitor, "/apt/dists/stable/InRelease");
    let other = Repository { fingerprint: "0123456789ABCDEF0123456789ABCDEF01234567".into(), ..repository };
    let fresh = Apt::new(scratch.join("other"), &monitor.url(""), &other, "amd64");
    let said = fresh.fails(&["update"]);
    assert!(said.contains("is not signed"), "{said}");
}

#[test]
fn an_upgrade_is_offered_after_a_reload_and_the_sources_entry_is_printed() {
    let Some((monitor, repository, scratch)) = published() else { return };
    let apt = Apt::new(scratch.join("apt"), &monitor.url(""), &repository, "amd64");
    apt.succeeds(&["update"]);
    let said = repository.publish("1.1");
    for line in [
        "URIs: https://monitor.example.org/apt",
        "Suites: stable",
        &format!("Signed-By: /etc/apt/keyrings/heartbeat.asc {}", repository.fingerprint),
    ] {
        assert!(said.lines().any(|found| found == line), "{line} in {said}");
    }
    reload(&monitor, "/apt/dists/stable/InRelease");
    apt.succeeds(&["update"]);
    apt.succeeds(&["download", "heartbeat-daemon"]);
    assert!(apt.downloaded("1.1").exists());
}

/// A directory with a small file and one of 20 MB.
fn plain_directory(plan: &Plan) -> PathBuf {
    let directory = plan.scratch().path().join("files");
    fs::create_dir_all(directory.join("pool")).expect("created");
    fs::write(directory.join("pool/a+b~1.deb"), "a package").expect("written");
    fs::write(directory.join("large"), vec![b'x'; 20_000_000]).expect("written");
    fs::write(directory.join(".hidden"), "a secret").expect("written");
    symlink("/etc/passwd", directory.join("link")).expect("a link");
    directory
}

#[test]
fn only_listed_files_are_served_with_their_types() {
    let plan = Plan::new();
    let directory = plain_directory(&plan);
    let monitor = serve(plan, &directory);
    for path in ["/apt/pool/a+b~1.deb", "/apt/pool/a%2Bb%7E1.deb"] {
        let answer = monitor.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "a package"), "{path}");
        assert_eq!(answer.header("Content-Type"), Some("application/vnd.debian.binary-package"));
        assert!(answer.header("Last-Modified").is_some());
    }
    let head = monitor.request("HEAD", "/apt/large", &[], b"");
    assert_eq!((head.status, head.header("Content-Length"), head.body.len()), (200, Some("20000000"), 0));
    let part = monitor.request("GET", "/apt/pool/a+b~1.deb", &[("Range", "bytes=2-".into())], b"");
    assert_eq!((part.status, part.body.as_str()), (206, "package"));
    for path in [
        "/apt/",
        "/apt/pool",
        "/apt/pool/",
        "/apt/link",
        "/apt/.hidden",
        "/apt/../config.toml",
        "/apt/%2e%2e/config.toml",
        "/apt/pool/../large",
        "/apt//large",
        "/apt/large%00",
        "/apt/%ff",
    ] {
        assert_eq!(monitor.get(path).status, 404, "{path}");
    }
    assert_eq!(monitor.post("/apt/large", &[], b"x").status, 405);
    assert_eq!(Plan::new().start().get("/apt/large").status, 404, "without a directory");
}

#[test]
fn a_file_that_changes_is_refused_until_the_next_reload() {
    let plan = Plan::new();
    let directory = plain_directory(&plan);
    let monitor = serve(plan, &directory);
    fs::write(directory.join("pool/a+b~1.deb"), "another package").expect("written");
    fs::remove_file(directory.join("large")).expect("removed");
    fs::write(directory.join("new"), "new").expect("written");
    for (path, problem) in [("pool/a+b~1.deb", "was changed after"), ("large", "No such file")] {
        let answer = monitor.get(&format!("/apt/{path}"));
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(
            answer.body.contains(problem) && answer.body.contains("reload heartbeat-monitor"),
            "{answer:?}"
        );
        monitor.wait_for_line("of the change", |line| line.contains(&format!("/apt/{path}")));
    }
    assert_eq!(monitor.get("/apt/new").status, 404);
    reload(&monitor, "/apt/pool/a+b~1.deb");
    assert_eq!(monitor.get("/apt/pool/a+b~1.deb").body, "another package");
    assert_eq!((monitor.get("/apt/large").status, monitor.get("/apt/new").status), (404, 200));
}

#[test]
fn a_directory_that_cannot_be_read_stops_the_start_and_not_a_reload() {
    let plan = Plan::new();
    let directory = plain_directory(&plan);
    let mut monitor = serve(plan, &directory);
    monitor.reconfigure("packages.directory", "\"/nowhere\"");
    monitor.signal(Signal::HUP);
    monitor.wait_for_line("of the refusal", |line| {
        line.contains("[packages] directory /nowhere: No such file")
            && line.ends_with("keeping the old configuration")
    });
    assert_eq!(monitor.get("/apt/pool/a+b~1.deb").status, 200);
    let output = monitor.plan().run(&["check-config"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    monitor.reconfigure("packages.directory", "\"relative\"");
    assert_eq!(monitor.plan().run(&["check-config"]).status.code(), Some(78));
}

#[test]
fn the_thirty_third_download_waits_and_heartbeats_do_not() {
    let plan = Plan::new();
    let directory = plain_directory(&plan);
    let monitor = serve(plan, &directory);
    let token = monitor.machine("barn");
    let begin = |path: &str| {
        let mut stream = TcpStream::connect(monitor.address()).expect("connected");
        stream.set_read_timeout(Some(crate::support::SOON)).expect("a limit");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("an answer");
        (stream, String::from_utf8(status.to_vec()).expect("ASCII"))
    };
    let mut downloads: Vec<_> = (0..32).map(|_| begin("/apt/large")).collect();
    assert!(downloads.iter().all(|(_, status)| status == "HTTP/1.1 200"));
    let refused = monitor.get("/apt/large");
    assert_eq!(refused.status, 503);
    let wait: u32 = refused.header("Retry-After").and_then(|wait| wait.parse().ok()).expect("a time");
    assert!((1..=5).contains(&wait), "{wait}");
    assert_eq!(monitor.request("HEAD", "/apt/large", &[], b"").status, 200, "needs no place");
    let beat = monitor.post("/api/v1/heartbeat", &[bearer(&token)], wire::SAMPLE.as_bytes());
    assert_eq!(beat.status, 200);
    downloads.pop();
    eventually("the place of the one that left is free", || begin("/apt/large").1 == "HTTP/1.1 200");
}
