//! `heartbeat-daemon.toml(5)`, from the comments of the configuration that is shipped.

use clap_mangen::roff::{Roff, bold, italic, roman};

/// One line of the file.
enum Line<'a> {
    Blank,
    /// `[network]`, `#[[cameras.camera]]`
    Section(&'a str),
    /// Key, value, and whether the line is only an example.
    Key(&'a str, &'a str, bool),
    Comment(&'a str),
}

fn read(line: &str) -> Line<'_> {
    let bare = line.strip_prefix('#').unwrap_or(line);
    if bare.starts_with('[') && bare.ends_with(']') {
        return Line::Section(bare);
    }
    if let Some((key, value)) = bare.split_once(" = ") {
        let is_key =
            !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if is_key {
            return Line::Key(key, value, bare != line);
        }
    }
    match line.strip_prefix('#') {
        None => Line::Blank,
        Some("") => Line::Blank,
        Some(text) => Line::Comment(text.strip_prefix(' ').unwrap_or(text)),
    }
}

/// The page about a program's configuration: each key with the comment above it.
pub fn page(program: &str, date: &str, shipped: &str) -> String {
    let mut page = Roff::new();
    let title = format!("{program}.toml");
    page.control("TH", [title.as_str(), "5", date, program, "File formats"]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{title} - configuration of {program}(8)"))]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([italic(format!("/etc/{program}/config.toml"))]);
    page.control("SH", ["DESCRIPTION"]);

    // The first line only names the file.
    let mut waiting: Vec<&str> = Vec::new();
    let mut keys: Vec<(&str, &str, bool)> = Vec::new();
    for line in shipped.lines().skip(1).chain([""]) {
        let line = read(line);
        if !keys.is_empty() && !matches!(line, Line::Key(..)) {
            entry(&mut page, &keys, &waiting);
            keys.clear();
            waiting.clear();
        }
        match line {
            Line::Blank => paragraph(&mut page, &mut waiting),
            Line::Section(name) => {
                page.control("SH", [name]);
                paragraph(&mut page, &mut waiting);
            }
            Line::Key(key, value, example) => keys.push((key, value, example)),
            Line::Comment(text) => waiting.push(text),
        }
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold(program), roman("(8)")]);
    page.to_roff()
}

/// Text that belongs to no key. Indented lines, which show commands, keep their line breaks.
fn paragraph(page: &mut Roff, lines: &mut Vec<&str>) {
    if lines.is_empty() {
        return;
    }
    page.control("PP", []);
    for line in lines.drain(..) {
        if line.starts_with("  ") {
            page.control("br", []);
        }
        page.text([roman(line.trim())]);
    }
}

/// A group of keys under one comment.
fn entry(page: &mut Roff, keys: &[(&str, &str, bool)], comment: &[&str]) {
    for (number, (key, value, example)) in keys.iter().enumerate() {
        page.control(if number == 0 { "TP" } else { "TQ" }, []);
        let kind = if *example { "  (an example; there is no default)" } else { "" };
        page.text([bold(*key), roman(" = "), italic(*value), roman(kind)]);
    }
    for line in comment {
        page.text([roman(line.trim())]);
    }
}
