//! Checks the target of a new channel: URLs, hosts, chats, addresses, and files with secrets.

use crate::monitor::notify::channel::secret_in;
use crate::monitor::notify::{NotifySettings, is_public};
use crate::monitor::store::Refused;
use crate::service_user;
use crossbeam_channel::bounded;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::thread;
use std::time::Duration;
use ureq::http::Uri;
use ureq::http::uri::Authority;

/// Name of the unit and of its user.
const SERVICE: &str = "heartbeat-monitor";

/// Timeout of the DNS lookup; a host that is not resolved by then is not checked.
const LOOKUP: Duration = Duration::from_secs(5);

/// The absolute path of a file that holds a secret: the service runs in another directory. Checks that the service's user
/// can read it.
pub fn secret_file(path: &Path) -> Result<String, Refused> {
    let path = std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let path = path.to_str().ok_or_else(|| format!("{}: the path is not UTF-8", path.display()))?;
    secret_in(path)?;
    check_service_reads(path, None)?;
    Ok(path.to_owned())
}

/// Refuses a file that the service's user (or the user `wanted`) cannot read.
pub fn check_service_reads(path: &str, wanted: Option<&'static str>) -> Result<(), String> {
    let file = path.to_owned();
    // On its own thread: user and groups belong to a thread, and a thread that gave up root cannot get it back.
    let check = thread::spawn(move || {
        let user = service_user::become_user(SERVICE, SERVICE, wanted).ok().flatten();
        let read = user.as_ref().map_or(Ok(String::new()), |_| secret_in(&file));
        read.map(drop).map_err(|problem| match user {
            Some(user) => {
                format!("{problem} (as the service's user {user}); give it to a group of that user")
            }
            None => problem,
        })
    });
    // Joining fails only if the check panicked, which says nothing about the file.
    check.join().unwrap_or(Ok(()))
}

pub fn check_url(url: &str) -> Result<(), String> {
    match url_problem(url) {
        Some(problem) => Err(format!("\"{}\": {problem}", shown_url(url).escape_debug())),
        None => Ok(()),
    }
}

/// What is wrong with a URL, for a sentence that need not show it.
pub fn url_problem(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<Uri>() else { return Some("not a URL") };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(host)) if host.as_str().contains('@') => {
            Some("must not contain a user or password, which lists would show; use a secret or a token file")
        }
        (Some("http" | "https"), Some(place)) if !has_valid_port(place) => {
            Some("the port must be a number from 1 to 65535")
        }
        (Some("http" | "https"), Some(_)) => None,
        _ => Some("must begin with https:// or http:// and name a host"),
    }
}

/// Refuses a host without a public address. A name that cannot be resolved now is accepted: it may resolve later. Shows the
/// host alone: the rest of a URL can be a secret.
pub fn check_public(url: &str, settings: &NotifySettings) -> Result<(), String> {
    if settings.allow_private_webhooks {
        return Ok(());
    }
    let Ok(uri) = url.parse::<Uri>() else { return Ok(()) };
    let addresses = addresses_of(&uri);
    match addresses.first() {
        Some(address) if !addresses.iter().any(|address| is_public(*address)) => Err(format!(
            "\"{}\": {address} is not a public address; to allow private ones for channels, set \
             allow_private_webhooks = true in [notify] and reload the service",
            uri.host().unwrap_or_default()
        )),
        _ => Ok(()),
    }
}

/// Whether a target leads outside: a URL whose host has a public address, or no URL at all.
pub fn is_public_target(target: &str) -> bool {
    match target.parse::<Uri>() {
        Ok(uri) if uri.scheme().is_some() => {
            let addresses = addresses_of(&uri);
            // A name without an address may lead anywhere.
            !addresses.is_empty() && addresses.into_iter().all(is_public)
        }
        _ => true,
    }
}

/// Addresses of the URL's host; empty if its name is not resolved in time.
fn addresses_of(uri: &Uri) -> Vec<IpAddr> {
    let host = uri.host().unwrap_or_default().to_owned();
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return vec![address];
    }
    let (found, answer) = bounded(1);
    // The C library has no timeout; the thread ends with the command.
    let lookup = thread::Builder::new().name("lookup".into()).spawn(move || {
        let addresses = (host.as_str(), 0).to_socket_addrs();
        // Disconnected: the lookup timed out.
        let _ = found.send(addresses.map(|found| found.map(|address| address.ip()).collect()));
    });
    match lookup.map(|_| answer.recv_timeout(LOOKUP)) {
        Ok(Ok(Ok(addresses))) => addresses,
        _ => Vec::new(),
    }
}

pub fn check_mail_server(settings: &NotifySettings) -> Result<(), String> {
    match &settings.smtp {
        Some(_) => Ok(()),
        None => Err("no mail server is configured: set host and from in [smtp] first".into()),
    }
}

/// An invalid port would be replaced by the default of the scheme, where another service may listen.
fn has_valid_port(place: &Authority) -> bool {
    match place.as_str().strip_prefix(place.host()) {
        Some("") => true,
        Some(port) => {
            port.strip_prefix(':').and_then(|port| port.parse().ok()).is_some_and(|port: u16| port > 0)
        }
        None => false,
    }
}

/// Refuses an ntfy URL without a topic.
pub fn check_topic(url: &str) -> Result<(), String> {
    match url.parse::<Uri>().is_ok_and(|uri| uri.path().trim_matches('/').is_empty()) {
        true => Err(format!(
            "\"{}\": has no topic; expected a URL such as https://ntfy.sh/my-topic",
            shown_url(url)
        )),
        false => Ok(()),
    }
}

pub fn check_chat(chat: &str) -> Result<(), String> {
    let number = chat.strip_prefix('-').unwrap_or(chat);
    let name = chat.strip_prefix('@').unwrap_or("");
    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_number || is_name {
        true => Ok(()),
        false => {
            Err(format!("\"{}\" is not a chat id such as -1001234567890 or @channel", chat.escape_debug()))
        }
    }
}

/// The URL without its query, which holds a key at some services.
pub fn shown_url(url: &str) -> String {
    match url.split_once('?') {
        Some((before, _)) => format!("{before}?..."),
        None => url.to_owned(),
    }
}
