//! The script `/install`, which installs the daemon on a device and enrols it, and the command that runs it.
//!
//! Neither contains a secret: `heartbeat-daemon enroll` prompts for the key on the terminal.

use super::index::{KEY_FILE, PackageIndex, SigningKey};
use super::private_ca::PrivateCa;
use crate::config::ConfigError;
use crate::http::{Method, Request, Response};
use crate::monitor::config::Config;
use crate::monitor::transport::{Transport, refuse_plain_http};

/// `SITE`, `HOST` and `FINGERPRINT` are replaced; see [`is_plain`].
const SCRIPT: &str = include_str!("install.sh");

/// Path of the script.
pub const SCRIPT_PATH: &str = "/install";

/// How a device gets the daemon from this monitor.
#[derive(Debug, Clone)]
pub struct InstallGuide {
    /// `https://monitor.example.org`, without a slash at the end.
    pub site: String,
    pub key: SigningKey,
    pub ca: Option<PrivateCa>,
}

/// Everything that the answer to `GET /install` depends on.
#[derive(Debug)]
pub struct InstallScript {
    transport: Transport,
    /// The error is a sentence: something is not configured.
    pub guide: Result<InstallGuide, &'static str>,
}

impl InstallScript {
    /// # Errors
    /// `[web] ca_file` cannot be read.
    pub fn of(config: &Config, index: Option<&PackageIndex>) -> Result<InstallScript, ConfigError> {
        let transport = Transport::of(config);
        Ok(InstallScript { transport, guide: InstallGuide::of(config, index)? })
    }

    /// `None`: the path is another one.
    pub fn respond(&self, request: &Request) -> Option<Response> {
        if request.path() != SCRIPT_PATH {
            return None;
        }
        Some(match &self.guide {
            _ if request.method() != Method::Get => wrong_method(),
            _ if !self.transport.is_confidential(request) => refuse_plain_http("/install"),
            Ok(guide) => Response::new(200)
                .body("text/x-shellscript; charset=utf-8", guide.script().into_bytes())
                .header("X-Content-Type-Options", "nosniff")
                .header("Cache-Control", "no-store"),
            Err(reason) => Response::error(404, reason),
        })
    }
}

pub fn wrong_method() -> Response {
    Response::error(405, "use GET").header("Allow", "GET, HEAD")
}

