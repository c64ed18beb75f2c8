//! House rules of src/ that a test can check. Reads the source as text, so it needs no feature.

mod documents;
mod imports;
mod source;
mod tokens;

use source::{File, group_length, read_all};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use tokens::{Token, tokens};

const MAX_FILE_LINES: usize = 400;
const MAX_TYPES_OF_ONE_NAME: usize = 2;
const MAX_MEDIAN_FUNCTION_LINES: usize = 8;
const MAX_P95_FUNCTION_LINES: usize = 26;
const MAX_UNSAFE_BLOCKS: usize = 7;
/// The libraries of the database engines, which only the store knows; all others use `store::sql`.
const ENGINES: [&str; 2] = ["rusqlite", "tokio_postgres"];
/// Words that no name contains, and the terms of the field to use.
const REFUSED_WORDS: [(&str, &str); 8] = [
    ("told", "notified, reported, known"),
    ("untold", "unnotified"),
    ("asked", "requested, probed, queried, in_flight"),
    ("ask", "request, probe, query"),
    ("learn", "load, observe"),
    ("learnt", "loaded, observed"),
    ("drowsy", "park, unpark"),
    ("goodbye", "close_notify"),
];

fn files() -> &'static [File] {
    static FILES: LazyLock<Vec<File>> = LazyLock::new(|| read_all(Path::new(env!("CARGO_MANIFEST_DIR"))));
    &FILES
}

fn check(rule: &str, violations: &BTreeMap<String, String>) {
    let lines: Vec<_> = violations.iter().map(|(key, details)| format!("  {key}{details}")).collect();
    assert!(lines.is_empty(), "{rule}:\n{}", lines.join("\n"));
}

#[test]
fn files_do_not_import_each_other_in_a_cycle() {
    let files = files();
    let edges = imports::edges(files);
    let name = |file: usize| files[file].path.trim_start_matches("src/");
    let mut found = BTreeMap::new();
    for (number, cycle) in imports::cycles(&edges, files.len()).iter().enumerate() {
        for (from, to) in cycle {
            let line = edges[&(*from, *to)];
            let details = format!("   (cycle {}, src/{}:{line})", number + 1, name(*from));
            found.insert(format!("{} -> {}", name(*from), name(*to)), details);
        }
    }
    check("import cycles between files", &found);
}

#[test]
fn a_type_name_is_used_twice_at_most() {
    let files = files();
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        for token in type_names(&tokens(&file.text)) {
            places.entry(token.text).or_default().push(format!("{}:{}", file.path, token.line));
        }
    }
    places.retain(|_, places| places.len() > MAX_TYPES_OF_ONE_NAME);
    let found = places.into_iter().map(|(name, places)| (name, format!(": {}", places.join(", ")))).collect();
    check("type names that occur more than twice", &found);
}

/// Names of structs, enums, traits and type aliases; not of associated types.
fn type_names(tokens: &[Token]) -> Vec<Token> {
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let name = tokens.get(at + 1).filter(|next| next.is_name());
        at += match (token.text.as_str(), name) {
            ("struct" | "enum" | "type", Some(name)) => {
                names.push(name.clone());
                1
            }
            ("trait", Some(name)) => {
                names.push(name.clone());
                block_end(&tokens[at..])
            }
            ("impl", _) if is_item_start(tokens, at) => block_end(&tokens[at..]),
            _ => 1,
        };
    }
    names
}

/// False for `impl Trait` as a type.
fn is_item_start(tokens: &[Token], at: usize) -> bool {
    at == 0 || ["}", ";", "{", "]", "unsafe"].contains(&tokens[at - 1].text.as_str())
}

/// Number of tokens up to the end of the first `{ .. }`.
fn block_end(tokens: &[Token]) -> usize {
    let begin = tokens.iter().take_while(|token| !token.is("{")).count();
    begin + group_length(&tokens[begin..])
}

#[test]
fn names_use_the_terms_of_the_field() {
    let mut found = BTreeMap::new();
    for file in files() {
        for token in file.production.iter().filter(|token| token.is_name()) {
            let words = words(&token.text);
            for (word, terms) in REFUSED_WORDS.iter().filter(|(word, _)| words.iter().any(|of| of == word)) {
                let place = format!("{}:{}: {}", file.path, token.line, token.text);
                found.insert(place, format!(" contains \"{word}\"; say {terms}"));
            }
        }
    }
    check("names with a word that has a standard term", &found);
    assert_eq!(words("PortalNotAsked"), ["portal", "not", "asked"]);
    assert_eq!(words("REFUSED_words"), ["refused", "words"]);
}

