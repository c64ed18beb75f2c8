//! The reverse proxies of packaging/, each with its example as it is shipped: only addresses and certificate are the
//! test's.

use crate::https::{daemon, renew};
use crate::rig::becomes;
use crate::support::https::Authority;
use crate::support::monitor::{Monitor, Plan};
use crate::support::process::{Process, output_of};
use crate::support::{eventually, lasting_address, skip, skip_without};
use rustix::process::Signal;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A monitor that believes a proxy on 127.0.0.1, and what a proxy in front of it needs.
struct Site {
    monitor: Monitor,
    authority: Authority,
    /// Where the proxy is to listen.
    front: SocketAddr,
    certificate: String,
    key: String,
}

impl Site {
    fn new() -> Site {
        Site::at(Some("https://monitor.example.org/"))
    }

    /// With this address as people open it.
    fn at(public_url: Option<&str>) -> Site {
        let plan = Plan::new().toml("http.trusted_proxies", "[\"127.0.0.1\"]").key("log.level", "debug");
        // This machine may name people, so only the example keeps clients from it.
        let plan = match public_url {
            Some(url) => plan
                .key("web.public_url", url)
                .key("web.login_header", "Remote-User")
                .toml("web.login_proxies", "[\"127.0.0.1\"]"),
            None => plan,
        };
        let monitor = plan.start();
        let authority = Authority::new();
        let (certificate, key) = renew(&authority, monitor.plan().scratch().path());
        let front = lasting_address();
        Site { monitor, authority, front, certificate, key }
    }

    fn directory(&self) -> &Path {
        self.monitor.plan().scratch().path()
    }

    /// A shipped example with these texts exchanged; each must be there.
    fn example(&self, name: &str, exchanged: &[(&str, String)]) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name);
        let mut text = fs::read_to_string(path).expect("the example is there");
        for (from, to) in exchanged {
            assert!(text.contains(from), "the example has no {from}");
            text = text.replace(from, to);
        }
        text
    }

    fn start(&self, command: Command) -> Process {
        let proxy = Process::start(command);
        eventually("the proxy listens", || TcpStream::connect(self.front).is_ok());
        proxy
    }

    /// Status and body of a request by curl, from another address of this machine than the proxy's.
    fn curl(&self, path: &str, arguments: &[&str]) -> (String, String) {
        let mut command = Command::new("curl");
        let authority = self.monitor.plan().scratch().file("ca.pem", &self.authority.pem);
        command.args(["--silent", "--show-error", "--interface", "127.0.0.2", "--cacert", &authority]);
        command.args(["--noproxy", "*", "--write-out", "\n%{http_code}"]).args(arguments);
        let output = output_of({
            command.arg(format!("https://{}{path}", self.front));
            command
        });
        let said = String::from_utf8(output.stdout.clone()).expect("text");
        let (body, status) = said.rsplit_once('\n').unwrap_or_else(|| panic!("{output:?}"));
        (status.to_owned(), body.to_owned())
    }

    /// Waits until the log says from where this was asked for, with a token that nobody knows.
    fn logs_the_client(&self, path: &str, address: &str) {
        self.monitor
            .wait_for_line("of who asks", |line| line.contains(&format!("{address} requested {path} ")));
    }
}

/// What must hold behind any of them.
fn serves_behind(site: Site) -> Site {
    let (token, reader) = (site.monitor.machine("barn"), site.monitor.reader());
    let daemon = daemon(&format!("https://{}/api/v1/heartbeat", site.front), &token, &site.authority);
    becomes(&site.monitor, &reader, 1, "online");
    let beats = || figure(&site.monitor, "heartbeat_monitor_heartbeats_total{format=\"native\"}");
    eventually("more heartbeats", || beats() >= 4.0);
    assert!(daemon.log_lines("failed").is_empty(), "{:?}", daemon.log());
    drop(daemon);

    assert_eq!(site.curl("/healthz", &[]), ("200".into(), "{\"status\":\"ok\"}".into()));
    for path in ["/metrics", "/metrics/machines"] {
        assert_eq!(site.curl(path, &[]).0, "404", "{path} is for this machine");
    }
    let authorized = format!("Authorization: Bearer {token}");
    let large = site.monitor.plan().scratch().file("large", &"x".repeat(70_000));
    let body = ["--header", &authorized, "--data", &format!("@{large}")];
    // Caddy notices while it is passing the request on already, and may blame the monitor.
    let refused = site.curl("/api/v1/heartbeat", &body).0;
    assert!(["413", "502"].contains(&refused.as_str()), "{refused}");

    // What a client says of itself is worth nothing, through the proxy and beside it; the proxy's own word counts.
    let forged = ["--header", "X-Forwarded-For: 203.0.113.9", "--header", "Authorization: Bearer nonsense"];
    assert_eq!(site.curl("/api/v1/events", &forged).0, "401");
    site.logs_the_client("/api/v1/events", "127.0.0.2");
    let direct = format!("http://{}/api/v1/deliveries", site.monitor.address());
    let mut command = Command::new("curl");
    command.args(["--silent", "--noproxy", "*", "--interface", "127.0.0.2"]).args(forged).arg(direct);
    assert!(output_of(command).status.success());
    site.logs_the_client("/api/v1/deliveries", "127.0.0.2");
    assert!(!site.monitor.log().iter().any(|line| line.contains("203.0.113.9")));
    site
}

