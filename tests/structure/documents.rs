//! The documentation names files and headings that exist: relative links, and paths below src/, tests/ and the like.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A path in backquotes is checked if it begins with one of these directories.
const TOP: [&str; 7] = ["benches/", "docs/", "examples/", "fuzz/", "packaging/", "src/", "tests/"];

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of the project.
fn documents() -> Vec<PathBuf> {
    let directories = ["", "benches", "docs", "packaging"].map(|directory| package().join(directory));
    let entries = directories.iter().flat_map(|directory| fs::read_dir(directory).expect("a directory"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The targets of all links that are not URLs.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    links.map(|(link, _)| link).filter(|link| !link.contains("://"))
}

/// The first word of each text in backquotes.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter_map(|code| code.split_whitespace().next())
}

/// The anchors of the headings, as code hosting sites make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    headings.map(anchor).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Why a link leads nowhere.
fn broken(document: &Path, link: &str) -> Option<String> {
    let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
    let target = if path.is_empty() {
        document.to_owned()
    } else {
        document.parent().expect("a directory").join(path)
    };
    if !target.exists() {
        return Some(format!("{}: no file {link}", document.display()));
    }
    let heading = heading?;
    let text = fs::read_to_string(&target).expect("a text");
    (!anchors(&text).contains(heading)).then(|| format!("{}: no heading {link}", document.display()))
}

#[test]
fn each_link_leads_to_a_file_and_a_heading() {
    let mut faults = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a text");
        faults.extend(links(&text).filter_map(|link| broken(&document, link)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_named_path_exists() {
    let mut faults = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a text");
        let paths = code(&text).filter(|word| TOP.iter().any(|top| word.starts_with(top)));
        // Capitals are a placeholder: `tests/SUBJECT/`.
        let exact = paths.filter(|path| path.ends_with(".md") || !path.contains(|c: char| c.is_uppercase()));
        let missing = exact.filter(|path| !package().join(path).exists());
        faults.extend(missing.map(|path| format!("{}: {path}", document.display())));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
