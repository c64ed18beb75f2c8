//! `heartbeat-monitor channel add KIND`: one subcommand for each kind, made from its descriptor.
//!
//! No option takes a secret itself: every user of the machine sees command lines, and the shell's history keeps them.

use crate::clock::Moment;
use crate::monitor::notify::NotifySettings;
use crate::monitor::notify::channel::{ChannelKind, ChannelOptions, KINDS, check_secret, secret_in};
use crate::monitor::notify::channels::{DEFAULT_RECIPIENT, NewChannel};
use crate::monitor::notify::kinds::descriptor;
use crate::monitor::notify::kinds::descriptor::{
    ChannelDraft, KindDescriptor, OptionForm, SecretField, SecretNeed,
};
use crate::monitor::notify::target::{check_public, secret_file};
use crate::monitor::registry::token::{Token, TokenUse};
use crate::monitor::store::{Refused, Store};
use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Subcommand};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Ids of the arguments that every kind may have.
const TARGET: &str = "target";
const SECRET: &str = "secret";
const SECRET_STDIN: &str = "secret-stdin";

/// Longest file of an option, in bytes.
const LONGEST_TEXT: u64 = 16 * 1024;

/// The arguments of a new channel.
#[derive(Debug)]
pub struct NewTarget {
    kind: ChannelKind,
    target: String,
    secret_file: Option<PathBuf>,
    has_secret_on_stdin: bool,
    /// As given, in the order of the descriptor.
    options: Vec<Option<String>>,
}

