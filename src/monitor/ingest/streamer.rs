//! RPI Streamer's heartbeats: `POST /heartbeat.php`, and the older `GET /heartbeat.php?params=<url-encoded JSON>`.
//!
//! The fields are those of our own heartbeat, with units after the numbers ("48.8°C", "2.45 W", "3038 RPM") and "--" for
//! unreadable values. `native` reads both, so our daemon can use the original's URL without configuring a format.

use super::malformed::{Cause, Malformed};
use percent_encoding::percent_decode;

/// The decoded JSON in a query.
pub fn params(query: &str) -> Result<Vec<u8>, Malformed> {
    let value = parameter(query, "params")
        .ok_or(Malformed::new(Cause::Missing, "a GET needs ?params=<url-encoded JSON>"))?;
    Ok(decoded(value))
}

/// The value of `name` in a query, still encoded.
pub fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Decodes form encoding, where a plus is a space.
fn decoded(value: &str) -> Vec<u8> {
    let spaced = value.replace('+', " ");
    percent_decode(spaced.as_bytes()).collect()
}
