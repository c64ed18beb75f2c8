//! Values that both configurations contain: durations and the log level.

use log::LevelFilter;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// `[log] level`, as it is written.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> LevelFilter {
        match level {
            Level::Error => LevelFilter::Error,
            Level::Warn => LevelFilter::Warn,
            Level::Info => LevelFilter::Info,
            Level::Debug => LevelFilter::Debug,
        }
    }
}

/// A duration as it is written: `"250ms"`, `"5s"`, `"2m"`, `"1h"`, `"7d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

/// The form of a period, for the error message.
const PERIOD: &str = "a duration such as \"250ms\", \"5s\", \"2m\" or \"1h\"";

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Period, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let milliseconds = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(format!("expected {PERIOD}")),
        };
        let number: u64 = number.parse().map_err(|_| format!("expected {PERIOD}"))?;
        let milliseconds = number.checked_mul(milliseconds).ok_or("too long")?;
        Ok(Period(Duration::from_millis(milliseconds)))
    }
}

/// A plain number is a number of seconds, as the systems that this one replaces wrote it.
impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
        deserializer.deserialize_any(PeriodVisitor)
    }
}

struct PeriodVisitor;

impl Visitor<'_> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PERIOD)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Period, E> {
        let period = Duration::try_from_secs_f64(seconds).map(Period);
        period.map_err(|_| E::custom(format_args!("expected {PERIOD}")))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        match milliseconds {
            0 => f.write_str("0s"),
            n if n % 3_600_000 == 0 => write!(f, "{}h", n / 3_600_000),
            n if n % 60_000 == 0 => write!(f, "{}m", n / 60_000),
            n if n % 1_000 == 0 => write!(f, "{}s", n / 1_000),
            n => write!(f, "{n}ms"),
        }
    }
}

/// # Errors
/// The period is outside `allowed`.
pub fn within(period: Duration, allowed: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let (from, to) = (Period(*allowed.start()), Period(*allowed.end()));
    let problem = || format!("must be from \"{from}\" to \"{to}\"");
    allowed.contains(&period).then_some(period).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_read_and_written_in_the_largest_whole_unit() {
        for (text, milliseconds) in [("250ms", 250), ("5s", 5_000), ("2m", 120_000), ("1h", 3_600_000)] {
            let period: Period = text.parse().expect("a period");
            assert_eq!(period.0, Duration::from_millis(milliseconds));
            assert_eq!(period.to_string(), text);
        }
        for text in ["", "5", "s", "-5s", "5.5s", "5 s x", "99999999999999999999s", "18446744073709551615h"] {
            text.parse::<Period>().expect_err(text);
        }
    }
}
