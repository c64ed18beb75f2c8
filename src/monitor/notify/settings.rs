//! Settings of deliveries, from the configuration, and the resolver that deliveries share.

use super::button_state::ButtonState;
use crate::config::ConfigError;
use crate::monitor::config::{Config, SmtpConfig};
use crate::resolver::{self, NameResolver};
use crate::tls_client::trust::Trust;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Limits of the resolver: few threads, however many channels have hosts that cannot be resolved. It waits for a current
/// address, because a receiver may have moved since the last message.
const RESOLVER_LIMITS: resolver::ResolverLimits =
    resolver::ResolverLimits { threads: 4, names: 256, refresh_wait: Duration::from_secs(3) };

/// Starts the resolver that all deliveries share.
pub fn start_resolver() -> io::Result<Arc<NameResolver>> {
    NameResolver::start(RESOLVER_LIMITS, resolver::lookup).map(Arc::new)
}

/// The settings of deliveries.
#[derive(Debug, Clone)]
pub struct NotifySettings {
    /// Allows loopback, private and link-local addresses for the URLs of channels.
    pub allow_private_webhooks: bool,
    /// Without a trailing slash.
    pub telegram_api: String,
    /// Trusted CAs for all channels but mail.
    pub trust: Trust,
    /// `None`: mail cannot be sent.
    pub smtp: Option<SmtpConfig>,
    /// Address of the pages, with a slash at its end; `None`: messages have no link.
    pub site: Option<Arc<str>>,
    /// Telegram bots whose messages have a button.
    pub buttons: ButtonState,
    /// Timeout of an HTTP delivery, from the DNS lookup to the end of the response.
    pub timeout: Duration,
    /// Timeouts of the steps of a mail.
    pub mail_limits: MailLimits,
}

impl NotifySettings {
    /// Reads `notify.ca_file`; checks that `smtp.ca_file`, which is read for each delivery, is readable.
    pub fn load(config: &Config) -> Result<NotifySettings, ConfigError> {
        let load = |section: &str, file: &Path| {
            Trust::only_file(file)
                .map_err(|problem| ConfigError::new(format!("[{section}] ca_file: {problem}")))
        };
        if let Some(file) = config.smtp.as_ref().and_then(|smtp| smtp.ca_file.as_deref()) {
            load("smtp", file)?;
        }
        let trust = match config.notify.ca_file.as_deref() {
            Some(file) => load("notify", file)?.and_public(),
            None => Trust::public(),
        };
        Ok(NotifySettings {
            allow_private_webhooks: config.notify.allow_private_webhooks,
            telegram_api: config.notify.telegram_api.clone(),
            trust,
            smtp: config.smtp.clone(),
            site: config.web.site().map(Arc::from),
            buttons: ButtonState::received(),
            ..NotifySettings::default()
        })
    }
}

impl Default for NotifySettings {
    fn default() -> NotifySettings {
        NotifySettings {
            allow_private_webhooks: false,
            telegram_api: "https://api.telegram.org".into(),
            trust: Trust::public(),
            smtp: None,
            site: None,
            buttons: ButtonState::default(),
            timeout: Duration::from_secs(10),
            mail_limits: MailLimits::default(),
        }
    }
}

/// Timeouts of the steps of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailLimits {
    /// For all addresses together.
    pub connect: Duration,
    /// The initial 220, including the TLS handshake before it.
    pub greeting: Duration,
    /// EHLO, STARTTLS with its handshake, AUTH, MAIL, RCPT.
    pub command: Duration,
    /// DATA until its 354.
    pub data_start: Duration,
    /// Sending the mail.
    pub data_block: Duration,
    /// The response to the final dot: the server may scan or deliver the mail first.
    pub data_end: Duration,
    /// QUIT; the mail is already delivered.
    pub quit: Duration,
}

impl Default for MailLimits {
    fn default() -> MailLimits {
        const MINUTE: Duration = Duration::from_secs(60);
        MailLimits {
            connect: Duration::from_secs(30),
            greeting: MINUTE * 5,
            command: MINUTE * 5,
            data_start: MINUTE * 2,
            data_block: MINUTE * 3,
            data_end: MINUTE * 10,
            quit: Duration::from_secs(2),
        }
    }
}
