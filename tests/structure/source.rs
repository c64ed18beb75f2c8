//! The files below src/: their modules, their items, and which of it is only for tests.

use crate::tokens::{Token, tokens};
use std::fs;
use std::path::{Path, PathBuf};

/// One source file. The root of the library is the first one.
#[derive(Debug)]
pub struct File {
    /// Relative to the package, with `/`.
    pub path: String,
    pub text: String,
    /// Index of the file that declares this one as `mod`.
    pub parent: Option<usize>,
    pub name: String,
    /// Declared by a `mod` that only tests compile.
    pub is_test: bool,
    /// Tokens of all items that are not only for tests; empty in a test file.
    pub production: Vec<Token>,
    /// Lines of items that are only for tests.
    pub test_lines: usize,
}

/// All files that `src/lib.rs` reaches, and those of `src/bin`.
pub fn read_all(package: &Path) -> Vec<File> {
    let mut files = Vec::new();
    read_module(package, Path::new("src/lib.rs"), "crate", None, false, &mut files);
    for entry in fs::read_dir(package.join("src/bin")).expect("src/bin") {
        let program = Path::new("src/bin").join(entry.expect("an entry").file_name());
        let path = if package.join(&program).is_dir() { program.join("main.rs") } else { program };
        read_module(package, &path, "bin", None, false, &mut files);
    }
    files
}

fn read_module(
    package: &Path,
    path: &Path,
    name: &str,
    parent: Option<usize>,
    is_test: bool,
    files: &mut Vec<File>,
) {
    let text = fs::read_to_string(package.join(path)).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let (production, tests, test_lines) = split(tokens(&text));
    let children: Vec<_> = [(&production, is_test), (&tests, true)]
        .into_iter()
        .flat_map(|(tokens, is_test)| declared_modules(tokens).map(move |name| (name.to_owned(), is_test)))
        .collect();
    let index = files.len();
    files.push(File {
        path: path.to_string_lossy().into_owned(),
        text,
        parent,
        name: name.to_owned(),
        is_test,
        test_lines,
        production: if is_test { Vec::new() } else { production },
    });
    for (child, is_test) in children {
        // Not found: `#[path]` leads out of src/.
        if let Some(path) = child_path(package, path, &child) {
            read_module(package, &path, &child, Some(index), is_test, files);
        }
    }
}

fn child_path(package: &Path, parent: &Path, child: &str) -> Option<PathBuf> {
    let folder = match parent.file_name()?.to_str()? {
        "mod.rs" | "lib.rs" | "main.rs" => parent.parent()?.to_owned(),
        _ => parent.with_extension(""),
    };
    let candidates = [folder.join(format!("{child}.rs")), folder.join(child).join("mod.rs")];
    candidates.into_iter().find(|path| package.join(path).exists())
}

/// Names in `mod name;`.
fn declared_modules(tokens: &[Token]) -> impl Iterator<Item = &str> {
    tokens
        .windows(3)
        .filter(|window| window[0].is("mod") && window[2].is(";"))
        .map(|window| window[1].text.as_str())
}

/// Separates items under `#[cfg(test)]`, or `cfg(any(test, ..))`, from all others, and counts the lines of the former.
fn split(tokens: Vec<Token>) -> (Vec<Token>, Vec<Token>, usize) {
    let (mut production, mut tests, mut test_lines) = (Vec::new(), Vec::new(), 0);
    let mut at = 0;
    while at < tokens.len() {
        let attribute = attribute_length(&tokens[at..]);
        if attribute > 0 && is_test_only(&tokens[at..at + attribute]) {
            let item = &tokens[at..at + item_length(&tokens[at..])];
            test_lines += item[item.len() - 1].line - item[0].line + 1;
            tests.extend_from_slice(item);
            at += item.len();
        } else {
            let length = attribute.max(1);
            production.extend_from_slice(&tokens[at..at + length]);
            at += length;
        }
    }
    (production, tests, test_lines)
}

fn is_test_only(attribute: &[Token]) -> bool {
    let has = |text| attribute.iter().any(|token| token.is(text));
    has("cfg") && has("test") && !has("not")
}

/// Number of tokens of the attribute at the front; 0 if there is none.
fn attribute_length(tokens: &[Token]) -> usize {
    match tokens {
        [hash, open, ..] if hash.is("#") && open.is("[") => 1 + group_length(&tokens[1..]),
        _ => 0,
    }
}

/// Number of tokens up to the bracket that closes the first one.
pub fn group_length(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// Number of tokens of one item or field with its attributes.
fn item_length(tokens: &[Token]) -> usize {
    let mut at = 0;
    while attribute_length(&tokens[at..]) > 0 {
        at += attribute_length(&tokens[at..]);
    }
    let is_field = tokens.get(at + 1).is_some_and(|token| token.is(":"));
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "," if is_field => return at + 1,
            // The end of a struct or enum whose last field this is.
            "}" => return at,
            "{" => return at + group_length(&tokens[at..]),
            "(" | "[" => at += group_length(&tokens[at..]),
            _ => at += 1,
        }
    }
    tokens.len()
}

#[test]
fn items_for_tests_are_separated() {
    let source = "use a; #[cfg(test)] mod tests { fn x() { ; } } #[derive(A)] struct S { a: u8, #[cfg(any(test, b))] c: [u8; 2] } #[cfg(not(test))] fn f() {}";
    let (production, tests, _) = split(tokens(source));
    let text = |tokens: Vec<Token>| tokens.into_iter().map(|token| token.text).collect::<String>();
    assert_eq!(text(production), "usea;#[derive(A)]structS{a:u8,}#[cfg(not(test))]fnf(){}");
    assert_eq!(text(tests), "#[cfg(test)]modtests{fnx(){;}}#[cfg(any(test,b))]c:[u8;2]");
}
