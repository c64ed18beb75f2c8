//! Environment variables that set keys of a configuration: `PREFIX_SECTION_KEY`, for containers.
//!
//! A variable holds the value as the file does; the quotes of a text may be left out. `PREFIX_SECTION_KEY_FILE` names a
//! file that holds it, for secrets. Unknown names are errors, like unknown keys. An empty variable counts as not set,
//! because compose files write one for `${NAME:-}`.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// More than any value; a file of this size is a mistake.
const LONGEST_FILE: u64 = 64 * 1024;

/// One variable of the environment.
#[derive(Debug, Clone)]
struct Variable {
    name: String,
    section: String,
    key: String,
    value: String,
    /// The value is from a file, so it may be a secret.
    is_from_file: bool,
}

/// Variables that override a configuration file.
#[derive(Debug, Clone, Default)]
pub struct Variables(Vec<Variable>);

impl Variables {
    /// The variables whose names begin with `prefix`. `file_keys`: keys that end in `_file` in the file too.
    ///
    /// # Errors
    /// A name without section or key, a key that is set twice, or a file that cannot be read.
    pub fn read(
        prefix: &str,
        file_keys: &[&str],
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Variables, String> {
        let mut variables: Vec<Variable> = Vec::new();
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            if value.is_empty() {
                continue;
            }
            let variable = Variable::new(&name, rest, value, file_keys)?;
            if let Some(other) = variables.iter().find(|other| other.place() == variable.place()) {
                return Err(format!("environment variables {} and {name} set the same key", other.name));
            }
            variables.push(variable);
        }
        variables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Variables(variables))
    }

    /// Puts the values into `table`, which was parsed from a text of `length` bytes. Their positions are behind the text:
    /// see [`Variables::at`].
    pub fn apply<'t>(&'t self, table: &mut DeTable<'t>, length: usize) {
        for (number, variable) in self.0.iter().enumerate() {
            let span = length + 1 + number..length + 2 + number;
            let section = Spanned::new(span.clone(), Cow::from(variable.section.as_str()));
            let empty = || Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
            // Anything else in place of a section is reported as the file's fault.
            if let DeValue::Table(keys) = table.entry(section).or_insert_with(empty).get_mut() {
                let key = Spanned::new(span.clone(), Cow::from(variable.key.as_str()));
                // The key in the file has another position, which would stay.
                keys.remove(variable.key.as_str());
                keys.insert(key, variable.value(&span));
            }
        }
    }

    /// The beginning of a sentence about the variable at a position behind the text; without the value if `hidden`.
    pub fn at(&self, span: &Range<usize>, length: usize, hidden: bool) -> Option<String> {
        let variable = self.0.get(span.start.checked_sub(length + 1)?)?;
        Some(if hidden || variable.is_from_file {
            format!("environment variable {}", variable.name)
        } else {
            format!("environment variable {}={}", variable.name, variable.value)
        })
    }

    /// `key = value` of the variable at a position, to decide whether it holds a secret.
    pub fn line_at(&self, span: &Range<usize>, length: usize) -> Option<String> {
        let variable = self.0.get(span.start.checked_sub(length + 1)?)?;
        Some(format!("{} = {}", variable.key, variable.value))
    }
}

impl Variable {
    fn new(name: &str, rest: &str, value: String, file_keys: &[&str]) -> Result<Variable, String> {
        let rest = rest.to_ascii_lowercase();
        let Some((section, key)) =
            rest.split_once('_').filter(|(section, key)| !section.is_empty() && !key.is_empty())
        else {
            return Err(format!(
                "environment variable {name}: a name is prefix, section and key, such as ..._LOG_LEVEL"
            ));
        };
        let (section, plain) = (section.to_owned(), key.to_owned());
        match key.strip_suffix("_file").filter(|_| !file_keys.contains(&key)) {
            None => Ok(Variable { name: name.to_owned(), section, key: plain, value, is_from_file: false }),
            Some(key) => {
                let value = content(&value)
                    .map_err(|problem| format!("environment variable {name}={value}: {problem}"))?;
                Ok(Variable {
                    name: name.to_owned(),
                    section,
                    key: key.to_owned(),
                    value,
                    is_from_file: true,
                })
            }
        }
    }

    fn place(&self) -> (&str, &str) {
        (&self.section, &self.key)
    }

    /// true, a whole number, a list or a text in quotes, as TOML reads it; anything else is a text without quotes.
    fn value(&self, span: &Range<usize>) -> Spanned<DeValue<'_>> {
        let as_written = DeValue::parse(&self.value).ok().map(Spanned::into_inner).filter(|value| {
            matches!(
                value,
                DeValue::Boolean(_) | DeValue::Integer(_) | DeValue::Array(_) | DeValue::String(_)
            )
        });
        let value = as_written.unwrap_or_else(|| DeValue::String(Cow::from(self.value.as_str())));
        Spanned::new(span.clone(), moved(value, span))
    }
}

/// The same value with `span` as the position of each element, which is relative to the variable otherwise.
fn moved<'t>(value: DeValue<'t>, span: &Range<usize>) -> DeValue<'t> {
    match value {
        DeValue::Array(elements) => {
            let at_span =
                |element: Spanned<DeValue<'t>>| Spanned::new(span.clone(), moved(element.into_inner(), span));
            DeValue::Array(elements.into_iter().map(at_span).collect())
        }
        other => other,
    }
}

/// The content of a file, without the line break at its end.
fn content(path: &str) -> Result<String, String> {
    if !Path::new(path).is_absolute() {
        return Err("the path must start with /".to_owned());
    }
    let about = std::fs::metadata(path).map_err(|error| format!("cannot read the file: {error}"))?;
    if about.len() > LONGEST_FILE {
        return Err(format!("the file has more than {LONGEST_FILE} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read the file: {error}"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Variables, String> {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Variables::read("X_", &["key_file"], owned)
    }

    #[test]
    fn a_name_is_section_and_key_and_a_file_holds_the_value_unless_the_key_is_one_of_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("secret");
        std::fs::write(&file, "hunter2\n").expect("written");
        let path = file.to_str().expect("UTF-8");
        let variables =
            read(&[("X_SMTP_USER_FILE", path), ("X_HTTP_KEY_FILE", "/k"), ("Y_A_B", "1"), ("X_A_B", "")]);
        let variables = variables.expect("two variables").0;
        let found: Vec<_> = variables.iter().map(|it| (&*it.section, &*it.key, &*it.value)).collect();
        assert_eq!(found, [("http", "key_file", "/k"), ("smtp", "user", "hunter2")]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_name() {
        for (variables, words) in [
            (&[("X_LEVEL", "1")][..], "environment variable X_LEVEL: a name is"),
            (
                &[("X_A_B_FILE", "/no/such/file")],
                "X_A_B_FILE=/no/such/file: cannot read the file: No such file",
            ),
            (&[("X_A_B_FILE", "secret")], "the path must start with /"),
            (&[("X_A_B", "1"), ("X_A_B_FILE", "/proc/self/comm")], "X_A_B and X_A_B_FILE set the same key"),
        ] {
            let sentence = read(variables).expect_err("refused");
            assert!(sentence.contains(words), "{sentence}");
        }
    }
}
