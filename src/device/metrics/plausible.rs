//! The physical range of each metric. A sensor, its driver or its firmware may report a number that no device can
//! have (a broken thermal driver reports -650,788 °C); such a value is absent, with its reason.

use super::terms::Absent;
use std::fmt::Display;
use std::time::Duration;

/// A metric's plausible values, ends included.
#[derive(Debug)]
pub struct Range {
    low: f64,
    high: f64,
    unit: &'static str,
}

/// Processors throttle at 80 to 110 °C and switch off before 150 °C.
pub const TEMPERATURE: Range = Range { low: -50.0, high: 150.0, unit: "°C" };
/// The power supply of a Raspberry Pi 5 delivers 27 W.
pub const POWER: Range = Range { low: 0.0, high: 100.0, unit: "W" };
/// The fastest server fans reach 40,000 RPM.
pub const FAN: Range = Range { low: 0.0, high: 50_000.0, unit: "RPM" };
/// One runnable task for each process id that the kernel can give out (`PID_MAX_LIMIT`, 2^22).
pub const LOAD: Range = Range { low: 0.0, high: 4_194_304.0, unit: "tasks" };
/// Longer than any kernel has been running.
pub const LONGEST_UPTIME: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Range {
    /// The value if it lies within the range.
    ///
    /// # Errors
    /// It does not, or it is not a number; the reason names `source`, the value and the range.
    pub fn check(&self, value: f64, source: impl Display) -> Result<f64, Absent> {
        if self.holds(value) {
            return Ok(value);
        }
        let Range { low, high, unit } = self;
        Err(Absent::because(format!(
            "{source}: {value} {unit} is implausible (expected {low} to {high} {unit})"
        )))
    }

    /// Whether the value lies within the range; false if it is not a number.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// How full something is, in percent; `None` if it has no size, or more is left than there is.
pub fn percent_used(total: u64, left: u64) -> Option<f64> {
    let used = total.checked_sub(left)?;
    (total > 0).then(|| used as f64 / total as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_includes_both_ends() {
        for value in [-50.0, 0.0, 150.0] {
            assert_eq!(TEMPERATURE.check(value, "sensor").expect("plausible"), value);
        }
        for value in [-50.001, 150.001, -650_788.984, f64::NAN, f64::INFINITY] {
            TEMPERATURE.check(value, "sensor").expect_err("implausible");
            assert!(!TEMPERATURE.holds(value));
        }
    }

    #[test]
    fn the_reason_names_source_value_and_range() {
        let reason = TEMPERATURE.check(-650_788.984, "/sys/temp").expect_err("implausible").to_string();
        assert_eq!(reason, "/sys/temp: -650788.984 °C is implausible (expected -50 to 150 °C)");
    }

    #[test]
    fn more_left_than_there_is_has_no_percentage() {
        assert_eq!(percent_used(1000, 600), Some(40.0));
        assert_eq!(percent_used(1000, 0), Some(100.0));
        assert_eq!(percent_used(0, 0), None);
        assert_eq!(percent_used(1000, 1001), None);
    }
}
