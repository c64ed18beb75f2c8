//! The servers of the configuration: one `url`, a list of them, or `[[heartbeat.server]]`.

use super::used::{BackupServer, MOST_SERVERS, without_query};
use super::written;
use crate::config::{ConfigError, Origin, Source};
use std::path::PathBuf;
use toml::Spanned;
use ureq::http::Uri;

/// The servers in order of preference: the first one, and its backups.
#[derive(Debug, Default)]
pub struct Servers {
    pub url: Option<Uri>,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub backups: Vec<BackupServer>,
    pub is_one_monitor: bool,
}

impl Servers {
    /// A server without a `token_file` or `ca_file` of its own has that of `[heartbeat]`. HEARTBEAT_URL replaces all servers.
    pub fn check(
        source: &Source,
        env: &dyn Fn(&str) -> Option<String>,
        written: &mut written::Heartbeat,
    ) -> Result<Servers, ConfigError> {
        let token_file = source.optional_path(written.token_file.take())?;
        let ca_file = source.optional_path(written.ca_file.take())?;
        let general = Servers { token_file, ca_file, ..Servers::default() };
        let (url, list) = (written.url.take(), std::mem::take(&mut written.server));
        if let Some(text) = env("HEARTBEAT_URL") {
            let origin = Origin::Environment("HEARTBEAT_URL", without_user(&without_query(&text)));
            let url = server_url(&text).map_err(|problem| source.fault_of(&origin, problem))?;
            return Ok(Servers { url: Some(url), ..general });
        }
        match (url, list.first()) {
            (Some(url), Some(_)) => Err(source.fault(
                url.span(),
                "is one server and [[heartbeat.server]] are others: move it into a [[heartbeat.server]] of its own",
            )),
            (Some(urls), None) => general.addresses(source, &urls),
            (None, Some(_)) => general.list(source, list),
            (None, None) => Ok(general),
        }
    }

    /// Several addresses of one monitor.
    fn addresses(self, source: &Source, urls: &Spanned<written::Urls>) -> Result<Servers, ConfigError> {
        let fault = |problem: &str| source.fault(urls.span(), problem);
        let Servers { token_file, ca_file, .. } = &self;
        let server =
            |url: Uri| BackupServer { url, token_file: token_file.clone(), ca_file: ca_file.clone() };
        let each = urls.get_ref().0.iter().map(|url| server_url(url).map(server).map_err(fault));
        let servers: Vec<BackupServer> = each.collect::<Result<_, _>>()?;
        let is_one_monitor = servers.len() > 1;
        Ok(Servers { is_one_monitor, ..self.preferring(servers).map_err(|problem| fault(&problem))? })
    }

    fn list(self, source: &Source, list: Vec<Spanned<written::ServerEntry>>) -> Result<Servers, ConfigError> {
        let mut servers = Vec::new();
        let mut span = 0..0;
        for written in list {
            span = written.span();
            let written::ServerEntry { url, token_file, ca_file } = written.into_inner();
            let Some(url) = url else { return Err(source.fault(span, "a server needs a url")) };
            let checked = server_url(url.get_ref());
            servers.push(BackupServer {
                url: checked.map_err(|problem| source.fault(url.span(), problem))?,
                token_file: source.optional_path(token_file)?.or_else(|| self.token_file.clone()),
                ca_file: source.optional_path(ca_file)?.or_else(|| self.ca_file.clone()),
            });
        }
        self.preferring(servers).map_err(|problem| source.fault(span, &problem))
    }

    fn preferring(self, mut servers: Vec<BackupServer>) -> Result<Servers, String> {
        if servers.is_empty() {
            return Err("needs at least one URL; without any, leave out the line".to_owned());
        }
        if servers.len() > MOST_SERVERS {
            return Err(format!("must not be more than {MOST_SERVERS} servers"));
        }
        let is_twice = |n: usize| servers[..n].iter().any(|before| before.url == servers[n].url);
        if (1..servers.len()).any(is_twice) {
            return Err("two servers have the same url".to_owned());
        }
        let BackupServer { url, token_file, ca_file } = servers.remove(0);
        Ok(Servers { url: Some(url), token_file, ca_file, backups: servers, ..self })
    }
}

/// The URL of a server.
///
/// # Errors
/// The fault, for the person who wrote it.
pub fn server_url(text: &str) -> Result<Uri, &'static str> {
    let url: Uri = text.parse().map_err(|_| "is not a URL such as \"https://example.org/heartbeat\"")?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let Some(authority) = url.authority().filter(|authority| is_http && !authority.host().is_empty()) else {
        return Err("must start with http:// or https:// and name a host");
    };
    if authority.as_str().contains('@') {
        return Err("must not hold a user or a password; put the token into token_file");
    }
    // The parser takes any text behind the colon, and nothing could be connected to.
    if authority.as_str() != authority.host() && url.port_u16().is_none() {
        return Err("the port must be a number up to 65535");
    }
    Ok(url)
}

/// A URL without user and password, for the sentence that refuses them.
fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}
