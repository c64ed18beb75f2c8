//! What there is to know about a kind of channel: its fields on the command line and on the page, their checks, and how a
//! message is delivered over it.

use crate::clock::Moment;
use crate::monitor::notify::channel::{Channel, ChannelOptions, check_secret};
use crate::monitor::notify::http::PostClient;
use crate::monitor::notify::message::{DeliveryContext, DeliveryError, Message};
use crate::monitor::notify::settings::NotifySettings;
use crate::monitor::notify::target::{shown_url, url_problem};
use crate::resolver::NameResolver;
use std::fmt;

/// One kind of channel.
#[derive(Debug)]
pub struct KindDescriptor {
    /// Help of `channel add NAME`, and the sentence above the form of the page.
    pub about: &'static str,
    pub target: TargetField,
    pub secret: Option<SecretField>,
    pub options: &'static [OptionField],
    pub address: UrlPlace,
    /// Checks what no field can check alone.
    pub check: fn(&ChannelDraft<'_>) -> Result<(), String>,
    pub send: fn(&Delivery<'_>) -> Result<String, DeliveryError>,
}

/// What identifies a channel in lists; never a secret.
#[derive(Debug)]
pub struct TargetField {
    /// `URL` in the usage of the command.
    pub value: &'static str,
    /// Label on the page.
    pub label: &'static str,
    pub help: &'static str,
    pub check: fn(&str) -> Result<(), String>,
}

/// A channel's secret: a file on the command line, a password field on the page.
#[derive(Debug)]
pub struct SecretField {
    /// `bot-token-file`
    pub option: &'static str,
    /// In the middle of a sentence: "bot's token".
    pub called: &'static str,
    /// Of the file.
    pub help: &'static str,
    pub need: SecretNeed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretNeed {
    Required,
    Optional,
    /// Stored in the database instead of a file, and generated if none is given: the receiver checks it.
    Generated,
}

/// A further setting of a channel.
#[derive(Debug)]
pub struct OptionField {
    /// As stored, and the name of the page's field.
    pub name: &'static str,
    /// Name of the option on the command line.
    pub option: &'static str,
    /// `TOPIC` in the usage of the command.
    pub value: &'static str,
    /// Label on the page.
    pub label: &'static str,
    pub help: &'static str,
    pub form: OptionForm,
    pub check: fn(&str) -> Result<(), String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionForm {
    Required,
    Optional,
    /// Several lines: a file on the command line, a text area on the page.
    Text,
}

/// Where the URL of a channel's requests is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlPlace {
    /// The target is the URL.
    Target,
    /// The URL itself is the secret.
    Secret,
    /// In an option, with the address that is used without it.
    Option { name: &'static str, default: Option<&'static str> },
    /// In the configuration.
    Configured,
}

/// A channel that is to be added.
#[derive(Clone, Copy)]
pub struct ChannelDraft<'a> {
    pub target: &'a str,
    /// `None`: none was given.
    pub secret: Option<&'a str>,
    pub options: &'a ChannelOptions,
    pub settings: &'a NotifySettings,
}

impl UrlPlace {
    /// `None`: it is in the configuration, or not given.
    pub fn url<'a>(
        self,
        target: &'a str,
        secret: Option<&'a str>,
        options: &'a ChannelOptions,
    ) -> Option<&'a str> {
        match self {
            UrlPlace::Target => Some(target),
            UrlPlace::Secret => secret,
            UrlPlace::Option { name, default } => options.get(name).or(default),
            UrlPlace::Configured => None,
        }
    }
}

/// A chosen option as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownOption {
    pub name: &'static str,
    /// `None`: a text of several lines, of which lists say only that it is there.
    pub value: Option<String>,
}

impl fmt::Display for ShownOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} {value}", self.name),
            None => f.write_str(self.name),
        }
    }
}

impl KindDescriptor {
    /// In the order of the form. The query of a URL can hold a key and is not shown.
    pub fn shown_options(&self, options: &ChannelOptions) -> Vec<ShownOption> {
        let shown = |option: &OptionField| {
            let value = options.get(option.name)?;
            let value = if value.starts_with("http") { shown_url(value) } else { value.to_owned() };
            let value = Some(value).filter(|_| option.form != OptionForm::Text);
            Some(ShownOption { name: option.name, value })
        };
        self.options.iter().filter_map(shown).collect()
    }

