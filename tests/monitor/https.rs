//! HTTPS: of the monitor's own, with a certificate that is renewed while it serves; and by the nginx example.

use crate::rig::becomes;
use crate::support::daemon::Setup;
use crate::support::https::Authority;
use crate::support::monitor::{Monitor, Plan};
use crate::support::process::Process;
use crate::support::{eventually, skip};
use rustix::process::Signal;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

const NAME: &str = "127.0.0.1";

/// Certificate and key under the names that a configuration has for them.
fn renew(authority: &Authority, directory: &Path) -> (String, String) {
    let identity = authority.server_pem(&[NAME]);
    let place = |name: &str| directory.join(name).to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (place("certificate.pem"), place("key.pem"));
    fs::write(&certificate, identity.certificate_pem).expect("written");
    fs::write(&key, identity.key_pem).expect("written");
    (certificate, key)
}

/// A daemon that sends there and trusts this authority only.
fn daemon(url: &str, token: &str, authority: &Authority) -> crate::support::daemon::Daemon {
    let setup = Setup::new().to(url).token(token);
    let file = setup.scratch().file("ca.pem", &authority.pem);
    setup.key("heartbeat.ca_file", &file).start()
}

/// Tokens are made before the start, since requests of these tests do not speak TLS.
fn tokens(plan: &Plan, machines: &[&str]) -> Vec<String> {
    machines.iter().map(|name| plan.token(&["machine", "add", name])).collect()
}

fn is_online(monitor: &Monitor, name: &str) -> bool {
    let list = monitor.plan().says(&["machine", "list"]);
    list.lines().any(|line| line.contains(name) && line.contains(" online "))
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload_and_a_broken_one_is_refused() {
    let (old, new) = (Authority::new(), Authority::new());
    let plan = Plan::new();
    let (certificate, key) = renew(&old, plan.scratch().path());
    let tokens = tokens(&plan, &["barn", "gate"]);
    let plan = plan.key("http.certificate_file", &certificate).key("http.key_file", &key);
    let monitor = plan.start();
    let url = format!("https://{}/api/v1/heartbeat", monitor.address());
    let first = daemon(&url, &tokens[0], &old);
    eventually("a daemon that trusts the old one is heard", || is_online(&monitor, "barn"));

    fs::write(&key, "no key").expect("written");
    monitor.signal(Signal::HUP);
    monitor.wait_for_line("of the refusal", |line| line.ends_with("the old configuration stays"));
    renew(&new, plan_path(&monitor));
    monitor.signal(Signal::HUP);
    monitor.wait_for_line("of the reload", |line| line.contains("the configuration is taken over"));
    let second = daemon(&url, &tokens[1], &new);
    eventually("a daemon that trusts the new one is heard", || is_online(&monitor, "gate"));
    drop((first, second));
}

fn plan_path(monitor: &Monitor) -> &Path {
    monitor.plan().scratch().path()
}

#[test]
fn a_daemon_is_heard_through_nginx_with_the_example_and_figures_are_not_shown() {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        return skip("no nginx (apt-get install nginx-light)");
    }
    let authority = Authority::new();
    let monitor = Plan::new().toml("http.trusted_proxies", "[\"127.0.0.1\"]").start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let directory = plan_path(&monitor);
    let (certificate, key) = renew(&authority, directory);
    let front = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/nginx/heartbeat-monitor.conf");
    let mut site = fs::read_to_string(example).expect("the example is there");
    for (from, to) in [
        ("server 127.0.0.1:8080;", format!("server {};", monitor.address())),
        ("listen 443 ssl;", format!("listen {front} ssl;")),
        ("    listen [::]:443 ssl;\n", String::new()),
        ("/etc/letsencrypt/live/monitor.example.org/fullchain.pem", certificate),
        ("/etc/letsencrypt/live/monitor.example.org/privkey.pem", key),
    ] {
        assert!(site.contains(from), "the example has no {from}");
        site = site.replace(from, &to);
    }
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", directory.display()));
    let configuration = format!(
        "daemon off; worker_processes 1; pid {0}/nginx.pid; error_log stderr;\n\
         events {{ worker_connections 64; }}\nhttp {{ {1}\n{site}\n}}\n",
        directory.display(),
        temporary.join(" ")
    );
    let file = monitor.plan().scratch().file("nginx.conf", &configuration);
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-c", &file]).stdin(Stdio::null());
    let nginx = Process::start(command);
    eventually("nginx listens", || TcpStream::connect(front).is_ok());

    let daemon = daemon(&format!("https://{front}/api/v1/heartbeat"), &token, &authority);
    becomes(&monitor, &reader, 1, "online");
    eventually("more heartbeats than connections", || {
        let figures = monitor.get("/metrics").body;
        figure(&figures, "heartbeat_monitor_heartbeats_total{format=\"native\"}") >= 4.0
    });
    assert!(daemon.log_lines("failed").is_empty(), "{:?}", daemon.log());
    // A master and a worker end by SIGQUIT; killed, the worker would stay.
    nginx.signal(Signal::QUIT);
    let mut nginx = nginx;
    nginx.wait_for_end(std::time::Duration::from_secs(20));
}

fn figure(figures: &str, name: &str) -> f64 {
    let value = figures.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {figures}"))
}
