//! `heartbeat-daemon(8)` and `heartbeat-monitor(8)`, from the same definitions as `--help`.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use std::io;

/// The page of a program: its options, then each command with its options.
pub fn program(command: Command, date: &str) -> io::Result<Vec<u8>> {
    let name = command.get_name().to_owned();
    let mut built = command.clone();
    built.build();
    // Commands and the text after the help get their own sections below.
    let plain = command.after_help(None::<&str>).disable_help_subcommand(true);
    let man = Man::new(plain).section("8").date(date).source(name.clone()).manual("System administration");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(&name, &built).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;

    let mut rest = Roff::new();
    rest.control("SH", ["COMMANDS"]);
    for inner in built.get_subcommands() {
        one_command(&mut rest, inner);
    }
    notes(&mut rest, &built);
    files(&mut rest, &name);
    rest.control("SH", ["SEE ALSO"]);
    rest.text([
        bold(format!("{name}.toml")),
        roman("(5), "),
        bold("journalctl"),
        roman("(1), "),
        bold("systemd"),
        roman("(1)"),
    ]);
    rest.to_writer(&mut page)?;
    Ok(page)
}

/// Synopsis and description; clap_mangen's own synopsis names neither the option's value nor a command.
fn synopsis(name: &str, command: &Command) -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["SYNOPSIS"]);
    section.text([
        bold(name),
        roman(" ["),
        bold("--config "),
        italic("FILE"),
        roman("] ["),
        italic("COMMAND"),
        roman(" ["),
        italic("OPTION"),
        roman("]...]"),
    ]);
    section.control("SH", ["DESCRIPTION"]);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    section.text([roman(format!("{}.", about.trim_end_matches('.')))]);
    section.control("PP", []);
    section.text([roman("Without a command it runs in the foreground, as the service does.")]);
    section
}

/// A command with its options; for a command with subcommands, each of them.
fn one_command(page: &mut Roff, command: &Command) {
    if command.get_name() == "help" {
        return;
    }
    if command.has_subcommands() {
        for inner in command.get_subcommands() {
            one_command(page, inner);
        }
        return;
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim().to_owned();
    page.control("SS", [usage.as_str()]);
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        page.text([roman(format!("{}.", about.to_string().trim_end_matches('.')))]);
    }
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        // Global options are listed once.
        if argument.is_global_set() || matches!(argument.get_id().as_str(), "help" | "version") {
            continue;
        }
        page.control("TP", []);
        let value = argument
            .get_value_names()
            .map(|names| names.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(" "));
        let mut head = Vec::new();
        if let Some(long) = argument.get_long() {
            head.push(bold(format!("--{long}")));
        }
        if let Some(value) =
            value.filter(|_| argument.is_positional() || argument.get_action().takes_values())
        {
            head.push(roman(if head.is_empty() { "" } else { " " }));
            head.push(italic(value));
        }
        page.text(head);
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let default: Vec<_> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = match default.is_empty() || !argument.get_action().takes_values() {
            true => String::new(),
            false => format!(" [default: {}]", default.join(" ")),
        };
        let values: Vec<_> =
            argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        let values = if values.is_empty() || !argument.get_action().takes_values() {
            String::new()
        } else {
            format!(" [possible values: {}]", values.join(", "))
        };
        page.text([roman(format!("{help}{default}{values}"))]);
    }
}

/// The text after the help: one section per line, titled by the text before the first colon.
fn notes(page: &mut Roff, command: &Command) {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for line in text.lines() {
        if let Some((subject, rest)) = line.split_once(": ") {
            page.control("SH", [subject.to_uppercase().as_str()]);
            page.text([roman(format!("{}.", rest.trim_end_matches('.')))]);
        }
    }
}

fn files(page: &mut Roff, name: &str) {
    page.control("SH", ["FILES"]);
    for (path, what) in [
        (format!("/etc/{name}/config.toml"), format!("The configuration, explained in {name}.toml(5).")),
        (format!("/etc/default/{name}"), "Environment of the service; need not exist.".to_owned()),
        (format!("/var/lib/{name}"), "State that survives a restart.".to_owned()),
        (format!("/run/{name}"), "State of the running service.".to_owned()),
    ] {
        page.control("TP", []);
        page.text([italic(path)]);
        page.text([roman(what)]);
    }
}
