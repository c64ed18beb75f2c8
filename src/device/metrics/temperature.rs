//! The processor's temperature: thermal zone, else hwmon, else the firmware.
//!
//! sysfs comes first because a read costs 0.04 ms, a question to the firmware 2.65 ms by ioctl and 14 ms by program,
//! and both tell of the same sensor.

use super::firmware::{Firmware, Question};
use super::hwmon;
use super::plausible;
use super::reading::Reading;
use super::source::{Absent, Place, Sought, Source, Turn, read_parsed};
use super::terms::Cadence;
use crate::device::os::file::KeptFile;
use std::fs;
use std::path::{Path, PathBuf};

/// Sensors of processors in the hwmon class: Raspberry Pi, Intel, AMD.
const HWMON: [&str; 3] = ["cpu_thermal", "coretemp", "k10temp"];

#[derive(Debug)]
pub struct Temperature {
    sysfs: Sought<KeptFile>,
    /// False where the firmware is slow and sysfs was there at start: then nothing slow is ever asked.
    use_firmware: bool,
    pace: Cadence,
}

impl Temperature {
    pub fn new(root: &Path, firmware: &Firmware) -> Temperature {
        let sysfs = Sought::new(root, |root| Some(KeptFile::new(sensor(root)?)));
        let quick = firmware.pace() == Cadence::EachSample;
        let pace = if sysfs.found().is_some() { Cadence::EachSample } else { firmware.pace() };
        Temperature { use_firmware: quick || sysfs.found().is_none(), pace, sysfs }
    }

    pub fn pace(&self) -> Cadence {
        self.pace
    }
}

impl Source for Temperature {
    type Value = f64;

    fn name(&self) -> &'static str {
        "temperature"
    }

    fn place(&self, firmware: &Firmware) -> Place {
        match self.sysfs.found() {
            Some(file) => Place::file(file.path()),
            None => firmware.place(Question::MeasureTemp),
        }
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<f64, Absent> {
        let sysfs = self.sysfs.read(turn.now, "no sensor of the processor in thermal or hwmon", |file| {
            let degrees = read_parsed(file, millidegrees)?;
            plausible::TEMPERATURE.check(degrees, file.path().display())
        });
        match sysfs {
            Err(error) if self.use_firmware => self.by_firmware(turn, error),
            sysfs => sysfs,
        }
    }

    fn put(&self, value: &f64, reading: &mut Reading) {
        reading.values.temp = Some(*value);
    }

    fn show(&self, value: &f64) -> String {
        format!("{value:.1} °C")
    }
}

impl Temperature {
    /// `sysfs` is why that had nothing; it is the reason given where there is no firmware to ask.
    fn by_firmware(&mut self, turn: &mut Turn<'_>, sysfs: Absent) -> Result<f64, Absent> {
        match turn.firmware.query(Question::MeasureTemp, turn.now, turn.limit) {
            Ok(text) => degrees(&text)
                .ok_or_else(|| Absent::because(format!("measure_temp: not understood: {text:?}")))
                .and_then(|degrees| plausible::TEMPERATURE.check(degrees, "measure_temp")),
            Err(Absent::ForGood(_)) => {
                // A driver may load later: only the firmware is out of the question.
                self.use_firmware = false;
                Err(sysfs)
            }
            Err(error) => Err(error),
        }
    }
}

/// The zone that is the processor's, or the best guess.
fn sensor(root: &Path) -> Option<PathBuf> {
    let zones = hwmon::entries(&root.join("sys/class/thermal"));
    let ranked = zones.into_iter().filter_map(|zone| {
        let kind = fs::read_to_string(zone.join("type")).ok()?;
        zone.join("temp").is_file().then_some((rank(kind.trim())?, zone))
    });
    // The first of equals: hwmon::entries sorts.
    let zone = ranked.min_by_key(|(rank, _)| *rank).map(|(_, zone)| zone.join("temp"));
    zone.or_else(|| {
        let sensors = HWMON.iter().filter_map(|name| hwmon::named(root, name));
        sensors.map(|sensor| sensor.join("temp1_input")).find(|file| file.is_file())
    })
}

