//! `[api]`, from written values to used ones.

use super::check::Check;
use super::used::{Api, Listen};
use super::written;
use crate::config::ConfigError;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use toml::Spanned;

/// Where `auto` listens: the port of the web manager and of PumaGuard, whose scripts ask there.
pub const AUTO: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

/// `sun_path` of linux/un.h without the zero byte.
const SOCKET_PATH: usize = 107;

impl Check<'_> {
    pub fn api(&self, written: written::Api, runtime_dir: &Path) -> Result<Api, ConfigError> {
        let socket = match written.socket {
            None => runtime_dir.join("api.sock"),
            // Earlier versions had no socket file then; the command line needs one.
            Some(path) if path.get_ref().is_empty() => runtime_dir.join("api.sock"),
            Some(path) if path.get_ref().len() > SOCKET_PATH => {
                return Err(self.source.fault(path.span(), "a socket's path has at most 107 bytes"));
            }
            Some(path) => self.source.absolute(path)?,
        };
        let listen = self.listen(written.listen)?;
        Ok(Api {
            // The command line uses the socket file in any case.
            listen: if written.enabled.unwrap_or(true) { listen } else { Listen::Nowhere },
            socket,
            socket_mode: self.socket_mode(written.socket_mode)?,
            socket_group: self.group(written.socket_group)?,
            token_file: self.source.optional_path(written.token_file)?,
        })
    }

    /// The old default is what every installed file says, whether its owner means it or not: it counts as `auto`.
    fn listen(&self, written: Option<Spanned<String>>) -> Result<Listen, ConfigError> {
        const PROBLEM: &str = "expected \"auto\", an IP address with a port, such as \"127.0.0.1:5001\" or \
                               \"[::]:5000\", or \"\" for none";
        let Some(written) = written else { return Ok(Listen::Auto) };
        match written.get_ref().as_str() {
            "" => Ok(Listen::Nowhere),
            "auto" => Ok(Listen::Auto),
            text => match text.parse() {
                Ok(address) if address == AUTO => Ok(Listen::Auto),
                Ok(address) => Ok(Listen::At(address)),
                Err(_) => Err(self.source.fault(written.span(), PROBLEM)),
            },
        }
    }

    /// As `chmod` takes it.
    fn socket_mode(&self, written: Option<Spanned<String>>) -> Result<u32, ConfigError> {
        let written = written.unwrap_or_else(|| Spanned::new(0..0, "0660".into()));
        match u32::from_str_radix(written.get_ref(), 8) {
            Ok(mode @ 0..=0o777) => Ok(mode),
            _ => Err(self
                .source
                .fault(written.span(), "expected a mode in octal, such as \"0660\", up to \"0777\"")),
        }
    }

    fn group(&self, written: Option<Spanned<String>>) -> Result<Option<String>, ConfigError> {
        let Some(name) = written else { return Ok(None) };
        if name.get_ref().is_empty() || name.get_ref().contains([':', '\n']) {
            return Err(self.source.fault(name.span(), "expected the name of a group, as in /etc/group"));
        }
        Ok(Some(name.into_inner()))
    }
}
