//! install.sh --monitor --lan: a private CA, a certificate for this machine, and a monitor that devices reach with both.

use crate::monitor::{CONFIG, PROGRAM};
use crate::skip::skip;
use crate::unshared::{in_namespace, ip};
use crate::{Machine, PROGRAM as DAEMON, code, said, script};
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const CA: &str = "etc/heartbeat-monitor/lan/ca.pem";
const CA_KEY: &str = "etc/heartbeat-monitor/lan/ca.key";
const CERTIFICATE: &str = "etc/heartbeat-monitor/lan/certificate.pem";
const KEY: &str = "etc/heartbeat-monitor/lan/key.pem";
/// For what happens within seconds unless the machine is very busy.
const SOON: Duration = Duration::from_secs(60);

/// A machine named "farm" with these lines of `ip -oneline address`.
struct Host {
    machine: Machine,
    commands: tempfile::TempDir,
}

impl Host {
    fn new(addresses: &[&str]) -> Host {
        let commands = tempfile::tempdir().expect("a directory");
        let host = Host { machine: Machine::new(), commands };
        host.command("uname", "echo Farm");
        host.has(addresses);
        host
    }

    fn command(&self, name: &str, script: &str) {
        let path = self.commands.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    fn has(&self, addresses: &[&str]) {
        let lines: Vec<String> = (1..)
            .zip(addresses)
            .map(|(number, rest)| format!("{number}: {rest} valid_lft forever"))
            .collect();
        let route = "default via 192.168.7.1 dev eth0 proto dhcp metric 100";
        let script =
            format!("case $* in *route*) echo '{route}' ;; *) cat <<'END'\n{}\nEND\nesac", lines.join("\n"));
        self.command("ip", &script);
    }

    fn install_through(&self, mut command: Command, options: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("DESTDIR", self.machine.path(""))
            .env("PATH", format!("{}:/usr/sbin:{path}", self.commands.path().display()))
            .args(["--monitor", "--binary", PROGRAM, "--lan"])
            .args(options)
            .output()
            .expect("install.sh runs")
    }

    fn install(&self, options: &[&str]) -> Output {
        self.install_through(script(), options)
    }

    fn key(&self, name: &str) -> Option<String> {
        let text = self.machine.read(CONFIG);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    }

    /// Names and addresses in the certificate.
    fn names(&self) -> BTreeSet<String> {
        let arguments = ["x509", "-noout", "-ext", "subjectAltName", "-in"];
        let text = openssl(&[&arguments[..], &[&self.path(CERTIFICATE)]].concat());
        let entries = text.lines().nth(1).expect("a list").split(", ");
        entries.map(|entry| entry.trim().to_owned()).collect()
    }

    fn path(&self, name: &str) -> String {
        self.machine.path(name).to_str().expect("UTF-8").to_owned()
    }

    /// openssl accepts the certificate for `name`, as a server's, strictly.
    fn is_valid_for(&self, option: &str, name: &str) -> bool {
        let (ca, certificate) = (self.path(CA), self.path(CERTIFICATE));
        let arguments =
            ["verify", "-x509_strict", "-purpose", "sslserver", option, name, "-CAfile", &ca, &certificate];
        Command::new("openssl").args(arguments).output().expect("openssl runs").status.success()
    }
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

const FARM: [&str; 4] = [
    "eth0 inet 192.168.7.20/24 brd 192.168.7.255 scope global dynamic eth0",
    "eth0 inet6 fd00:7::20/64 scope global mngtmpaddr",
    "eth0 inet6 fd00:7::abcd/64 scope global temporary dynamic",
    "docker0 inet 172.17.0.1/16 scope global docker0",
];

#[test]
fn a_ca_and_a_certificate_are_made_and_a_second_run_changes_nothing() {
    let host = Host::new(&FARM);
    let first = host.install(&[]);
    code(&first, 0);
    let words = "--enroll https://192.168.7.20:8443/ --ca-file ca.pem";
    assert!(said(&first).contains(words), "{}", said(&first));
    let fingerprint = openssl(&["x509", "-noout", "-fingerprint", "-sha256", "-in", &host.path(CA)]);
    assert!(said(&first).contains(fingerprint.trim().split('=').nth(1).expect("a sum")), "{}", said(&first));

    let tree = host.machine.tree();
    for (file, mode) in [(CA, 0o644), (CA_KEY, 0o600), (CERTIFICATE, 0o644), (KEY, 0o640)] {
        assert_eq!(tree[Path::new(file)].1 & 0o7777, mode, "{file}");
    }
    let names = ["127.0.0.1", "192.168.7.20", "FD00:7:0:0:0:0:0:20", "0:0:0:0:0:0:0:1"]
        .map(|it| format!("IP Address:{it}"));
    let expected =
        ["DNS:farm", "DNS:farm.local", "DNS:localhost"].map(str::to_owned).into_iter().chain(names);
    assert_eq!(host.names(), expected.collect());
    for (option, name) in
        [("-verify_ip", "192.168.7.20"), ("-verify_ip", "fd00:7::20"), ("-verify_hostname", "farm.local")]
    {
        assert!(host.is_valid_for(option, name), "{name}");
    }
    assert!(!host.is_valid_for("-verify_ip", "172.17.0.1"), "a bridge of containers is not on the LAN");
    let listen = host.key("listen").expect("an address");
    assert!(["[::]:8443", "0.0.0.0:8443"].contains(&&*listen), "{listen}");
    assert_eq!(host.key("public_url").as_deref(), Some("https://192.168.7.20:8443/"));

    assert_eq!(host.key("ca_file").as_deref(), Some("/etc/heartbeat-monitor/lan/ca.pem"));

    let second = host.install(&[]);
    code(&second, 0);
    assert!(said(&second).contains("nothing changed"), "{}", said(&second));
    assert_eq!(host.machine.tree(), tree);
    // An update without the option keeps all of it.
    let update = host.machine.run(&["--monitor", "--binary", PROGRAM]);
    code(&update, 0);
    assert_eq!(host.machine.tree(), tree);
}

#[test]
fn another_address_renews_the_certificate_under_the_same_ca() {
    let host = Host::new(&FARM);
    code(&host.install(&[]), 0);
    let ca = host.machine.read(CA);
    host.has(&["eth0 inet 192.168.7.99/24 brd 192.168.7.255 scope global dynamic eth0"]);
    let renewed = host.install(&[]);
    code(&renewed, 0);
    assert!(said(&renewed).contains("--enroll https://192.168.7.99:8443/"), "{}", said(&renewed));
    assert_eq!(host.machine.read(CA), ca);
    assert!(
        host.is_valid_for("-verify_ip", "192.168.7.99") && !host.is_valid_for("-verify_ip", "192.168.7.20")
    );
}

#[test]
fn a_certificate_is_renewed_before_it_ends() {
    let host = Host::new(&FARM);
    let mut earlier = Command::new("faketime");
    earlier.args(["-f", "-800d"]).arg(script().get_program());
    let made = host.install_through(earlier, &[]);
    code(&made, 0);
    let (ca, before) = (host.machine.read(CA), host.machine.read(CERTIFICATE));
    let in_100_days =
        ["x509", "-noout", "-checkend", "8640000", "-in", &host.path(CERTIFICATE)].map(str::to_owned);
    let lasts =
        || Command::new("openssl").args(&in_100_days).output().expect("openssl runs").status.success();
    assert!(!lasts(), "made 800 days ago");
    code(&host.install(&[]), 0);
    assert!(lasts() && host.machine.read(CERTIFICATE) != before && host.machine.read(CA) == ca);
}

#[test]
fn the_address_that_a_person_chose_stays_and_is_in_the_certificate() {
    let host = Host::new(&FARM);
    code(&host.install(&["--name", "Monitor.Farm"]), 0);
    assert_eq!(host.key("public_url").as_deref(), Some("https://monitor.farm:8443/"));
    assert!(host.is_valid_for("-verify_hostname", "monitor.farm"));
    host.has(&["eth0 inet 192.168.7.99/24 scope global eth0"]);
    code(&host.install(&[]), 0);
    assert_eq!(host.key("public_url").as_deref(), Some("https://monitor.farm:8443/"));

    let edited =
        host.machine.read(CONFIG).replace("https://monitor.farm:8443/", "https://203.0.113.5/monitor/");
    let edited = edited.replace("[::]:8443", "0.0.0.0:9443").replace("0.0.0.0:8443", "0.0.0.0:9443");
    host.machine.write(CONFIG, &edited);
    code(&host.install(&[]), 0);
    assert_eq!(host.machine.read(CONFIG), edited);
    assert!(host.is_valid_for("-verify_ip", "203.0.113.5"));
}

#[test]
fn what_would_replace_something_is_refused_and_nothing_changes() {
    let host = Host::new(&FARM);
    code(&host.install(&[]), 0);
    let good = host.machine.read(CONFIG);
    let own = "certificate_file = \"/etc/letsencrypt/live/farm/fullchain.pem\"";
    let of_lan = "certificate_file = \"/etc/heartbeat-monitor/lan/certificate.pem\"";
    for (from, to, words) in [
        (of_lan, own, "is not from --lan"),
        ("listen = \"", "listen = \"127.0.0.1:9\"\n#", "is for this machine only"),
    ] {
        host.machine.write(CONFIG, &good.replace(from, to));
        let before = host.machine.tree();
        let output = host.install(&[]);
        code(&output, 78);
        assert!(said(&output).contains(words), "{}", said(&output));
        assert_eq!(host.machine.tree(), before);
    }
    host.machine.write(CONFIG, &good);
    fs::remove_file(host.machine.path(CA_KEY)).expect("removed");
    let before = host.machine.tree();
    let output = host.install(&[]);
    code(&output, 1);
    assert!(said(&output).contains("ca.key is missing: restore it"), "{}", said(&output));
    assert_eq!(host.machine.tree(), before);

    let alone = Host::new(&[]);
    let output = alone.install(&[]);
    code(&output, 1);
    assert!(said(&output).contains("no address on a network yet"), "{}", said(&output));
    assert_eq!(alone.machine.names(), [""; 0]);
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The configuration as installed, with the paths that it has below the machine's root.
fn configuration(machine: &Machine, name: &str) -> String {
    let root = machine.path("");
    let root = root.to_str().expect("UTF-8").trim_end_matches('/');
    let mut text = machine.read(&format!("etc/{name}/config.toml"));
    for directory in ["etc", "var/lib", "run"] {
        fs::create_dir_all(machine.path(&format!("{directory}/{name}"))).expect("a directory");
        text = text.replace(&format!("\"/{directory}/{name}"), &format!("\"{root}/{directory}/{name}"));
    }
    machine.write(&format!("{name}.toml"), &text)
}

fn run(program: &str, config: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(["--config", config]).args(arguments).env_clear().output().expect("it runs")
}

/// Installs a daemon with what `--lan` printed, and sends one heartbeat.
fn sends(address: &str, monitor: &Machine, config: &str, name: &str) -> Output {
    let device = Machine::new();
    let token = device.path("token").to_str().expect("UTF-8").to_owned();
    code(&run(PROGRAM, config, &["machine", "add", name, "--token-file", &token]), 0);
    let ca = monitor.path(CA).to_str().expect("UTF-8").to_owned();
    let url = format!("https://{address}:8443/api/v1/heartbeat");
    code(&device.install(&["--url", &url, "--token-file", &token, "--ca-file", &ca]), 0);
    run(DAEMON, &configuration(&device, "heartbeat-daemon"), &["send"])
}

fn lan_has(old: Option<&str>, new: &str) {
    if let Some(old) = old {
        ip(&format!("address del {old}/24 dev eth0"));
    }
    ip(&format!("address add {new}/24 dev eth0"));
}

fn a_heartbeat_arrives_in_the_lan() {
    for command in
        ["link set lo up", "link add eth0 type veth peer name eth1", "link set eth0 up", "link set eth1 up"]
    {
        ip(command);
    }
    lan_has(None, "192.168.77.10");
    let monitor = Machine::new();
    let install = || monitor.run(&["--monitor", "--binary", PROGRAM, "--lan"]);
    code(&install(), 0);
    let config = configuration(&monitor, "heartbeat-monitor");
    let mut command = Command::new(PROGRAM);
    command.args(["--config", &config, "serve"]).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().expect("it starts"));
    let begin = Instant::now();
    while TcpStream::connect("192.168.77.10:8443").is_err() {
        assert!(begin.elapsed() < SOON, "the monitor does not listen on the LAN");
        thread::sleep(Duration::from_millis(20));
    }
    code(&sends("192.168.77.10", &monitor, &config, "barn"), 0);
    let list = said(&run(PROGRAM, &config, &["machine", "list"]));
    assert!(list.lines().any(|line| line.contains("barn") && line.contains(" online ")), "{list}");

    // The old certificate does not name the new address; the renewed one does, after a reload.
    lan_has(Some("192.168.77.10"), "192.168.77.20");
    let refused = sends("192.168.77.20", &monitor, &config, "gate");
    assert!(!refused.status.success() && said(&refused).contains("certificate"), "{}", said(&refused));
    code(&install(), 0);
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    let mut number = 0;
    while !sends("192.168.77.20", &monitor, &config, &format!("mill-{number}")).status.success() {
        number += 1;
        assert!(begin.elapsed() < SOON, "never accepted with the renewed certificate");
    }
}

#[test]
fn a_heartbeat_arrives_over_https_at_an_address_of_the_lan() {
    let named = Command::new("ip").arg("-Version").output();
    if named.is_err() {
        return skip("there is no ip");
    }
    in_namespace(
        "lan::a_heartbeat_arrives_over_https_at_an_address_of_the_lan",
        a_heartbeat_arrives_in_the_lan,
    );
}