/// A client that names a user is not signed in, because the example deletes the header; the proxy could.
fn names_nobody_for_a_client(site: Site) -> Site {
    site.monitor.plan().says(&["user", "add", "ada", "--role", "owner"]);
    for name in ["Remote-User: ada", "remote-user: ada", "Remote_User: ada"] {
        let (status, body) = site.curl("/account", &["--header", name]);
        assert_eq!(status, "303", "{name}: {body}");
    }
    let twice = ["--header", "Remote-User: ada", "--header", "Remote-User: ada"];
    assert_eq!(site.curl("/account", &twice).0, "303");
    let direct = site.monitor.request("GET", "/account", &[("Remote-User", "ada".into())], b"");
    assert_eq!(direct.status, 200, "from the proxy's address");
    site
}

/// nginx with the example, in which these texts are exchanged as well.
fn nginx(site: &Site, exchanged: &[(&str, String)]) -> Process {
    let own = [
        ("server 127.0.0.1:8080;", format!("server {};", site.monitor.address())),
        ("listen 443 ssl;", format!("listen {} ssl;", site.front)),
        ("    listen [::]:443 ssl;\n", String::new()),
        ("/etc/letsencrypt/live/monitor.example.org/fullchain.pem", site.certificate.clone()),
        ("/etc/letsencrypt/live/monitor.example.org/privkey.pem", site.key.clone()),
    ];
    let example = site.example("nginx/heartbeat-monitor.conf", &[&own, exchanged].concat());
    let directory = site.directory().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {directory}/{kind};"));
    let configuration = format!(
        "daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr;\n\
         events {{ worker_connections 64; }}\nhttp {{ {}\n{example}\n}}\n",
        temporary.join(" ")
    );
    let file = site.monitor.plan().scratch().file("nginx.conf", &configuration);
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-c", &file]).stdin(Stdio::null());
    site.start(command)
}

/// Caddy with the example, in which these texts are exchanged as well.
fn caddy(site: &Site, exchanged: &[(&str, String)]) -> Process {
    // With the test's certificate, since there is nobody to ask for one.
    let address = format!("https://{} {{\n\ttls {} {}\n", site.front, site.certificate, site.key);
    let own =
        [("monitor.example.org {", address), ("127.0.0.1:8080 {", format!("{} {{", site.monitor.address()))];
    let example = site.example("caddy/Caddyfile", &[&own, exchanged].concat());
    let configuration = format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{example}");
    let file = site.monitor.plan().scratch().file("Caddyfile", &configuration);
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config", &file]).stdin(Stdio::null());
    command.env("HOME", site.directory()).env("XDG_DATA_HOME", site.directory());
    command.env("XDG_CONFIG_HOME", site.directory());
    site.start(command)
}