impl InstallGuide {
    /// The inner error is a sentence: something is not configured.
    ///
    /// # Errors
    /// `[web] ca_file` cannot be read.
    pub fn of(
        config: &Config,
        index: Option<&PackageIndex>,
    ) -> Result<Result<InstallGuide, &'static str>, ConfigError> {
        let ca = config.web.ca_file.as_deref().map(PrivateCa::read).transpose()?;
        let Some(index) = index else {
            return Ok(Err("this monitor offers no packages ([packages] directory)"));
        };
        let Some(key) = index.signing_key().cloned() else {
            return Ok(Err(
                "[packages] directory has no heartbeat.asc and fingerprint (see packaging/repository)",
            ));
        };
        let Some(site) = config.web.public_url.as_ref().map(|url| format!("{}{}", url.origin, url.path))
        else {
            return Ok(Err("the script needs the monitor's address: set [web] public_url"));
        };
        let site = site.trim_end_matches('/').to_owned();
        if !is_plain(&site) {
            return Ok(Err("[web] public_url has characters that a shell would interpret"));
        }
        Ok(Ok(InstallGuide { site, key, ca }))
    }

    pub fn script(&self) -> String {
        SCRIPT
            .replace("@SITE@", &self.site)
            .replace("@HOST@", self.apt_host())
            .replace("@FINGERPRINT@", &self.key.fingerprint)
            .replace("@KEY_FILE@", KEY_FILE)
    }

    /// One line to paste on a device.
    pub fn command(&self) -> String {
        let site = &self.site;
        match &self.ca {
            None => format!("curl -fsS {site}/install | sudo sh"),
            Some(ca) => format!(
                "openssl s_client -connect {} -showcerts </dev/null 2>/dev/null | awk '/-BEGIN/{{c=\"\"}} {{c=c $0 \"\\n\"}} \
                 /-END/{{l=c}} END{{printf \"%s\", l}}' >heartbeat-ca.pem && echo '{}  heartbeat-ca.pem' | sha256sum -c && \
                 curl --cacert heartbeat-ca.pem -fsS {site}/install | sudo sh -s heartbeat-ca.pem",
                self.host_and_port(),
                ca.sha256
            ),
        }
    }

    /// The same as the script in three steps: title and commands.
    pub fn steps(&self) -> [(&'static str, String); 3] {
        let (site, host, fingerprint) = (&self.site, self.apt_host(), &self.key.fingerprint);
        let (mut trust, mut curl, mut enroll) = (String::new(), String::new(), String::new());
        if self.ca.is_some() {
            trust = format!(
                "sudo install -D -m 644 heartbeat-ca.pem /etc/heartbeat-daemon/ca.pem\necho 'Acquire::https::{host}::CAInfo \
                 \"/etc/heartbeat-daemon/ca.pem\";' | sudo tee /etc/apt/apt.conf.d/80heartbeat\n"
            );
            curl = " --cacert /etc/heartbeat-daemon/ca.pem".to_owned();
            enroll = " --ca-file /etc/heartbeat-daemon/ca.pem".to_owned();
        }
        let source = format!(
            "{trust}sudo install -d -m 755 /etc/apt/keyrings\n\
             sudo curl -fsS{curl} -o /etc/apt/keyrings/heartbeat.asc {site}/apt/{KEY_FILE}\n\
             sudo tee /etc/apt/sources.list.d/heartbeat.sources <<'SOURCE'\n\
             Types: deb\nURIs: {site}/apt\nSuites: stable\nComponents: main\n\
             Signed-By: /etc/apt/keyrings/heartbeat.asc {fingerprint}\nSOURCE"
        );
        [
            ("Add the package source. On Raspberry Pi OS with 32 bits, write armv6 instead of main.", source),
            ("Install the program.", "sudo apt update\nsudo apt install heartbeat-daemon".to_owned()),
            (
                "Enrol: it asks for the key, without echo.",
                format!("sudo heartbeat-daemon enroll {site}/{enroll}"),
            ),
        ]
    }

    /// The monitor in the name of an option of apt, which has an IPv6 address without brackets.
    pub(super) fn apt_host(&self) -> &str {
        self.host().trim_matches(['[', ']'])
    }

    /// Name or address of the monitor, without the port.
    fn host(&self) -> &str {
        let authority = self.authority();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    fn host_and_port(&self) -> String {
        let (authority, host) = (self.authority(), self.host());
        if authority == host { format!("{host}:443") } else { authority.to_owned() }
    }

    fn authority(&self) -> &str {
        let rest = self.site.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }
}

/// Only characters that no shell interprets, within quotes or without.
fn is_plain(site: &str) -> bool {
    site.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.-_~[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide(site: &str, ca: Option<PrivateCa>) -> InstallGuide {
        let fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567".to_owned();
        InstallGuide { site: site.to_owned(), key: SigningKey { text: String::new(), fingerprint }, ca }
    }

    #[test]
    fn the_script_is_short_and_one_function_called_on_its_last_line() {
        let script = guide("https://monitor.example.org/x", None).script();
        assert!(script.lines().count() <= 40, "{} lines", script.lines().count());
        assert_eq!(script.lines().last(), Some("install_heartbeat \"$@\""));
        assert!(!script.contains('@') || script.matches('@').count() == 1, "{script}");
        // Up to the last line, only the function is defined.
        let outside: Vec<_> = script
            .lines()
            .filter(|line| !line.starts_with([' ', '#', '}']) && !line.is_empty())
            .filter(|line| !HEREDOC.iter().any(|begin| line.starts_with(begin)))
            .collect();
        assert_eq!(outside, ["set -eu", "install_heartbeat() {", "install_heartbeat \"$@\""]);
    }

    const HEREDOC: [&str; 6] = ["Types: ", "URIs: ", "Suites: ", "Components: ", "Signed-By: ", "SOURCE"];

    #[test]
    fn the_command_names_the_port_that_the_certificate_comes_from() {
        let ca = || Some(PrivateCa { pem: String::new(), sha256: "ab".repeat(32) });
        for (site, place) in [
            ("https://monitor.example.org", "monitor.example.org:443"),
            ("https://192.168.1.20:8443/x", "192.168.1.20:8443"),
            ("https://[fd00::1]:8443", "[fd00::1]:8443"),
            ("https://[fd00::1]", "[fd00::1]:443"),
        ] {
            let command = guide(site, ca()).command();
            assert!(command.contains(&format!("-connect {place} ")), "{command}");
            assert!(
                command.contains(&format!("curl --cacert heartbeat-ca.pem -fsS {site}/install |")),
                "{command}"
            );
            assert!(!command.contains(" -k"), "{command}");
        }
        assert_eq!(guide("https://a/b", None).command(), "curl -fsS https://a/b/install | sudo sh");
    }

    #[test]
    fn apt_is_given_an_ipv6_address_without_brackets() {
        let ca = PrivateCa { pem: String::new(), sha256: "ab".repeat(32) };
        for (site, host) in [
            ("https://monitor.example.org/x", "monitor.example.org"),
            ("https://192.168.1.20:8443", "192.168.1.20"),
            ("https://[fd00::1]:8443", "fd00::1"),
            ("https://[fd00::1]", "fd00::1"),
        ] {
            let guide = guide(site, Some(ca.clone()));
            let option = format!("Acquire::https::{host}::CAInfo ");
            assert!(guide.script().contains(&option), "{}", guide.script());
            assert!(guide.steps()[0].1.contains(&option), "{:?}", guide.steps());
        }
    }

    #[test]
    fn a_site_that_a_shell_would_interpret_is_not_plain() {
        for site in [
            "https://a/$(reboot)",
            "https://a/'",
            "https://a/`x`",
            "https://a/b&c",
            "https://a/b c",
            "https://a/b|c",
        ] {
            assert!(!is_plain(site), "{site}");
        }
        assert!(is_plain("https://[fd00::1]:8443/a-b_c~d"));
    }
}
