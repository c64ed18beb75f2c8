//! The URL of a PostgreSQL database: `postgres://user@host:port,host:port/database?sslmode=verify-full`.
//!
//! The parameters are those of libpq that this program has a use for. A password stands in a file of its own, so that
//! the configuration holds no secret.

use percent_encoding::percent_decode_str;
use std::path::PathBuf;

const PORT: u16 = 5432;
/// More would only make the search for the primary longer.
const MOST_HOSTS: usize = 16;

/// Where a database is, and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// In the order in which they are tried.
    pub hosts: Vec<PostgresHost>,
    /// `None`: the name of the user that this program runs as.
    pub user: Option<String>,
    /// `None`: called like the user.
    pub database: Option<String>,
    pub tls: TlsMode,
    /// The authorities that sign the server's certificate; `None`: the public ones.
    pub ca_file: Option<PathBuf>,
    /// A file that has the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// Servers that allow no writes, such as standbys, are passed over.
    pub needs_primary: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresHost {
    Tcp {
        name: String,
        port: u16,
    },
    /// The directory of a Unix socket, and the port that is part of its name.
    Socket {
        directory: PathBuf,
        port: u16,
    },
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    /// TLS if the server has it; its certificate is not checked.
    Prefer,
    /// TLS always; its certificate is checked only if there is a CA file.
    Require,
    /// The certificate is signed by an authority; its name does not matter.
    VerifyCa,
    VerifyFull,
}

impl PostgresUrl {
    /// Whether a text is meant to be such a URL.
    pub fn is_one(text: &str) -> bool {
        without_scheme(text).is_some()
    }

    /// # Errors
    /// A sentence; it does not contain the URL, in which somebody may have put a password.
    pub fn parse(text: &str) -> Result<PostgresUrl, String> {
        let rest =
            without_scheme(text).ok_or("expected a URL such as postgres://monitor@db.example/monitor")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (user, hosts),
            None => ("", authority),
        };
        if user.contains(':') {
            return Err("a password does not belong into the URL; put it into a file, and name that with \
                        ?passfile=/etc/heartbeat-monitor/database.password"
                .into());
        }
        let mut url = PostgresUrl {
            hosts: Vec::new(),
            user: non_empty(decoded(user)?),
            database: non_empty(decoded(database)?),
            tls: TlsMode::Prefer,
            ca_file: None,
            password_file: None,
            needs_primary: false,
        };
        let mut sockets = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("the parameter \"{pair}\" has no value"))?;
            match (key, decoded(value)?) {
                ("host", value) => sockets = Some(value),
                (key, value) => url.set(key, value)?,
            }
        }
        url.hosts = parse_hosts(sockets.as_deref().unwrap_or(hosts))?;
        Ok(url)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "sslmode" => self.tls = TlsMode::from_name(&value)?,
            "sslrootcert" => self.ca_file = Some(absolute(key, value)?),
            "passfile" => self.password_file = Some(absolute(key, value)?),
            "target_session_attrs" => {
                self.needs_primary = match value.as_str() {
                    "any" => false,
                    "read-write" => true,
                    _ => {
                        return Err(format!(
                            "target_session_attrs={value} is neither \"any\" nor \"read-write\""
                        ));
                    }
                }
            }
            _ => {
                return Err(format!(
                    "\"{key}\" is none of the parameters host, sslmode, sslrootcert, passfile and target_session_attrs"
                ));
            }
        }
        Ok(())
    }

    /// Without what only a connection needs: for messages.
    pub fn shown(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("postgres://{user}{}/{}", hosts.join(","), self.database.as_deref().unwrap_or_default())
    }
}

impl TlsMode {
    fn from_name(name: &str) -> Result<TlsMode, String> {
        Ok(match name {
            "disable" => TlsMode::Disable,
            "prefer" => TlsMode::Prefer,
            "require" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            "verify-full" => TlsMode::VerifyFull,
            _ => {
                return Err(format!(
                    "sslmode={name} is none of disable, prefer, require, verify-ca and verify-full"
                ));
            }
        })
    }
}