impl Subcommand for NewTarget {
    fn augment_subcommands(command: Command) -> Command {
        KINDS.into_iter().fold(command, |command, kind| command.subcommand(command_of(kind)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        NewTarget::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        ChannelKind::from_name(name).is_some()
    }
}

impl FromArgMatches for NewTarget {
    fn from_arg_matches(matches: &ArgMatches) -> Result<NewTarget, clap::Error> {
        let missing = || clap::Error::new(ErrorKind::MissingSubcommand);
        let (name, given) = matches.subcommand().ok_or_else(missing)?;
        let kind = ChannelKind::from_name(name).ok_or_else(missing)?;
        let KindDescriptor { secret, options, .. } = descriptor(kind);
        let text = |id: &str| given.get_one::<String>(id).cloned();
        Ok(NewTarget {
            kind,
            target: text(TARGET).unwrap_or_default(),
            secret_file: secret.as_ref().and_then(|_| given.get_one::<PathBuf>(SECRET).cloned()),
            has_secret_on_stdin: is_generated(secret.as_ref()) && given.get_flag(SECRET_STDIN),
            options: options.iter().map(|option| text(option.name)).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = NewTarget::from_arg_matches(matches)?;
        Ok(())
    }
}

fn is_generated(secret: Option<&SecretField>) -> bool {
    secret.is_some_and(|field| field.need == SecretNeed::Generated)
}

fn command_of(kind: ChannelKind) -> Command {
    let KindDescriptor { about, target, secret, options, .. } = descriptor(kind);
    let place = Arg::new(TARGET).value_name(target.value).help(target.help).required(true);
    let mut command = Command::new(kind.name()).about(*about).arg(place.allow_hyphen_values(true));
    if let Some(field) = secret {
        let file = Arg::new(SECRET).long(field.option).value_name("FILE").help(field.help);
        let file = file.value_parser(ValueParser::path_buf());
        command = command.arg(file.required(field.need == SecretNeed::Required));
    }
    if is_generated(secret.as_ref()) {
        let stdin = Arg::new(SECRET_STDIN).long(SECRET_STDIN).action(ArgAction::SetTrue);
        command = command.arg(stdin.help("Read the secret from standard input").conflicts_with(SECRET));
    }
    options.iter().fold(command, |command, option| {
        let argument = Arg::new(option.name).long(option.option).value_name(option.value).help(option.help);
        command.arg(argument.required(option.form == OptionForm::Required))
    })
}

/// A secret: its text, and where it is kept.
struct GivenSecret {
    text: Option<String>,
    /// Absolute path.
    file: Option<String>,
    /// It was generated here, and is to be shown.
    generated: Option<Token>,
}

impl NewTarget {
    fn secret(&self, field: Option<&SecretField>) -> Result<GivenSecret, Refused> {
        let copied = |text: String| GivenSecret { text: Some(text), file: None, generated: None };
        match (&self.secret_file, is_generated(field)) {
            (Some(file), true) => Ok(copied(secret_in(&file.display().to_string())?)),
            (Some(file), false) => {
                let file = secret_file(file)?;
                Ok(GivenSecret { text: Some(secret_in(&file)?), file: Some(file), generated: None })
            }
            (None, true) if self.has_secret_on_stdin => Ok(copied(secret_on_stdin()?)),
            (None, true) => {
                let made = Token::make(TokenUse::Device);
                let made = made.map_err(|error| format!("cannot generate a secret: {error}"))?;
                Ok(GivenSecret { generated: Some(made.clone()), ..copied(made.as_str().to_owned()) })
            }
            (None, false) => Ok(GivenSecret { text: None, file: None, generated: None }),
        }
    }

    /// The channel, and its secret if it was generated here.
    fn checked(self, settings: &NotifySettings) -> Result<(NewChannel, Option<Token>), Refused> {
        let known = descriptor(self.kind);
        (known.target.check)(&self.target)?;
        let options = self.options(known)?;
        let secret = self.secret(known.secret.as_ref())?;
        let text = secret.text.as_deref();
        known.check_draft(&ChannelDraft {
            target: &self.target,
            secret: text,
            options: &options,
            settings,
        })?;
        if let Some(url) = known.address.url(&self.target, text, &options) {
            check_public(url, settings)?;
        }
        let is_copied = is_generated(known.secret.as_ref());
        let channel = NewChannel {
            kind: self.kind,
            target: self.target,
            secret: secret.text.filter(|_| is_copied),
            secret_file: secret.file,
            token: None,
            options,
        };
        Ok((channel, secret.generated))
    }

    fn options(&self, known: &KindDescriptor) -> Result<ChannelOptions, Refused> {
        let mut options = ChannelOptions::default();
        for (option, given) in known.options.iter().zip(&self.options) {
            let Some(given) = given else { continue };
            let value = if option.form == OptionForm::Text { text_in(given)? } else { given.clone() };
            options.0.insert(option.name.to_owned(), value);
        }
        Ok(options)
    }
}

fn secret_on_stdin() -> Result<String, Refused> {
    let mut text = String::new();
    let read = io::stdin().lock().take(5000).read_to_string(&mut text);
    read.map_err(|error| format!("cannot read standard input: {error}"))?;
    let secret = text.trim();
    check_secret(secret).map_err(|problem| format!("the secret {problem}"))?;
    Ok(secret.to_owned())
}

/// The text of a file that is copied into the database.
fn text_in(path: &str) -> Result<String, Refused> {
    let mut text = String::new();
    let file = File::open(Path::new(path));
    let read = file.and_then(|file| file.take(LONGEST_TEXT + 1).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read {path}: {error}"))?;
    match text.len() as u64 > LONGEST_TEXT {
        true => Err(Refused::because(format!("{path}: longer than {LONGEST_TEXT} bytes"))),
        false => Ok(text),
    }
}

/// Adds the channel and returns the output.
///
/// # Errors
/// It cannot work, or the recipient has it already; nothing was added.
pub fn add(
    store: &Store,
    recipient: Option<&str>,
    new: NewTarget,
    settings: &NotifySettings,
    now: Moment,
) -> Result<String, Refused> {
    let (channel, generated) = new.checked(settings)?;
    let id = store.add_channel(recipient, &channel, now)?;
    let owner = recipient.unwrap_or(DEFAULT_RECIPIENT);
    let said = format!("channel {} ({} of {owner}) added", id.0, channel.kind.name());
    Ok(match generated {
        Some(secret) => format!("{said}; its secret, shown only once:\n{}", secret.as_str()),
        None => format!("{said}; test it with heartbeat-monitor channel test {}", id.0),
    })
}
