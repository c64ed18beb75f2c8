//! Rust source as tokens, without comments and white space.

/// One token and the line it is on. A string literal keeps its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub fn is_name(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// Splits `source`. Only `::` is a token of two characters; other operators are one token per character.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let length = token_length(rest, first);
            found.push(Token { text: rest[..length].to_owned(), line });
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// Length of the white space or comment that `rest` begins with.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    let length = rest.len() - rest.trim_start().len();
    (length > 0).then_some(length)
}

fn token_length(rest: &str, first: char) -> usize {
    let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    match first {
        '"' => quoted(rest, '"'),
        '\'' => quote_or_lifetime(rest),
        _ if rest.starts_with("::") => 2,
        // r"..", br#".."#, b"..", c"..", b'..'
        _ if name > 0 && matches!(&rest[..name], "r" | "br" | "b" | "c" | "cr") => {
            name + prefixed(&rest[name..], rest[..name].contains('r'))
        }
        _ if name > 0 => name,
        _ => first.len_utf8(),
    }
}

/// Length of the literal behind its prefix; 0 if the prefix was a name.
fn prefixed(rest: &str, raw: bool) -> usize {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if raw && rest[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        return rest[hashes + 1..].find(&end).map_or(rest.len(), |at| hashes + 1 + at + end.len());
    }
    match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(rest, quote),
        _ => 0,
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn quote_or_lifetime(rest: &str) -> usize {
    let mut inside = rest.chars().skip(1);
    let is_char = inside.next() == Some('\\') || inside.next() == Some('\'');
    if is_char { quoted(rest, '\'') } else { 1 }
}

#[test]
fn strings_comments_and_lifetimes_are_distinguished() {
    let source = "use a::b; // use c::d;\nfn f<'a>(x: &'a str) -> char { \"mod x;\"; r#\"\"y\"\"#; b\"\\\"\"; '\"' }\n";
    let found = tokens(source);
    let texts: Vec<_> = found.iter().map(|token| token.text.as_str()).collect();
    let expected = "use a :: b ; fn f < ' a > ( x : & ' a str ) - > char { \"mod_x;\" ; r#\"\"y\"\"# ; b\"\\\"\" ; '\"' }";
    let expected: Vec<_> = expected.split(' ').map(|text| text.replace('_', " ")).collect();
    assert_eq!(texts, expected);
    assert_eq!(found.last().map(|token| token.line), Some(2));
}
