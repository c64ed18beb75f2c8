//! Reading a configuration strictly, for both programs.
//!
//! A file has two forms: as written (`serde`, no unknown keys) and as used (checked values). Each fault is one sentence
//! that names file, line, key, value and what is allowed.

use deserializer::TomlValue;
use serde::de::DeserializeOwned;
use std::fmt;
use std::fs;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use period::{Level, Period, within};
pub use variables::Variables;

mod deserializer;
mod period;
#[cfg(test)]
pub mod shipped;
mod variables;

/// Keys whose values are never shown, not even when they are wrong.
const SECRET_KEYS: [&str; 3] = ["token", "password", "device_key"];

/// A secret where it is the key of a line: `/etc/server.key` is none.
const ENROLMENT_KEY: &str = "key";

/// One fault of a configuration, as one sentence.
#[derive(Debug)]
pub struct ConfigError {
    sentence: String,
    is_unreadable: bool,
}

impl ConfigError {
    pub fn new(sentence: impl Into<String>) -> ConfigError {
        ConfigError { sentence: sentence.into(), is_unreadable: false }
    }

    /// Whether the configuration file itself may not be read by this user.
    pub fn is_unreadable(&self) -> bool {
        self.is_unreadable
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for ConfigError {}

/// Where a value came from, for the sentence about it.
pub enum Origin {
    File(Range<usize>),
    /// Name and value; the value as it may be shown.
    Environment(&'static str, String),
    Default,
}

/// A configuration file and its text: what a fault is located in.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    text: String,
    /// Override the file.
    variables: Variables,
}

impl Source {
    /// # Errors
    /// The file cannot be read, or is not UTF-8.
    pub fn read(path: &Path) -> Result<Source, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ConfigError::new(format!(
                "{}: no such file; install.sh puts one there, or name another with --config FILE",
                path.display()
            )),
            // The installed file is closed to others, because it may hold a key or a URL with a token.
            io::ErrorKind::PermissionDenied => ConfigError {
                sentence: format!("cannot read {}: permission denied; run it with sudo", path.display()),
                is_unreadable: true,
            },
            _ => ConfigError::new(format!("cannot read {}: {error}", path.display())),
        })?;
        Ok(Source::new(path, text))
    }

    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Source {
        Source { path: path.into(), text: text.into(), variables: Variables::default() }
    }

    /// The same file with variables of the environment that override it.
    pub fn with_variables(self, variables: Variables) -> Source {
        Source { variables, ..self }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `new_name` describes the key that replaced a key of another system.
    ///
    /// # Errors
    /// The text is not TOML, has a key that `T` does not know, or a value of another type.
    pub fn parse<T: DeserializeOwned>(
        &self,
        new_name: impl Fn(&str) -> Option<String>,
    ) -> Result<T, ConfigError> {
        let table = DeTable::parse(&self.text).map_err(|error| match error.span() {
            Some(span) => self.fault(span, error.message()),
            None => ConfigError::new(format!("{}: {}", self.path.display(), error.message())),
        })?;
        let span = table.span();
        let mut table = table.into_inner();
        self.variables.apply(&mut table, self.text.len());
        let whole = Spanned::new(span, DeValue::Table(table));
        T::deserialize(TomlValue::new(&whole)).map_err(|fault| {
            let renamed = fault
                .unknown_key
                .and_then(|key| Some(format!("unknown key `{key}`; here it is {}", new_name(&key)?)));
            self.fault(fault.span.unwrap_or_default(), &renamed.unwrap_or(fault.problem))
        })
    }

    /// The sentence for a fault of a value from `origin`.
    pub fn fault_of(&self, origin: &Origin, problem: &str) -> ConfigError {
        match origin {
            Origin::File(span) => self.fault(span.clone(), problem),
            Origin::Environment(name, value) => {
                ConfigError::new(format!("environment variable {name}={value}: {problem}"))
            }
            Origin::Default => ConfigError::new(format!("{}: {problem}", self.path.display())),
        }
    }

    /// # Errors
    /// The path is relative: programs under systemd have no directory of their own.
    pub fn absolute(&self, written: Spanned<String>) -> Result<PathBuf, ConfigError> {
        if Path::new(written.get_ref()).is_absolute() {
            return Ok(written.into_inner().into());
        }
        Err(self.fault(written.span(), "the path must start with /"))
    }

    /// # Errors
    /// As [`Source::absolute`].
    pub fn optional_path(&self, written: Option<Spanned<String>>) -> Result<Option<PathBuf>, ConfigError> {
        written.map(|path| self.absolute(path)).transpose()
    }

    /// The values of two `keys` that need each other.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn pair(
        &self,
        keys: [&str; 2],
        written: [Option<Spanned<String>>; 2],
    ) -> Result<Option<[Spanned<String>; 2]>, ConfigError> {
        let (alone, missing) = match written {
            [Some(first), Some(second)] => return Ok(Some([first, second])),
            [None, None] => return Ok(None),
            [Some(alone), None] => (alone, keys[1]),
            [None, Some(alone)] => (alone, keys[0]),
        };
        Err(self.fault(alone.span(), &format!("needs {missing} beside it")))
    }

    /// # Errors
    /// The number is outside `allowed`.
    pub fn number<T: Copy + PartialOrd + fmt::Display>(
        &self,
        written: Option<Spanned<T>>,
        default: T,
        allowed: RangeInclusive<T>,
    ) -> Result<T, ConfigError> {
        let Some(written) = written else { return Ok(default) };
        if allowed.contains(written.get_ref()) {
            return Ok(written.into_inner());
        }
        let problem = format!("must be from {} to {}", allowed.start(), allowed.end());
        Err(self.fault(written.span(), &problem))
    }

    /// # Errors
    /// The period is outside `allowed`.
    pub fn period(
        &self,
        written: Option<Spanned<Period>>,
        default: &str,
        allowed: &RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        Ok(self.period_or(None, written, default, allowed)?.0)
    }

    /// The period of an environment variable, else the file's, else the default; with its origin.
    ///
    /// # Errors
    /// The variable is not a period, or the period is outside `allowed`.
    pub fn period_or(
        &self,
        variable: Option<(Result<Period, String>, Origin)>,
        written: Option<Spanned<Period>>,
        default: &str,
        allowed: &RangeInclusive<Duration>,
    ) -> Result<(Duration, Origin), ConfigError> {
        let (period, origin) = match (variable, written) {
            (Some(variable), _) => variable,
            (None, Some(written)) => (Ok(*written.get_ref()), Origin::File(written.span())),
            (None, None) => (default.parse(), Origin::Default),
        };
        match period.and_then(|period| within(period.0, allowed)) {
            Ok(period) => Ok((period, origin)),
            Err(problem) => Err(self.fault_of(&origin, &problem)),
        }
    }

    /// The sentence for a fault at `span`: file, line, key and value, then `problem`.
    pub fn fault(&self, span: Range<usize>, problem: &str) -> ConfigError {
        if let Some(line) = self.variables.line_at(&span, self.text.len()) {
            let hidden = holds_secret(&line) || problem.starts_with("unknown key");
            let place = self.variables.at(&span, self.text.len(), hidden).unwrap_or_default();
            return ConfigError::new(format!("{place}: {problem}"));
        }
        // A fault may be at the end of the file, and a span may end inside a character of a bad file.
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line_number = before.matches('\n').count() + 1;
        let line = self.text.lines().nth(line_number - 1).unwrap_or("");
        let section = before
            .lines()
            .rev()
            .find_map(|l| l.trim().strip_prefix('[')?.split(']').next().map(|s| s.trim_matches('[')))
            .map(|s| format!("[{s}] "))
            .unwrap_or_default();
        let place = format!("{}:{line_number}: {section}", self.path.display());
        // The key of an unknown or misspelt setting says enough; its value may be a secret.
        let hidden = holds_secret(line) || problem.starts_with("unknown key");
        match shown(line, hidden) {
            Some(shown) => ConfigError::new(format!("{place}{shown}: {problem}")),
            None => ConfigError::new(format!("{place}{problem}")),
        }
    }
}