/// Only zones that name the processor: `acpitz` of a PC, or a Wi-Fi card, measures something else.
fn rank(kind: &str) -> Option<u8> {
    match kind {
        "cpu-thermal" | "cpu_thermal" => Some(0),
        "bcm2835_thermal" | "x86_pkg_temp" => Some(1),
        _ if kind.contains("cpu") => Some(2),
        _ if kind.contains("soc") => Some(3),
        _ => None,
    }
}

fn millidegrees(text: &str) -> Option<f64> {
    Some(f64::from(text.parse::<i32>().ok()?) / 1000.0)
}

/// `temp=49.9'C`
fn degrees(text: &str) -> Option<f64> {
    let degrees: f64 = text.strip_prefix("temp=")?.strip_suffix("'C")?.parse().ok()?;
    degrees.is_finite().then_some(degrees)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_read() {
        assert_eq!(millidegrees("43816"), Some(43.816));
        assert_eq!(millidegrees("-5000"), Some(-5.0));
        assert_eq!(degrees("temp=49.9'C"), Some(49.9));
    }

    #[test]
    fn garbage_is_absent() {
        for text in ["", "N/A", "43.8", "99999999999"] {
            assert_eq!(millidegrees(text), None, "{text}");
        }
        for text in ["", "temp=", "temp='C", "temp=NaN'C", "temp=49.9", "volt=1.2000V"] {
            assert_eq!(degrees(text), None, "{text}");
        }
    }

    #[test]
    fn a_temperature_that_no_processor_has_is_absent_with_its_reason() {
        let root = tempfile::tempdir().expect("a directory");
        let zone = root.path().join("sys/class/thermal/thermal_zone0");
        fs::create_dir_all(&zone).expect("created");
        fs::write(zone.join("type"), "cpu-thermal\n").expect("written");
        for (millidegrees, expected) in [
            ("48850", Some(48.85)),
            ("-50000", Some(-50.0)),
            ("150000", Some(150.0)),
            ("-650788984", None),
            ("-273200", None),
            ("-50001", None),
            ("150001", None),
            ("85000000", None),
            ("2147483647", None),
        ] {
            fs::write(zone.join("temp"), millidegrees).expect("written");
            let mut firmware = Firmware::choose(root.path());
            let mut temperature = Temperature::new(root.path(), &firmware);
            let mut turn = Turn {
                now: std::time::Instant::now(),
                limit: std::time::Duration::ZERO,
                firmware: &mut firmware,
            };
            match (temperature.read(&mut turn), expected) {
                (Ok(degrees), Some(expected)) => assert_eq!(degrees, expected),
                (Err(reason), None) => {
                    let reason = reason.to_string();
                    assert!(
                        reason.contains("thermal_zone0/temp") && reason.contains("implausible"),
                        "{reason}"
                    );
                }
                (result, _) => panic!("{millidegrees}: {result:?}"),
            }
        }
    }

    #[test]
    fn the_processors_zone_is_found_behind_others() {
        let root = tempfile::tempdir().expect("a directory");
        for (zone, kind) in [(0, "acpitz"), (1, "x86_pkg_temp"), (2, "cpu-thermal"), (3, "soc-thermal")] {
            let zone = root.path().join(format!("sys/class/thermal/thermal_zone{zone}"));
            fs::create_dir_all(&zone).expect("created");
            fs::write(zone.join("type"), kind).expect("written");
            fs::write(zone.join("temp"), "40000\n").expect("written");
        }
        let found = sensor(root.path()).expect("found");
        assert!(found.ends_with("thermal_zone2/temp"), "{}", found.display());
    }

    #[test]
    fn a_zone_of_another_part_is_not_used_as_the_processors() {
        let root = tempfile::tempdir().expect("a directory");
        let zone = root.path().join("sys/class/thermal/thermal_zone0");
        fs::create_dir_all(&zone).expect("created");
        fs::write(zone.join("type"), "iwlwifi_1\n").expect("written");
        fs::write(zone.join("temp"), "40000\n").expect("written");
        assert_eq!(sensor(root.path()), None);
    }
}
