//! The file as written: all keys are optional. Unknown keys are errors: `config::deserializer` refuses them.

use super::used::{MqttSecurity, SmtpSecurity};
use crate::config::{Level, Period};
use serde::Deserialize;
use toml::Spanned;

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct File {
    pub http: Http,
    pub store: Store,
    pub detection: Detection,
    pub notify: Notify,
    pub smtp: Smtp,
    pub retention: Retention,
    pub limits: Limits,
    pub metrics: FleetMetrics,
    pub web: Web,
    pub packages: Packages,
    pub watchdog: Watchdog,
    pub mqtt: Mqtt,
    pub log: Log,
}

#[derive(Default, Deserialize)]
pub struct Http {
    pub listen: Option<Spanned<String>>,
    pub socket: Option<Spanned<String>>,
    pub certificate_file: Option<Spanned<String>>,
    pub key_file: Option<Spanned<String>>,
    pub ticket_keys_file: Option<Spanned<String>>,
    pub trusted_proxies: Option<Spanned<Vec<String>>>,
}

#[derive(Default, Deserialize)]
pub struct Store {
    pub state_dir: Option<Spanned<String>>,
    pub database: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
pub struct Detection {
    pub check_interval: Option<Spanned<Period>>,
    pub offline_threshold: Option<Spanned<Period>>,
}

#[derive(Default, Deserialize)]
pub struct Notify {
    pub allow_private_webhooks: Option<bool>,
    pub telegram_api: Option<Spanned<String>>,
    pub ca_file: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
pub struct Smtp {
    pub host: Option<Spanned<String>>,
    pub port: Option<Spanned<u16>>,
    pub security: Option<SmtpSecurity>,
    pub user: Option<Spanned<String>>,
    pub password_file: Option<Spanned<String>>,
    pub from: Option<Spanned<String>>,
    pub helo: Option<Spanned<String>>,
    pub ca_file: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
pub struct Retention {
    pub events: Option<Spanned<Period>>,
    pub deliveries: Option<Spanned<Period>>,
}

#[derive(Default, Deserialize)]
pub struct Limits {
    pub connections: Option<Spanned<u32>>,
    pub connections_per_address: Option<Spanned<u32>>,
    pub queue: Option<Spanned<u32>>,
    pub workers: Option<Spanned<u32>>,
}

#[derive(Default, Deserialize)]
pub struct FleetMetrics {
    pub machines: Option<Spanned<u32>>,
}

#[derive(Default, Deserialize)]
pub struct Web {
    pub enabled: Option<bool>,
    pub public_url: Option<Spanned<String>>,
    pub ca_file: Option<Spanned<String>>,
    pub login_header: Option<Spanned<String>>,
    pub login_proxies: Option<Spanned<Vec<String>>>,
}

#[derive(Default, Deserialize)]
pub struct Packages {
    pub directory: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
pub struct Watchdog {
    pub url: Option<Spanned<String>>,
    pub interval: Option<Spanned<Period>>,
    pub token_file: Option<Spanned<String>>,
    pub ca_file: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
pub struct Mqtt {
    pub host: Option<Spanned<String>>,
    pub port: Option<Spanned<u16>>,
    pub security: Option<MqttSecurity>,
    pub user: Option<Spanned<String>>,
    pub password_file: Option<Spanned<String>>,
    pub ca_file: Option<Spanned<String>>,
    pub topic: Option<Spanned<String>>,
    pub discovery: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
pub struct Log {
    pub level: Option<Level>,
}
