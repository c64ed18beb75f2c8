//! A bearer token from a file or a systemd credential, compared in constant time and never printed.

use crate::config::ConfigError;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// Longer than any token, shorter than any header limit.
const LONGEST: usize = 4096;

/// A bearer token; `Debug` does not print it.
pub struct Token(String);

impl Token {
    /// Reads `file`, or else the systemd credential `credential`; `None` if neither exists. `section` is the section of
    /// the configuration whose `token_file` names the file.
    ///
    /// # Errors
    /// The file cannot be read or is not one line of printable ASCII; the message never contains its content.
    pub fn load(section: &str, file: Option<&Path>, credential: &str) -> Result<Option<Token>, ConfigError> {
        let Some(path) = file.map(Path::to_owned).or_else(|| systemd_credential(credential)) else {
            return Ok(None);
        };
        let fault = |problem: &str| {
            ConfigError::new(format!("[{section}] token_file = \"{}\": {problem}", path.display()))
        };
        let bytes = fs::read(&path).map_err(|error| fault(&format!("cannot be read: {error}")))?;
        let text = std::str::from_utf8(&bytes).unwrap_or("").trim();
        let token = Token::parse(text).ok_or_else(|| {
            fault("must hold one line: the token, up to 4096 printable ASCII characters without spaces")
        })?;
        Ok(Some(token))
    }

    /// `None` if the text cannot be a token.
    pub fn parse(text: &str) -> Option<Token> {
        let is_plain = (1..=LONGEST).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
        is_plain.then(|| Token(text.to_owned()))
    }

    /// The token itself, for the request header only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on the length alone.
    pub fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

fn systemd_credential(name: &str) -> Option<PathBuf> {
    let path = Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    path.exists().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(content: &str) -> Result<Option<Token>, ConfigError> {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("token");
        fs::write(&path, content).expect("written");
        Token::load("api", Some(&path), "no-such-credential")
    }

    #[test]
    fn a_token_is_one_line_without_anything_else() {
        let token = load("hunter2\n").expect("good").expect("there");
        assert_eq!(token.expose(), "hunter2");
        assert!(token.is("hunter2"));
        for other in ["", "hunter", "hunter22", "hunter3", "Hunter2"] {
            assert!(!token.is(other), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_bad_file_is_refused_without_its_content() {
        for content in ["", "\n", "two words", "two\nlines", "n\u{f6}", &"x".repeat(LONGEST + 1)] {
            let sentence = load(content).expect_err("bad").to_string();
            assert!(sentence.starts_with("[api] token_file = ") && !sentence.contains("two"), "{sentence}");
        }
    }
}