    /// Checks a draft whose target was checked already.
    ///
    /// # Errors
    /// What is wrong or missing; without the secret.
    pub fn check_draft(&self, draft: &ChannelDraft<'_>) -> Result<(), String> {
        if let Some(field) = &self.secret {
            match draft.secret {
                Some(secret) => {
                    check_secret(secret).map_err(|problem| format!("the {} {problem}", field.called))?;
                }
                None if field.need == SecretNeed::Required => {
                    return Err(format!("enter the {}", field.called));
                }
                None => {}
            }
        }
        for option in self.options {
            match draft.options.get(option.name) {
                Some(value) => (option.check)(value)?,
                None if option.form == OptionForm::Required => {
                    return Err(format!("enter the {}", option.label.to_lowercase()));
                }
                None => {}
            }
        }
        self.check_address(draft)?;
        (self.check)(draft)
    }

    /// A target that is a URL is checked with its field.
    fn check_address(&self, draft: &ChannelDraft<'_>) -> Result<(), String> {
        let what = match (self.address, &self.secret) {
            (UrlPlace::Secret, Some(field)) => format!("the {}", field.called),
            (UrlPlace::Option { name, .. }, _) => format!("the {name}"),
            _ => return Ok(()),
        };
        let url = self.address.url(draft.target, draft.secret, draft.options).unwrap_or_default();
        url_problem(url).map_or(Ok(()), |problem| Err(format!("{what}: {problem}")))
    }
}

/// A kind whose fields need no check in common.
pub fn needs_no_check(_: &ChannelDraft<'_>) -> Result<(), String> {
    Ok(())
}

/// Longest name of a channel, in characters.
const LONGEST_NAME: usize = 100;

/// The target of a kind whose URL is secret: any name in one line.
pub fn check_name(name: &str) -> Result<(), String> {
    let length = name.chars().count();
    match (1..=LONGEST_NAME).contains(&length) && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(format!("\"{}\": a name is one line of 1 to 100 characters", name.escape_debug())),
    }
}

/// The target of a kind whose URL is secret.
pub const NAME: TargetField = TargetField {
    value: "NAME",
    label: "Name",
    help: "Name for lists, such as #alerts; the address itself is secret",
    check: check_name,
};

/// One message on its way over one channel.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    pub settings: &'a NotifySettings,
    pub names: &'a NameResolver,
    /// Of the channel's kind.
    pub address: UrlPlace,
    /// For the URLs that people entered.
    pub public_only: &'a PostClient,
    /// For the servers that the configuration or the program names.
    pub unrestricted: &'a PostClient,
    pub channel: &'a Channel,
    pub message: &'a Message,
    pub context: &'a DeliveryContext<'a>,
}

impl<'a> Delivery<'a> {
    pub fn now(&self) -> Moment {
        self.context.now
    }

    /// The secret of a kind that needs one.
    pub fn secret(&self) -> Result<String, DeliveryError> {
        let secret = self.channel.read_token().map_err(DeliveryError::later)?;
        secret.ok_or_else(|| DeliveryError::later("the channel has no secret; add it again"))
    }

    pub fn option(&self, name: &str) -> Option<&'a str> {
        self.channel.options.get(name)
    }

    /// The server of a kind whose address is an option, without a slash at its end.
    pub fn server(&self) -> Result<&'a str, DeliveryError> {
        let url = self.address.url(&self.channel.target, None, &self.channel.options);
        let url = url.ok_or_else(|| DeliveryError::later("the channel has no server; add it again"))?;
        Ok(url.trim_end_matches('/'))
    }

    /// The client for a URL: servers that the program names may be reached through a proxy.
    pub fn client(&self, url: &str) -> &'a PostClient {
        let is_ours = |default: &str| url.strip_prefix(default).is_some_and(|rest| rest.starts_with('/'));
        match self.address {
            UrlPlace::Option { default: Some(default), .. } if is_ours(default) => self.unrestricted,
            _ => self.public_only,
        }
    }
}
