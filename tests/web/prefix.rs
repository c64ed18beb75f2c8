//! The pages below a path of nginx and of Caddy, in Chromium.

use crate::bed::{Desk, gate};
use crate::support::browser::{PASSWORD, link_token};
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::process::Process;
use crate::support::{eventually, lasting_address, skip, skip_without};
use serde_json::json;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

/// A monitor whose pages people open at `http://FRONT/x/y/`.
fn monitor(front: SocketAddr) -> Monitor {
    let plan = Plan::new().key("detection.offline_threshold", "1h");
    plan.says(&["condition", "set", "camera", "--for", "0s"]);
    plan.key("web.public_url", &format!("http://{front}/x/y/")).start()
}

fn nginx(monitor: &Monitor, front: SocketAddr) -> Command {
    let directory = monitor.plan().scratch().path().display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {directory}/{name};\n"))
        .concat();
    let configuration = format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {directory}/nginx.pid;\nevents {{}}\nhttp {{\n\
         access_log off;\n{temporary}\
         server {{\nlisten {front};\nlocation /x/y/ {{\nproxy_pass http://{}/;\nproxy_read_timeout 10s;\n}}\n}}\n}}\n",
        monitor.address()
    );
    // Only root may name a user.
    let configuration = match rustix::process::geteuid().is_root() {
        true => configuration,
        false => configuration.replace("user root;\n", ""),
    };
    let file = monitor.plan().scratch().file("nginx.conf", &configuration);
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-c", &file]);
    command
}

fn caddy(monitor: &Monitor, front: SocketAddr) -> Command {
    let configuration = format!(
        "{{\n\tadmin off\n\tauto_https off\n}}\nhttp://{front} {{\n\thandle_path /x/y/* {{\n\t\treverse_proxy {}\n\t}}\n}}\n",
        monitor.address()
    );
    let scratch = monitor.plan().scratch();
    let file = scratch.file("Caddyfile", &configuration);
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config", &file]);
    for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(name, scratch.path());
    }
    command
}

fn is_there(program: &str, version: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Signs in, adds a machine, follows a live update, and signs out, all below the path.
fn works_behind(proxy: fn(&Monitor, SocketAddr) -> Command) {
    let Some(mut desk) = Desk::new() else { return };
    let front = lasting_address();
    let monitor = monitor(front);
    let mut command = proxy(&monitor, front);
    command.stdin(Stdio::null());
    let _proxy = Process::start(command);
    eventually("the proxy listens", || TcpStream::connect(front).is_ok());

    let link = link_token(&monitor.plan().token(&["user", "add", "ada", "--role", "owner"]));
    desk.open(&format!("http://{front}/x/y/welcome?link={link}"));
    desk.fill("password", PASSWORD);
    desk.fill("again", PASSWORD);
    desk.follow("button.main");
    assert_eq!(desk.heading(), "No machine yet");
    desk.follow("a.act");
    desk.fill("name", "barn-cam");
    desk.fill("group", "barn");
    desk.follow("button.main");
    let token = desk.text("token");
    let command = desk.value("document.body.innerText");
    let url = format!("http://{front}/x/y/api/v1/heartbeat");
    assert!(command.as_str().is_some_and(|text| text.contains(&url)), "{command}");
    let beat = |responds: bool| {
        let body = json!({"interval_s": 600, "cameras": gate(responds)}).to_string();
        assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], body.as_bytes()).status, 200);
    };
    beat(true);
    desk.wait_for("arrived", "The first heartbeat has arrived.");
    desk.follow(".brand");
    desk.wait_for_heading("The machine is fine");
    beat(false);
    desk.wait_for("problems", "barn-cam: camera gate is down since");
    desk.follow("#problems button");
    desk.wait_for("problems", "Ada has been on it since");
    for link in ["a[href$=incidents]", "a[href$=people]", "a[href$=settings]", "a[href$=account]"] {
        desk.follow(link);
        assert_eq!(desk.value("location.pathname.startsWith('/x/y/')"), true, "{link}");
        assert_eq!(desk.value("getComputedStyle(document.querySelector('.top')).display"), "flex", "styled");
    }
    desk.follow("a[href$=settings]");
    desk.follow("a[href$='settings/status']");
    desk.follow("[aria-label='Make the page of barn public']");
    desk.follow(".who button");
    assert_eq!(desk.heading(), "Sign in");
    shows_status(&mut desk, front);
    desk.has_not_complained();
}

/// The page of the group "barn", which everyone can open, with its badge.
fn shows_status(desk: &mut Desk, front: SocketAddr) {
    desk.open(&format!("http://{front}/x/y/status/barn"));
    assert_eq!(desk.heading(), "Up");
    assert_eq!(desk.value("document.title"), "barn: Up");
    assert_eq!(desk.value("getComputedStyle(document.querySelector('.top')).display"), "flex", "styled");
    assert_eq!(desk.value("document.querySelectorAll('svg.day rect').length > 0"), true);
    let badge =
        "fetch(location.pathname + '/badge.svg').then((answer) => answer.headers.get('Content-Type'))";
    assert_eq!(desk.value(badge), "image/svg+xml");
}

#[test]
fn the_pages_work_below_a_path_of_nginx() {
    if !is_there("nginx", "-v") {
        return skip("no nginx (apt-get install nginx-light)");
    }
    works_behind(nginx);
}

#[test]
fn the_pages_work_below_a_path_of_caddy() {
    if !is_there("caddy", "version") {
        return skip_without("caddy");
    }
    works_behind(caddy);
}
