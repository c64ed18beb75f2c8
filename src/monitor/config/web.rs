//! Checks the section `[web]`.

use super::check::Check;
use super::used::{ProxyLogin, PublicUrl, WebConfig};
use super::written;
use crate::config::ConfigError;
use toml::Spanned;
use ureq::http::Uri;

impl Check<'_> {
    pub fn web(&self, written: written::Web) -> Result<WebConfig, ConfigError> {
        let filled = |text: &Spanned<String>| !text.get_ref().is_empty();
        let public_url = written.public_url.filter(filled).map(|url| self.public_url(&url)).transpose()?;
        let header = written.login_header.filter(filled);
        let proxies = written.login_proxies.filter(|list| !list.get_ref().is_empty());
        let proxy_login = match (header, proxies) {
            (Some(header), Some(_)) if public_url.is_none() => {
                // Cookies with SameSite do not protect who is signed in without a cookie.
                let problem = "needs public_url beside it, from which forms are accepted";
                return Err(self.source.fault(header.span(), problem));
            }
            (Some(header), Some(proxies)) => Some(self.proxy_login(&header, proxies)?),
            (Some(header), None) => {
                return Err(self.source.fault(header.span(), "needs login_proxies beside it"));
            }
            (None, Some(proxies)) => {
                return Err(self.source.fault(proxies.span(), "needs login_header beside it"));
            }
            (None, None) => None,
        };
        let ca_file = self.source.optional_path(written.ca_file)?;
        Ok(WebConfig { enabled: written.enabled.unwrap_or(true), public_url, ca_file, proxy_login })
    }

    fn public_url(&self, written: &Spanned<String>) -> Result<PublicUrl, ConfigError> {
        const WANTED: &str = "expected the address that people open, such as \"https://heartbeat.example.org/\", \
                              without user, query or fragment";
        let fault = || self.source.fault(written.span(), WANTED);
        let text = written.get_ref();
        let url: Uri = text.parse().map_err(|_| fault())?;
        let (scheme, authority) = url.scheme_str().zip(url.authority()).ok_or_else(fault)?;
        let host = authority.host().to_ascii_lowercase();
        let is_usable = matches!(scheme, "http" | "https")
            && !host.is_empty()
            && !authority.as_str().contains('@')
            && !text.contains(['?', '#'])
            // The path becomes a part of a header.
            && url.path().bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\'));
        if !is_usable {
            return Err(fault());
        }
        // Browsers leave out the port that belongs to the scheme.
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = match authority.port_u16().filter(|port| *port != usual) {
            Some(port) => format!(":{port}"),
            None => String::new(),
        };
        let path = format!("{}/", url.path().trim_end_matches('/'));
        Ok(PublicUrl { origin: format!("{scheme}://{host}{port}"), path })
    }

    fn proxy_login(
        &self,
        header: &Spanned<String>,
        proxies: Spanned<Vec<String>>,
    ) -> Result<ProxyLogin, ConfigError> {
        let is_name = header.get_ref().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name {
            let problem = "expected the name of a header, such as \"Remote-User\"";
            return Err(self.source.fault(header.span(), problem));
        }
        Ok(ProxyLogin { header: header.get_ref().clone(), proxies: self.networks(Some(proxies))? })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::monitor::config::{Config, PublicUrl};

    fn public_url(text: &str) -> Result<Option<PublicUrl>, String> {
        let source = Source::new("c.toml", format!("[web]\npublic_url = {text:?}\n"));
        let config = Config::from_source(&source, &|_| None).map_err(|error| error.to_string())?;
        Ok(config.web.public_url)
    }

    #[test]
    fn the_public_url_is_split_as_browsers_write_its_origin() {
        for (text, origin, path) in [
            ("https://heart.example.org", "https://heart.example.org", "/"),
            ("https://Heart.example.org:443/x/y", "https://heart.example.org", "/x/y/"),
            ("http://10.0.0.2:8080/x/", "http://10.0.0.2:8080", "/x/"),
            ("http://[fd00::1]:80/", "http://[fd00::1]", "/"),
        ] {
            let expected = PublicUrl { origin: origin.into(), path: path.into() };
            assert_eq!(public_url(text), Ok(Some(expected)), "{text}");
        }
        assert_eq!(public_url(""), Ok(None));
    }

    #[test]
    fn a_public_url_that_cannot_be_a_link_is_refused_with_its_line() {
        for text in [
            "heart.example.org",
            "ftp://x/",
            "https://a@x/",
            "https://x/?a",
            "https://x/;y",
            "https://",
            "/x/",
        ] {
            let error = public_url(text).expect_err(text);
            assert!(error.starts_with("c.toml:2: [web] public_url"), "{text}: {error}");
        }
    }

    #[test]
    fn a_header_for_logins_needs_the_proxies_that_may_send_it() {
        let config =
            |text: &str| Config::from_source(&Source::new("c.toml", format!("[web]\n{text}")), &|_| None);
        config("login_header = \"Remote-User\"").expect_err("from anywhere");
        config("login_proxies = [\"127.0.0.1\"]").expect_err("without a header");
        config("login_header = \"Remote-User\"\nlogin_proxies = [\"127.0.0.1\"]")
            .expect_err("forms of any site");
        let config = |text: &str| config(&format!("public_url = \"https://heart.example/\"\n{text}"));
        config("login_header = \"Remote User\"\nlogin_proxies = [\"127.0.0.1\"]").expect_err("not a name");
        let login = config("login_header = \"Remote-User\"\nlogin_proxies = [\"127.0.0.1\"]")
            .expect("both")
            .web
            .proxy_login;
        assert_eq!(login.expect("configured").header, "Remote-User");
    }
}
