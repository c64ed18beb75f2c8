//! A browser without a screen: follows no links, keeps cookies, sends forms as browsers do.

use super::monitor::{Answer, Monitor, request};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What a browser keeps, and what it sends with each request.
#[derive(Debug, Clone)]
pub struct Browser {
    address: SocketAddr,
    cookies: BTreeMap<String, String>,
    headers: Vec<(&'static str, String)>,
}

pub const PASSWORD: &str = "correct horse battery";

impl Browser {
    pub fn at(address: SocketAddr) -> Browser {
        Browser { address, cookies: BTreeMap::new(), headers: Vec::new() }
    }

    pub fn new(monitor: &Monitor) -> Browser {
        Browser::at(monitor.address())
    }

    /// A new user with [`PASSWORD`], signed in with the link of `user add`.
    #[track_caller]
    pub fn signed_up(monitor: &Monitor, name: &str, role: &str, limits: &[&str]) -> Browser {
        let mut browser = Browser::new(monitor);
        let arguments = [&["user", "add", name, "--role", role][..], limits].concat();
        let link = link_token(&monitor.plan().token(&arguments));
        let answer =
            browser.post("/welcome", &[("link", &link), ("password", PASSWORD), ("again", PASSWORD)]);
        assert_eq!((answer.status, answer.header("Location")), (303, Some("./")), "{answer:?}");
        browser
    }

    /// Sends this header with each request from now on, instead of an earlier one of that name.
    pub fn sends(mut self, name: &'static str, value: &str) -> Browser {
        self.headers.retain(|(found, _)| *found != name);
        self.headers.push((name, value.into()));
        self
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.into(), value.into());
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "")
    }

    /// A page of the audit log, its cells without their classes. `before`: the end of the address of an older page.
    #[track_caller]
    pub fn audit_log(&mut self, before: &str) -> String {
        self.get(&format!("/settings/audit{before}")).body.replace("<td class=\"line\">", "<td>")
    }

    /// A form of our own page.
    #[track_caller]
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send("POST", path, &encoded(fields))
    }

    #[track_caller]
    pub fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        self.post("/login", &[("name", name), ("password", password)])
    }

    #[track_caller]
    fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let mut headers = self.headers.clone();
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            headers.push(("Cookie", pairs.join("; ")));
        }
        if method == "POST" {
            headers.push(("Content-Type", "application/x-www-form-urlencoded".into()));
        }
        let answer = request(self.address, method, path, &headers, body.as_bytes());
        for cookie in answer.head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")) {
            let (name, value) =
                cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            match value.is_empty() {
                true => drop(self.cookies.remove(name)),
                false => drop(self.cookies.insert(name.into(), value.into())),
            }
        }
        answer
    }
}

/// The token in a link of `user add`.
#[track_caller]
pub fn link_token(link: &str) -> String {
    link.split_once("?link=").expect("a link").1.to_owned()
}

/// The value of a field of a form, such as a hidden one.
#[track_caller]
pub fn field(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page.split_once(&start).unwrap_or_else(|| panic!("no field {name}: {page}")).1;
    rest.split_once('"').expect("its end").0.to_owned()
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect::<String>()
    };
    let pairs: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}
