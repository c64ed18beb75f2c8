//! Checks of a shipped configuration file, for the tests of both programs.

use std::path::Path;

/// A file of the project, by its path from the top.
pub fn project_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The keys that the code knows, from the error about an unknown key.
fn names_known_in(fault: fn(&str) -> String, section: &str) -> Vec<String> {
    let sentence = fault(&format!("{section}\nno_such_key = 1"));
    let (_, list) = sentence.split_once("expected").expect("a list of what is known");
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every section with every key. `tables`: sections that may stand inside another one several times,
/// `[[section.table]]`.
pub fn known_keys(fault: fn(&str) -> String, tables: &[(&str, &str)]) -> Vec<(String, String)> {
    let keys = |section: String, head: &str| {
        let keys = names_known_in(fault, head).into_iter();
        keys.map(move |key| (section.clone(), key)).collect::<Vec<_>>()
    };
    let sections = names_known_in(fault, "");
    let mut all: Vec<_> =
        sections.into_iter().flat_map(|section| keys(section.clone(), &format!("[{section}]"))).collect();
    for (section, table) in tables {
        let inner = ((*section).to_owned(), (*table).to_owned());
        assert!(all.contains(&inner), "{inner:?}");
        all.retain(|key| *key != inner);
        all.extend(keys(format!("{section}.{table}"), &format!("[[{section}.{table}]]")));
    }
    all
}

/// `(section, key, is it active)` of each line of a file that is a key or a commented one.
pub fn written_keys(text: &str) -> Vec<(String, String, bool)> {
    let (mut section, mut keys) = (String::new(), Vec::new());
    for line in text.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim_matches(['[', ']']).to_owned();
        }
        let key = bare.split(" = ").next().unwrap_or_default();
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_key && bare.contains(" = ") {
            keys.push((section.clone(), key.to_owned(), bare == line));
        }
    }
    keys
}

/// The value of a key in a section of a file, without its comment.
pub fn written_value<'t>(text: &'t str, section: &str, key: &str) -> Option<&'t str> {
    let mut lines = text.lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
    let inside = lines.by_ref().take_while(|line| !line.starts_with('['));
    inside.filter_map(|line| line.split_once(" = ")).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// The cells behind the key in the one row that a document has for it: `| `section.key` | default | what it is |`.
pub fn row<'t>(document: &'t str, section: &str, key: &str) -> Vec<&'t str> {
    let first = format!("| `{section}.{key}` |");
    let mut rows = document.lines().filter_map(|line| line.strip_prefix(&first));
    let row = rows.next().unwrap_or_else(|| panic!("no row begins with {first}"));
    assert!(rows.next().is_none(), "two rows begin with {first}");
    row.trim_end_matches('|').split('|').map(str::trim).collect()
}