/// Signs a user in below `/x/y/`, with the proxy's certificate and the cookies that curl keeps.
fn signs_in_below_a_path(site: &Site) {
    let link = site.monitor.plan().token(&["user", "add", "eve", "--role", "owner"]);
    let link = crate::support::browser::link_token(&link);
    let scratch = site.monitor.plan().scratch();
    let jar = scratch.file("cookies", "");
    let cookies = ["--cookie", jar.as_str(), "--cookie-jar", jar.as_str()];
    let open = |path: &str, more: &[&str]| site.curl(path, &[&cookies[..], more].concat());
    assert_eq!(open("/x/y/", &[]).0, "303", "not signed in");
    let form = format!("link={link}&password=correct+horse&again=correct+horse");
    assert_eq!(open("/x/y/welcome", &["--data", &form]).0, "303");
    for path in ["/x/y/", "/x/y/account", "/x/y/settings/users", "/x/y/machines/add", "/x/y/live?since=0"] {
        let (status, page) = open(path, &[]);
        assert_eq!(status, "200", "{path}");
        assert!(!page.contains("=\"/") && !page.contains("://127."), "a link leaves the path: {page}");
    }
    waits_for_a_change(|path| open(path, &[]));
    let kept = fs::read_to_string(&jar).expect("the cookies");
    assert_eq!(kept.matches("heartbeat_").count(), 2, "{kept}");
    assert!(
        kept.lines().filter(|line| line.contains("heartbeat_")).all(|line| line.contains("\t/x/y")),
        "{kept}"
    );
    assert_eq!(open("/x/y/logout", &["--data", ""]).0, "303");
    assert_eq!(open("/x/y/account", &[]).0, "303", "signed out");
}

/// A page without a change is answered before the proxy gives up, after 10 s in the examples.
fn waits_for_a_change(open: impl Fn(&str) -> (String, String)) {
    let has_waited = (0..10).any(|_| {
        let (_, page) = open("/x/y/");
        let version = page.split_once("data-version=\"").and_then(|(_, rest)| rest.split_once('"'));
        let begun = Instant::now();
        let (status, answer) = open(&format!("/x/y/live?since={}", version.expect("a version").0));
        assert_eq!(status, "200", "{answer}");
        // The machine's first heartbeats are changes.
        begun.elapsed() > Duration::from_secs(6)
    });
    assert!(has_waited);
}

/// Once nobody is trusted any more, the proxy is whoever asks.
fn is_not_believed_once_it_is_not_trusted(mut site: Site) -> Site {
    site.monitor.reconfigure("http.trusted_proxies", "[]");
    site.monitor.signal(Signal::HUP);
    site.monitor.wait_for_line("of the reload", |line| line.contains("configuration reloaded"));
    assert_eq!(site.curl("/api/v1/machines/7", &["--header", "Authorization: Bearer nonsense"]).0, "401");
    site.logs_the_client("/api/v1/machines/7", "127.0.0.1");
    site
}

fn figure(monitor: &Monitor, name: &str) -> f64 {
    let figures = monitor.get("/metrics").body;
    let value = figures.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {figures}"))
}

fn is_there(program: &str, version: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn a_fleet_is_served_through_nginx_with_the_example() {
    if !is_there("nginx", "-v") {
        return skip("no nginx (apt-get install nginx-light)");
    }
    let site = Site::new();
    let nginx = nginx(&site, &[]);
    let site = names_nobody_for_a_client(serves_behind(site));
    let site = is_not_believed_once_it_is_not_trusted(site);
    drop((nginx, site));
}

#[test]
fn a_fleet_is_served_through_caddy_with_the_example() {
    if !is_there("caddy", "version") {
        return skip_without("caddy");
    }
    let site = Site::new();
    let caddy = caddy(&site, &[]);
    let site = names_nobody_for_a_client(serves_behind(site));
    let site = is_not_believed_once_it_is_not_trusted(site);
    drop((caddy, site));
}

#[test]
fn pages_work_below_a_path_of_nginx() {
    if !is_there("nginx", "-v") {
        return skip("no nginx (apt-get install nginx-light)");
    }
    for public_url in [Some("https://monitor.example.org/x/y/"), None] {
        let site = Site::at(public_url);
        let nginx = nginx(
            &site,
            &[
                ("    location / {", "    location /x/y/ {".into()),
                ("proxy_pass http://heartbeat_monitor;", "proxy_pass http://heartbeat_monitor/;".into()),
            ],
        );
        signs_in_below_a_path(&site);
        drop((nginx, site));
    }
}

#[test]
fn pages_work_below_a_path_of_caddy() {
    if !is_there("caddy", "version") {
        return skip_without("caddy");
    }
    for public_url in [Some("https://monitor.example.org/x/y/"), None] {
        let site = Site::at(public_url);
        let strip = "\turi strip_prefix /x/y\n\treverse_proxy".to_owned();
        let caddy = caddy(&site, &[("\treverse_proxy", strip)]);
        signs_in_below_a_path(&site);
        drop((caddy, site));
    }
}