impl std::fmt::Display for PostgresHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PostgresHost::Tcp { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            PostgresHost::Tcp { name, port } => write!(f, "{name}:{port}"),
            PostgresHost::Socket { directory, port } => write!(f, "{}:{port}", directory.display()),
        }
    }
}

fn without_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))
}

fn parse_hosts(text: &str) -> Result<Vec<PostgresHost>, String> {
    let hosts = text.split(',').map(parse_host).collect::<Result<Vec<_>, _>>()?;
    match hosts.len() {
        0..=MOST_HOSTS => Ok(hosts),
        count => Err(format!("{count} hosts; {MOST_HOSTS} are allowed")),
    }
}

fn parse_host(text: &str) -> Result<PostgresHost, String> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or("an IPv6 address has no closing bracket")?;
            (name, port.strip_prefix(':'))
        }
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let name = decoded(name)?;
    let port = match port {
        None => PORT,
        Some(port) => port.parse().map_err(|_| format!("\"{port}\" is not a port"))?,
    };
    Ok(match name.as_str() {
        "" => return Err("no host is named".into()),
        name if name.starts_with('/') => PostgresHost::Socket { directory: name.into(), port },
        _ => PostgresHost::Tcp { name, port },
    })
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "a part of it is not UTF-8")?;
    Ok(decoded.into_owned())
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn absolute(key: &str, value: String) -> Result<PathBuf, String> {
    match value.starts_with('/') {
        true => Ok(value.into()),
        false => Err(format!("{key}={value}: the path must start with /")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(name: &str, port: u16) -> PostgresHost {
        PostgresHost::Tcp { name: name.into(), port }
    }

    #[test]
    fn a_url_with_everything_is_parsed() {
        let url = "postgres://mon%40itor@one.example:6432,[::1]:7,two/main%20db?sslmode=verify-full\
                   &sslrootcert=/etc/ca.pem&passfile=/etc/db%2Bpassword&target_session_attrs=read-write";
        let expected = PostgresUrl {
            hosts: vec![tcp("one.example", 6432), tcp("::1", 7), tcp("two", 5432)],
            user: Some("mon@itor".into()),
            database: Some("main db".into()),
            tls: TlsMode::VerifyFull,
            ca_file: Some("/etc/ca.pem".into()),
            password_file: Some("/etc/db+password".into()),
            needs_primary: true,
        };
        assert_eq!(PostgresUrl::parse(url), Ok(expected.clone()));
        assert_eq!(expected.shown(), "postgres://mon@itor@one.example:6432,[::1]:7,two:5432/main db");
    }

    #[test]
    fn a_socket_is_a_host_that_is_a_directory() {
        let socket = PostgresHost::Socket { directory: "/run/postgresql".into(), port: 5433 };
        for url in ["postgresql:///db?host=/run/postgresql:5433", "postgres://%2Frun%2Fpostgresql:5433/db"] {
            assert_eq!(PostgresUrl::parse(url).map(|url| url.hosts), Ok(vec![socket.clone()]), "{url}");
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        for (url, expected) in [
            ("postgres://a:secret@db/x", "a password does not belong into the URL"),
            ("postgres:///x", "no host is named"),
            ("postgres://db:port/x", "\"port\" is not a port"),
            ("postgres://db/x?sslmode=maybe", "sslmode=maybe is none of"),
            ("postgres://db/x?passfile=file", "passfile=file: the path must start with /"),
            ("postgres://db/x?target_session_attrs=primary", "is neither \"any\" nor \"read-write\""),
            ("postgres://db/x?options=-c", "\"options\" is none of the parameters"),
            ("postgres://db/x?sslmode", "the parameter \"sslmode\" has no value"),
            ("mysql://db/x", "expected a URL such as"),
            ("postgres://[::1/x", "no closing bracket"),
        ] {
            let refused = PostgresUrl::parse(url).expect_err(url);
            assert!(refused.contains(expected) && !refused.contains("secret"), "{url}: {refused}");
        }
        assert!(!PostgresUrl::is_one("/var/lib/heartbeat-monitor/monitor.db"));
    }
}