/// What a fault shows of its line: a plain `key = value`, or the key alone. Any other line may be the inside of
/// a longer value.
fn shown(line: &str, hidden: bool) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    plain.then_some(if hidden { key } else { line.trim() })
}

/// Whether a secret key stands anywhere in `line` (quoted, dotted, in an inline table, in a URL's query), or a
/// URL with a part in which a secret may stand.
fn holds_secret(line: &str) -> bool {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    let url = line.split_once("://").is_some_and(|(_, rest)| rest.contains(['@', '?']));
    let key = line.split('=').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    url || key == ENROLMENT_KEY || words.into_iter().any(|word| SECRET_KEYS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Sample {
        heartbeat: SampleSection,
    }

    #[derive(Default, Deserialize)]
    struct SampleSection {
        interval: Option<Period>,
    }

    fn fault(text: &str) -> String {
        let read =
            Source::new("/etc/x.toml", text).parse::<Sample>(|_| None).map(|file| file.heartbeat.interval);
        read.expect_err("a fault").to_string()
    }

    #[test]
    fn a_fault_names_file_line_section_key_value_and_what_is_allowed() {
        let sentence = fault("# one\n[heartbeat]\ninterval = \"5 parsecs\"\n");
        assert_eq!(
            sentence,
            "/etc/x.toml:3: [heartbeat] interval = \"5 parsecs\": \
             expected a duration such as \"250ms\", \"5s\", \"2m\" or \"1h\""
        );
    }

    #[test]
    fn an_unknown_key_is_named_without_its_value_which_may_be_a_secret() {
        let sentence = fault("[heartbeat]\ntokn = \"hunter2\"\n");
        assert!(sentence.starts_with("/etc/x.toml:2: [heartbeat] tokn: unknown key `tokn`"), "{sentence}");
        assert!(sentence.contains("expected `interval`"), "{sentence}");
        assert!(!sentence.contains("hunter2"), "{sentence}");
    }

    #[test]
    fn a_misspelt_key_or_section_gets_the_nearest_one_proposed() {
        for (text, near) in [
            ("[heartbeat]\nintervall = \"5s\"\n", "interval"),
            ("[heartbeat]\nInterval = \"5s\"\n", "interval"),
            ("[heartbeat]\ninetrval = \"5s\"\n", "interval"),
            ("[heartbeat]\ninter = \"5s\"\n", "interval"),
            ("[heatbeat]\ninterval = \"5s\"\n", "heartbeat"),
        ] {
            let sentence = fault(text);
            assert!(sentence.ends_with(&format!(", did you mean `{near}`?")), "{sentence}");
        }
    }

    #[test]
    fn a_url_is_shown_unless_it_may_contain_a_secret() {
        let shows = |url: &str| fault(&format!("[heartbeat]\ninterval = \"{url}\"")).contains(url);
        assert!(shows("htp://barn.example/heartbeat"));
        assert!(!shows("http://barn:hunter2@barn.example/"));
        assert!(!shows("http://barn.example/?t=hunter2"));
    }

    #[test]
    fn text_that_is_not_toml_is_located_too() {
        assert!(fault("[heartbeat\n").starts_with("/etc/x.toml:1: "));
    }

    #[test]
    fn a_plain_number_is_a_number_of_seconds() {
        let read = |text: &str| {
            let source = Source::new("/etc/x.toml", format!("[heartbeat]\ninterval = {text}\n"));
            source.parse::<Sample>(|_| None).map(|file| file.heartbeat.interval.map(|period| period.0))
        };
        for (text, milliseconds) in [("5", 5000), ("2.5", 2500), ("0", 0), ("3600", 3_600_000)] {
            assert_eq!(read(text).expect("seconds"), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["-5", "nan", "inf", "1e300", "0x10", "true", "[5]"] {
            let sentence = read(text).expect_err("no time").to_string();
            assert!(sentence.contains("expected a duration such as"), "{sentence}");
        }
    }
}
