//! The kinds of channels: one descriptor each.
//!
//! | file | what it owns |
//! |---|---|
//! | `descriptor` | what a descriptor says; the delivery that it gets |
//! | `request` | a JSON request to a service |
//! | `slack`, `discord`, `teams`, `gotify`, `pushover`, `matrix`, `pagerduty`, `home_assistant`, `apprise` | one kind each |
//! | `template` | the template of a webhook's body |
//! | `mod` | the descriptor of each kind; the kinds with files above this folder |

mod apprise;
pub mod descriptor;
mod discord;
mod gotify;
mod home_assistant;
mod matrix;
mod pagerduty;
mod pushover;
mod request;
mod slack;
mod teams;
pub mod template;

use super::channel::{ChannelKind, ChannelOptions};
use super::mail::{self, check_address};
use super::message::DeliveryError;
use super::target::{check_chat, check_mail_server, check_topic, check_url};
use super::telegram::{self, check_thread};
use super::{ntfy, webhook};
use descriptor::{
    ChannelDraft, Delivery, KindDescriptor, OptionField, OptionForm, SecretField, SecretNeed, ShownOption,
    TargetField, UrlPlace, needs_no_check,
};

/// The descriptor of a kind.
pub fn descriptor(kind: ChannelKind) -> &'static KindDescriptor {
    match kind {
        ChannelKind::Webhook => &WEBHOOK,
        ChannelKind::Telegram => &TELEGRAM,
        ChannelKind::Email => &EMAIL,
        ChannelKind::Ntfy => &NTFY,
        ChannelKind::Slack => &slack::SLACK,
        ChannelKind::Discord => &discord::DISCORD,
        ChannelKind::Teams => &teams::TEAMS,
        ChannelKind::Gotify => &gotify::GOTIFY,
        ChannelKind::Pushover => &pushover::PUSHOVER,
        ChannelKind::Matrix => &matrix::MATRIX,
        ChannelKind::PagerDuty => &pagerduty::PAGERDUTY,
        ChannelKind::HomeAssistant => &home_assistant::HOME_ASSISTANT,
        ChannelKind::Apprise => &apprise::APPRISE,
    }
}

/// What was chosen for a channel, for lists; nothing for a kind that this version does not know.
pub fn shown_options(kind: &str, options: &ChannelOptions) -> Vec<ShownOption> {
    let kind = ChannelKind::from_name(kind);
    kind.map(|kind| descriptor(kind).shown_options(options)).unwrap_or_default()
}

static WEBHOOK: KindDescriptor = KindDescriptor {
    about: "POST JSON to a URL, signed with a secret; by default a secret is generated and printed alone on the last \
            line, only once",
    target: TargetField {
        value: "URL",
        label: "URL",
        help: "URL, such as https://example.org/hook",
        check: check_url,
    },
    secret: Some(SecretField {
        option: "secret-file",
        called: "secret",
        help: "File with the secret, which is copied into the database",
        need: SecretNeed::Generated,
    }),
    options: &[
        OptionField {
            name: template::TEMPLATE,
            option: "template-file",
            value: "FILE",
            label: "Template of the body",
            help: "Template of the body, such as {\"text\": \"{{ title }}\"}, which replaces the JSON; copied into the \
                   database; docs/channels.md lists the fields",
            form: OptionForm::Text,
            check: |_| Ok(()),
        },
        OptionField {
            name: template::CONTENT_TYPE,
            option: "content-type",
            value: "TYPE",
            label: "Content type",
            help: "Content type of a template, which says how its values are escaped; default: application/json",
            form: OptionForm::Optional,
            check: template::check_content_type,
        },
    ],
    address: UrlPlace::Target,
    check: check_webhook,
    send: |delivery| webhook::send(delivery.public_only, delivery.channel, delivery.message, delivery.now()),
};

fn check_webhook(draft: &ChannelDraft<'_>) -> Result<(), String> {
    let content_type = draft.options.get(template::CONTENT_TYPE);
    match draft.options.get(template::TEMPLATE) {
        Some(text) => template::check_template(text, content_type.unwrap_or(template::DEFAULT_CONTENT_TYPE)),
        None if content_type.is_some() => Err("a content type needs a template".into()),
        None => Ok(()),
    }
}

static TELEGRAM: KindDescriptor = KindDescriptor {
    about: "Send to a Telegram chat as a bot",
    target: TargetField {
        value: "CHAT",
        label: "Chat id",
        help: "Id of the chat, such as 123456789, -1001234567890 or @channel",
        check: check_chat,
    },
    secret: Some(SecretField {
        option: "bot-token-file",
        called: "bot's token",
        help: "File with the bot token; read again for each message",
        need: SecretNeed::Required,
    }),
    options: &[
        OptionField {
            name: telegram::TOPIC,
            option: "topic",
            value: "NUMBER",
            label: "Topic of a group",
            help: "Number of a topic of the group (message_thread_id): the last number in the topic's link, such as 42 in \
                   t.me/c/1234567890/42",
            form: OptionForm::Optional,
            check: check_thread,
        },
        OptionField {
            name: telegram::SILENT,
            option: "silent",
            value: "WHICH",
            label: "Without a sound",
            help: "Messages that make no sound: \"endings\" (ends of incidents and planned stops) or \"all\"",
            form: OptionForm::Optional,
            check: telegram::check_silent,
        },
    ],
    address: UrlPlace::Configured,
    check: needs_no_check,
    send: telegram::send,
};

static EMAIL: KindDescriptor = KindDescriptor {
    about: "Send mail over the server in [smtp]",
    target: TargetField {
        value: "ADDRESS",
        label: "Address",
        help: "Address, such as ops@example.org",
        check: check_address,
    },
    secret: None,
    options: &[],
    address: UrlPlace::Configured,
    check: |draft| check_mail_server(draft.settings),
    send: send_mail,
};

fn send_mail(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let Delivery { settings, names, channel, message, context, .. } = delivery;
    match &settings.smtp {
        Some(smtp) => mail::send(smtp, names, &settings.mail_limits, channel, message, context),
        None => Err(DeliveryError::later("no mail server is configured in [smtp]")),
    }
}

static NTFY: KindDescriptor = KindDescriptor {
    about: "Publish to an ntfy topic",
    target: TargetField {
        value: "URL",
        label: "URL of the topic",
        help: "URL of the topic, such as https://ntfy.sh/my-topic",
        check: |url| check_url(url).and_then(|()| check_topic(url)),
    },
    secret: Some(SecretField {
        option: "token-file",
        called: "access token",
        help: "File with an access token, for a protected topic; read again for each message",
        need: SecretNeed::Optional,
    }),
    options: &[],
    address: UrlPlace::Target,
    check: needs_no_check,
    send: |delivery| ntfy::send(delivery.public_only, delivery.channel, delivery.message, delivery.now()),
};