/// The words of a name in snake case or camel case, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && after_small) {
            words.push(String::new());
        }
        after_small = letter.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| letter != '_') {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn only_the_store_knows_the_database_engines() {
    let mut found = BTreeMap::new();
    for file in files().iter().filter(|file| !file.path.starts_with("src/monitor/store/")) {
        for token in tokens(&file.text).iter().filter(|token| ENGINES.contains(&token.text.as_str())) {
            found.insert(format!("{}:{}", file.path, token.line), format!(": {}", token.text));
        }
    }
    check("uses of an engine's library outside src/monitor/store", &found);
}

/// Everything is synchronous; the client of PostgreSQL is the only one that needs a runtime.
#[test]
fn no_program_depends_on_tokio_without_the_feature_postgres() {
    let tree = |features: &str| {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "--edges=normal", "--prefix=none", "--format={p}"])
            .args(["--no-default-features", "--features", features])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let has_tokio = |features: &str| tree(features).lines().any(|package| package.starts_with("tokio"));
    for features in ["device", "monitor", "device,monitor"] {
        assert!(!has_tokio(features), "{features}");
    }
    assert!(has_tokio("postgres"));
}

#[test]
fn a_file_begins_with_what_it_owns() {
    let missing = files().iter().filter(|file| !file.is_test && !file.text.starts_with("//!"));
    let missing = missing.map(|file| (file.path.clone(), String::new())).collect();
    check("files without a //! at the top", &missing);
}

#[test]
fn a_file_has_at_most_400_lines_without_its_tests() {
    let lines = |file: &File| file.text.lines().count() - file.test_lines;
    let long = files().iter().filter(|file| !file.is_test && lines(file) > MAX_FILE_LINES);
    let long = long.map(|file| (file.path.clone(), format!(": {} lines", lines(file)))).collect();
    check("files of more than 400 lines", &long);
}

#[test]
fn functions_are_short() {
    let mut lengths: Vec<(usize, String)> = Vec::new();
    for file in files() {
        for at in 0..file.production.len() {
            lengths.extend(
                function_lines(&file.production[at..])
                    .map(|lines| (lines, format!("{}:{}", file.path, file.production[at].line))),
            );
        }
    }
    lengths.sort();
    let (median, p95) = (lengths[lengths.len() / 2].0, lengths[lengths.len() * 95 / 100].0);
    println!("{} functions: median {median} lines, p95 {p95}", lengths.len());
    let longest = &lengths[lengths.len() - 20..];
    assert!(median <= MAX_MEDIAN_FUNCTION_LINES, "median {median}");
    assert!(p95 <= MAX_P95_FUNCTION_LINES, "p95 {p95}; the longest: {longest:#?}");
}

/// Lines of the function that begins with the first token, signature and braces included; `None` without a body.
fn function_lines(tokens: &[Token]) -> Option<usize> {
    let is_function = tokens[0].is("fn") && tokens.get(1)?.is_name();
    let mut at = 2;
    while is_function && !tokens.get(at)?.is(";") {
        if tokens[at].is("{") {
            let end = at + group_length(&tokens[at..]) - 1;
            return Some(tokens[end].line - tokens[0].line + 1);
        }
        at += if tokens[at].is("(") || tokens[at].is("[") { group_length(&tokens[at..]) } else { 1 };
    }
    None
}

#[test]
fn unsafe_blocks_are_few() {
    let mut found = Vec::new();
    for file in files() {
        let is_block = |pair: &&[Token]| pair[0].is("unsafe") && !pair[1].is("fn");
        let blocks = file.production.windows(2).filter(is_block);
        found.extend(blocks.map(|pair| format!("{}:{}", file.path, pair[0].line)));
    }
    assert!(found.len() <= MAX_UNSAFE_BLOCKS, "{} unsafe blocks: {found:#?}", found.len());
}

#[test]
fn each_file_below_src_belongs_to_a_module() {
    let known: BTreeSet<_> = files().iter().map(|file| file.path.as_str()).collect();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name =
                path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("below the package").to_string_lossy();
            let is_unknown = path.extension().is_some_and(|kind| kind == "rs") && !known.contains(&*name);
            assert!(!is_unknown, "{name} is in no module");
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}
