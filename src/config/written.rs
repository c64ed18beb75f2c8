//! A configuration file as written: sections of keys, each value of one type, no unknown key.
//!
//! Parsed by hand: the code that serde derives takes 156 KiB of the daemon's program, most of it for error texts that do
//! not help the person who edits the file ("invalid type: integer, expected struct").

use super::period::{Level, PERIOD, Period};
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value with its position in the text.
pub type TomlValue<'t> = Spanned<DeValue<'t>>;

/// An error with its position in the text.
#[derive(Debug)]
pub struct Fault {
    pub span: Range<usize>,
    pub problem: String,
    /// The key that is not known, if that is the problem.
    pub unknown_key: Option<String>,
}

impl Fault {
    pub fn new(span: Range<usize>, problem: impl Into<String>) -> Fault {
        Fault { span, problem: problem.into(), unknown_key: None }
    }
}

/// A type that a value can be parsed to.
pub trait Written: Sized {
    /// # Errors
    /// The value is of another kind.
    fn read(value: TomlValue<'_>) -> Result<Self, Fault>;
}

/// One of a few words.
pub trait Word: Copy + 'static {
    /// Each word with its value.
    const WORDS: &'static [(&'static str, Self)];
}

/// Structs whose fields are the keys of a section. An absent key is the field's default.
#[cfg(any(feature = "device", feature = "monitor", test))]
macro_rules! sections {
    ($(pub struct $section:ident { $(pub $key:ident: $type:ty,)* })*) => {$(
        #[derive(Clone, Default)]
        pub struct $section {
            $(pub $key: $type,)*
        }

        impl $crate::config::written::Written for $section {
            fn read(
                value: $crate::config::written::TomlValue<'_>,
            ) -> Result<Self, $crate::config::written::Fault> {
                let mut keys = $crate::config::written::Keys::of(value, &[$(stringify!($key)),*])?;
                Ok($section { $($key: keys.take(stringify!($key))?,)* })
            }
        }
    )*};
}
#[cfg(any(feature = "device", feature = "monitor", test))]
pub(crate) use sections;

/// The keys of a section that are not parsed yet.
pub struct Keys<'t>(DeTable<'t>);

impl<'t> Keys<'t> {
    /// # Errors
    /// It is no section, or has a key that is not `known`.
    pub fn of(value: TomlValue<'t>, known: &[&str]) -> Result<Keys<'t>, Fault> {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            return Err(Fault::new(span, "expected a section of keys"));
        };
        let unknown = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|key| key.span().start) {
            Some(key) => Err(Fault {
                unknown_key: Some(key.get_ref().to_string()),
                ..outside("unknown key", key.span(), key.get_ref(), known)
            }),
            None => Ok(Keys(table)),
        }
    }

    /// # Errors
    /// The value is not a `T`.
    pub fn take<T: Written + Default>(&mut self, key: &str) -> Result<T, Fault> {
        self.0.remove(key).map_or_else(|| Ok(T::default()), T::read)
    }
}

/// The fault of a word that is not `known`: proposes the nearest one, or lists all.
fn outside(what: &str, span: Range<usize>, found: &str, known: &[&str]) -> Fault {
    if let Some(near) = nearest(found, known) {
        return Fault::new(span, format!("{what} `{found}`, did you mean `{near}`?"));
    }
    let known: Vec<_> = known.iter().map(|word| format!("`{word}`")).collect();
    let known = match &known[..] {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [one, other] => format!("{one} or {other}"),
        _ => format!("one of {}", known.join(", ")),
    };
    Fault::new(span, format!("{what} `{found}`, expected {known}"))
}

/// The key that `found` is probably a typo of: at most a third of its letters are wrong, missing or swapped, or it is part
/// of the key (`token` of `token_file`).
fn nearest<'w>(found: &str, known: &[&'w str]) -> Option<&'w str> {
    let found = found.to_ascii_lowercase().replace('-', "_");
    let distance = |word: &str| strsim::osa_distance(&found, word);
    let near = known.iter().copied().map(|word| (distance(word), word)).min();
    let near = near.filter(|(distance, word)| *distance <= (word.len() / 3).max(1)).map(|(_, word)| word);
    near.or_else(|| known.iter().copied().find(|word| found.len() > 2 && word.starts_with(&found)))
}

impl<T: Written> Written for Option<T> {
    fn read(value: TomlValue<'_>) -> Result<Option<T>, Fault> {
        T::read(value).map(Some)
    }
}

impl<T: Written> Written for Spanned<T> {
    fn read(value: TomlValue<'_>) -> Result<Spanned<T>, Fault> {
        let span = value.span();
        T::read(value).map(|read| Spanned::new(span, read))
    }
}

impl<T: Written> Written for Vec<T> {
    fn read(value: TomlValue<'_>) -> Result<Vec<T>, Fault> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(values) => values.into_iter().map(T::read).collect(),
            _ => Err(Fault::new(span, "expected a list in brackets")),
        }
    }
}

impl Written for String {
    fn read(value: TomlValue<'_>) -> Result<String, Fault> {
        text(value, "a text in quotes").map(Spanned::into_inner)
    }
}

impl Written for bool {
    fn read(value: TomlValue<'_>) -> Result<bool, Fault> {
        value.get_ref().as_bool().ok_or_else(|| Fault::new(value.span(), "expected true or false"))
    }
}

impl Written for u16 {
    fn read(value: TomlValue<'_>) -> Result<u16, Fault> {
        number(&value, u16::MAX.into()).map(|number| number as u16)
    }
}

impl Written for usize {
    fn read(value: TomlValue<'_>) -> Result<usize, Fault> {
        number(&value, u32::MAX).map(|number| number as usize)
    }
}

/// A plain number is a number of seconds, as the systems that this one replaces wrote it.
impl Written for Period {
    fn read(value: TomlValue<'_>) -> Result<Period, Fault> {
        let digits = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
            DeValue::Float(number) => Some(number.as_str()),
            _ => None,
        };
        if let Some(digits) = digits {
            let seconds = digits.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let expected = || Fault::new(value.span(), format!("expected {}", PERIOD));
            return seconds.map(Period).ok_or_else(expected);
        }
        let text = text(value, PERIOD)?;
        text.get_ref().parse().map_err(|problem: String| Fault::new(text.span(), problem))
    }
}

impl<T: Word> Written for T {
    fn read(value: TomlValue<'_>) -> Result<T, Fault> {
        let text = text(value, "a word in quotes")?;
        let found = T::WORDS.iter().find(|(word, _)| word == text.get_ref());
        found.map(|(_, meant)| *meant).ok_or_else(|| {
            let known: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
            outside("unknown word", text.span(), text.get_ref(), &known)
        })
    }
}

impl Word for Level {
    const WORDS: &'static [(&'static str, Level)] =
        &[("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug)];
}

fn text(value: TomlValue<'_>, wanted: &str) -> Result<Spanned<String>, Fault> {
    let span = value.span();
    match value.into_inner() {
        DeValue::String(text) => Ok(Spanned::new(span, text.into_owned())),
        _ => Err(Fault::new(span, format!("expected {wanted}"))),
    }
}

fn number(value: &TomlValue<'_>, most: u32) -> Result<u32, Fault> {
    let digits = value.get_ref().as_integer();
    let number = digits.and_then(|digits| u32::from_str_radix(digits.as_str(), digits.radix()).ok());
    number
        .filter(|number| *number <= most)
        .ok_or_else(|| Fault::new(value.span(), format!("expected a whole number up to {most}")))
}
