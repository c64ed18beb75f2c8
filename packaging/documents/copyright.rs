//! Debian's `copyright` file: the licences of everything in the program, from cargo's metadata of the dependencies.

use super::crates::linked;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// File names of licence texts, in capitals.
const TEXTS: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
/// Directories of a crate that contain third-party code (ring: fiat-crypto).
const THIRD_PARTY: [&str; 2] = ["src", "third_party"];
/// SQLite inside libsqlite3-sys; the top of each file says that it is in the public domain.
const SQLITE: &str = "sqlite3/sqlite3.h";

/// The whole file. The same dependencies give the same bytes, because crates are sorted by name and version.
pub fn of(metadata: &Value, ours: &Path) -> Result<String, Box<dyn Error>> {
    let crates = linked(metadata)?;
    let mut text = format!(
        "This program is heartbeat-daemon or heartbeat-monitor, under the terms of MIT or Apache-2.0, at your choice:\n\n\
         {}\n{APACHE}\n\
         {:=<78}\n\n\
         It contains Rust's standard library (MIT or Apache-2.0, Copyright The Rust Project Developers; see\n\
         https://www.rust-lang.org/policies/licenses) and the following crates.\n\n",
        fs::read_to_string(ours)?,
        "",
    );
    // Each text with all crates that contain exactly this text.
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in &crates {
        let name = format!("{} {}", one.name, one.version);
        text += &format!("{name}: {}{}\n", one.licence.unwrap_or("see below"), one.authors);
        for found in licence_texts(one.sources)? {
            texts.entry(found).or_default().push(name.clone());
        }
        if let Some(words) = words_of_sqlite(one.sources)? {
            texts.entry(words).or_default().push(format!("SQLite, in {name}"));
        }
    }
    let mut ordered: Vec<_> = texts.into_iter().collect();
    ordered.sort_by(|(_, one), (_, other)| one.cmp(other));
    for (licence, crates) in ordered {
        text += &format!("\n{:=<78}\n{}:\n\n{licence}\n", "", crates.join(", "));
    }
    Ok(text)
}

const APACHE: &str = "The texts of Apache-2.0 and of the GNU Free Documentation License are in /usr/share/common-licenses on every\n\
    Debian system; where a crate comes under one of them, with or without another licence at your choice, that text\n\
    is meant.\n";

/// The texts beside the crate's Cargo.toml, and those of third-party code in it.
fn licence_texts(sources: &Path) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut texts = BTreeSet::new();
    let mut left: Vec<_> =
        THIRD_PARTY.iter().map(|inner| sources.join(inner)).filter(|d| d.is_dir()).collect();
    read_texts(sources, &mut texts)?;
    while let Some(directory) = left.pop() {
        left.extend(read_texts(&directory, &mut texts)?);
    }
    Ok(texts)
}

/// Adds the texts in a directory; returns its subdirectories.
fn read_texts(directory: &Path, texts: &mut BTreeSet<String>) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_dir() {
            directories.push(path);
        } else if TEXTS.iter().any(|text| name.starts_with(text)) && !name.ends_with(".RS") {
            let text = without_common(&String::from_utf8_lossy(&fs::read(&path)?).replace('\r', ""));
            if !text.is_empty() {
                texts.insert(text);
            }
        }
    }
    Ok(directories)
}

/// The comment at the top of SQLite's header, without the stars.
fn words_of_sqlite(sources: &Path) -> Result<Option<String>, Box<dyn Error>> {
    let header = sources.join(SQLITE);
    if !header.exists() {
        return Ok(None);
    }
    let header = fs::read_to_string(header)?;
    let words: Vec<_> = header
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with("***"))
        .map(|line| line.strip_prefix("** ").unwrap_or_default().trim_end())
        .collect();
    if !words.iter().any(|line| line.contains("disclaims copyright")) {
        return Err(format!("{SQLITE} no longer says that it is in the public domain").into());
    }
    Ok(Some(words.join("\n").trim().to_owned()))
}

/// Long licences that Debian has: the title, a line that only the complete text has, and the end.
const COMMON: [(&str, &str, &str); 2] = [
    ("Apache License", "TERMS AND CONDITIONS FOR USE, REPRODUCTION", "limitations under the License."),
    // The licence of the source of procfs's documentation, which is not in the program.
    ("GNU Free Documentation License", "0. PREAMBLE", "to permit their use in free software."),
];

/// A text without the [`COMMON`] licences in it.
fn without_common(text: &str) -> String {
    let mut text = text.to_owned();
    for (title, only_there, last) in COMMON {
        let Some(inside) = text.find(only_there) else { continue };
        let begin = text[..inside].rfind(title).unwrap_or(inside);
        let end = text[inside..].find(last).map_or(text.len(), |end| inside + end + last.len());
        text = format!("{}\n{}", text[..begin].trim(), text[end..].trim());
    }
    text.trim().to_owned()
}
