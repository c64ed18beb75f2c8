//! What a configuration file that is shipped must hold: for the tests of both programs.

use std::path::Path;

/// A file of the project, by its path from the top.
pub fn project_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the code knows, in its own words: it lists them to whoever misspells one.
fn names_known_in(fault: fn(&str) -> String, section: &str) -> Vec<String> {
    let sentence = fault(&format!("{section}\nno_such_key = 1"));
    let (_, list) = sentence.split_once("expected").expect("a list of what is known");
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every section with every key.
pub fn known_keys(fault: fn(&str) -> String) -> Vec<(String, String)> {
    let sections = names_known_in(fault, "");
    let keys = |section: &String| {
        let section = section.clone();
        names_known_in(fault, &format!("[{section}]")).into_iter().map(move |key| (section.clone(), key))
    };
    sections.iter().flat_map(keys).collect()
}

/// `(section, key, is it active)` of each line of a file that is a key or a commented one.
pub fn written_keys(text: &str) -> Vec<(String, String, bool)> {
    let (mut section, mut keys) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        }
        let bare = line.strip_prefix('#').unwrap_or(line);
        let key = bare.split(" = ").next().unwrap_or_default();
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_key && bare.contains(" = ") {
            keys.push((section.clone(), key.to_owned(), bare == line));
        }
    }
    keys
}
