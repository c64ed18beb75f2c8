//! What `doctor` is told about a source: where it is read, what it said or why it said nothing, and its cost.

use std::time::{Duration, Instant};

/// Name of the source, where it is read, its value or why there is none, and how long that took.
pub type Inspection = (&'static str, String, Result<String, String>, Duration);

/// Reads a source once and takes the time.
pub fn inspect(
    name: &'static str,
    place: impl Into<String>,
    read: impl FnOnce() -> Result<String, String>,
) -> Inspection {
    let begin = Instant::now();
    let value = read();
    (name, place.into(), value, begin.elapsed())
}
