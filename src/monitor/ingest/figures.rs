//! Valid ranges of received numbers: a number outside its range is absent, never clamped.

use std::time::Duration;

pub const PERCENT: &[&str] = &["%"];
pub const CELSIUS: &[&str] = &["°C", "C", "'C"];
pub const WATT: &[&str] = &["W"];
pub const NO_UNIT: &[&str] = &[];

/// A day, the longest interval that makes sense for monitoring.
const MAX_INTERVAL_S: f64 = 86_400.0;

pub fn percent(number: Option<f64>) -> Option<f32> {
    within(number, 0.0, 100.0)
}

/// From below to above what electronics survive.
pub fn celsius(number: Option<f64>) -> Option<f32> {
    within(number, -90.0, 250.0)
}

pub fn watts(number: Option<f64>) -> Option<f32> {
    within(number, 0.0, 3_000.0)
}

pub fn load(number: Option<f64>) -> Option<f32> {
    within(number, 0.0, 3_000.0)
}

/// A fan cannot turn faster.
pub fn rpm(number: Option<f64>) -> Option<f32> {
    within(number, 0.0, 100_000.0)
}

/// Strength of a radio signal, dBm; 0 is what drivers report that cannot measure it.
pub fn dbm(number: Option<f64>) -> Option<f32> {
    within(number, -120.0, -1.0)
}

pub fn interval(seconds: Option<f64>) -> Option<Duration> {
    let seconds = seconds.filter(|seconds| (0.001..=MAX_INTERVAL_S).contains(seconds))?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whole seconds; `None` if negative.
pub fn age(seconds: Option<f64>) -> Option<Duration> {
    let seconds = seconds.filter(|seconds| *seconds >= 0.0)?;
    // Saturates, which is older than anything that is kept.
    Some(Duration::from_secs(seconds as u64))
}

fn within(number: Option<f64>, least: f64, most: f64) -> Option<f32> {
    number.filter(|number| (least..=most).contains(number)).map(|number| number as f32)
}
