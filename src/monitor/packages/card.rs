//! Files for the boot partition of a new SD card, with which a device without a keyboard installs the daemon and enrols.
//!
//! | file | content |
//! |---|---|
//! | `heartbeat.toml` | where to enrol, and the key: the only secret; the daemon's package deletes it after enrolment |
//! | `vendor-data` | a script that installs the daemon; cloud-init runs it beside the `user-data` of Raspberry Pi Imager |
//! | `user-data`, `meta-data` | the rest of cloud-init's files, for images that Imager does not prepare |

use super::install::InstallGuide;
use crate::monitor::registry::token::Token;
use std::fmt::Write;

const VENDOR_DATA: &str = include_str!("vendor-data.sh");

/// The files of one card.
#[derive(Debug, Clone)]
pub struct Card<'g> {
    pub guide: &'g InstallGuide,
    /// Name of the machine, and hostname in a seed; valid as a hostname.
    pub name: Option<&'g str>,
}

impl Card<'_> {
    /// `heartbeat.toml`
    pub fn enrolment(&self, key: &Token) -> String {
        let mut text = String::from(
            "# heartbeat-daemon enrols with this key on the first boot, then deletes this file.\n",
        );
        // Writing into a String cannot fail; site and key have no characters that TOML would escape.
        let _ = writeln!(text, "url = \"{}/\"\nkey = \"{}\"", self.guide.site, key.as_str());
        if let Some(name) = self.name {
            let _ = writeln!(text, "name = \"{name}\"");
        }
        if let Some(ca) = &self.guide.ca {
            let _ = writeln!(text, "ca = '''\n{}'''", ca.pem);
        }
        text
    }

    /// `vendor-data`
    pub fn vendor_data(&self) -> String {
        let guide = self.guide;
        let ca = guide.ca.as_ref().map_or(String::new(), |ca| {
            format!(
                "cat >/etc/heartbeat-daemon/ca.pem <<'CA'\n{}CA\necho 'Acquire::https::{}::CAInfo \
                 \"/etc/heartbeat-daemon/ca.pem\";' >/etc/apt/apt.conf.d/80heartbeat",
                ca.pem,
                guide.apt_host()
            )
        });
        VENDOR_DATA
            .replace("@SITE@", &guide.site)
            .replace("@KEY@", guide.key.text.trim_end())
            .replace("@CA@", &ca)
            .replace("@FINGERPRINT@", &guide.key.fingerprint)
    }

    /// `user-data` of a seed. `ssh_key` is the line of a public key; without one, the image's own account is the only one.
    pub fn user_data(&self, ssh_key: Option<&str>) -> String {
        let mut text = String::from("#cloud-config\n");
        if let Some(name) = self.name {
            let _ = writeln!(text, "hostname: {name}");
        }
        if let Some(key) = ssh_key {
            // A JSON string is a YAML string.
            let key = serde_json::Value::from(key);
            let _ = writeln!(text, "ssh_authorized_keys:\n  - {key}");
        }
        text
    }

    /// `meta-data` of a seed. cloud-init runs once for each `instance-id`.
    pub fn meta_data(&self, instance: u64) -> String {
        format!("instance-id: heartbeat-{instance:016x}\n")
    }
}

/// Whether a name can be a hostname, and so a line of a seed.
pub fn is_hostname(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
