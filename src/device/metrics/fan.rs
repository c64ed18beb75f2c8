//! The fan of a Raspberry Pi 5, or another one that the `pwm-fan` driver runs.

use super::firmware::Firmware;
use super::hwmon;
use super::plausible;
use super::reading::Reading;
use super::source::{Absent, Place, Sought, Source, Turn, read_parsed};
use crate::device::os::file::KeptFile;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Fan(Sought<Files>);

#[derive(Debug)]
struct Files {
    rpm: Option<KeptFile>,
    pwm: Option<KeptFile>,
    /// The tachometer has counted something. Not every fan has one, and the file is there without it.
    counts: bool,
}

/// At least one is there. A fan may report 0 RPM while it turns slowly, so the duty cycle is reported too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    rpm: Option<u32>,
    /// Duty cycle, 0 to 255.
    pwm: Option<u8>,
}

impl Fan {
    pub fn new(root: &Path) -> Fan {
        Fan(Sought::new(root, |root| files(&directory(root)?)))
    }
}

impl Source for Fan {
    type Value = Speed;

    fn name(&self) -> &'static str {
        "fan"
    }

    fn place(&self, _: &Firmware) -> Place {
        match self.0.found().and_then(|files| files.rpm.as_ref().or(files.pwm.as_ref())) {
            Some(file) => Place::file(file.path()),
            None => Place::words("/sys/class/hwmon, name pwmfan"),
        }
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<Speed, Absent> {
        self.0.read(turn.now, "no fan that the kernel drives", speed)
    }

    fn put(&self, value: &Speed, reading: &mut Reading) {
        reading.values.fan_rpm = value.rpm;
        reading.values.fan_pwm = value.pwm;
    }

    fn show(&self, value: &Speed) -> String {
        let rpm = value.rpm.map_or("no tachometer".to_owned(), |rpm| format!("{rpm} RPM"));
        let pwm = value.pwm.map_or("duty unknown".to_owned(), |pwm| format!("duty {pwm} of 255"));
        format!("{rpm}, {pwm}")
    }
}

/// The official cooler's platform device, else one with its driver's name.
fn directory(root: &Path) -> Option<PathBuf> {
    let cooler = hwmon::entries(&root.join("sys/devices/platform/cooling_fan/hwmon")).into_iter().next();
    cooler.or_else(|| hwmon::named(root, "pwmfan"))
}

fn files(directory: &Path) -> Option<Files> {
    let file = |name: &str| Some(directory.join(name)).filter(|path| path.is_file()).map(KeptFile::new);
    let files = Files { rpm: file("fan1_input"), pwm: file("pwm1"), counts: false };
    (files.rpm.is_some() || files.pwm.is_some()).then_some(files)
}

/// One may fail without the other; both together are an error.
fn speed(files: &mut Files) -> Result<Speed, Absent> {
    let rpm = files.rpm.as_mut().map(revolutions);
    let pwm = files.pwm.as_mut().map(|file| read_parsed(file, |text| text.parse::<u8>().ok()));
    match (rpm, pwm) {
        (Some(Err(error)), None | Some(Err(_))) | (None, Some(Err(error))) => Err(error),
        (rpm, pwm) => {
            let (rpm, pwm) = (rpm.and_then(Result::ok), pwm.and_then(Result::ok));
            files.counts |= rpm.is_some_and(|rpm| rpm > 0);
            // A driven fan that has never been seen to turn may have no tachometer.
            let is_known = files.counts || pwm.is_none_or(|duty| duty == 0);
            Ok(Speed { rpm: rpm.filter(|_| is_known), pwm })
        }
    }
}

fn revolutions(file: &mut KeptFile) -> Result<u32, Absent> {
    let rpm = read_parsed(file, |text| text.parse::<u32>().ok())?;
    plausible::FAN.check(f64::from(rpm), file.path().display())?;
    Ok(rpm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fan(rpm: Option<&str>, pwm: Option<&str>) -> Option<Result<Speed, Absent>> {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in [("fan1_input", rpm), ("pwm1", pwm)] {
            if let Some(text) = text {
                std::fs::write(directory.path().join(name), text).expect("written");
            }
        }
        files(directory.path()).map(|mut files| speed(&mut files))
    }

    #[test]
    fn a_stopped_fan_is_zero_and_not_absent() {
        let speed = fan(Some("0\n"), Some("0\n")).expect("a fan").expect("readable");
        assert_eq!(speed, Speed { rpm: Some(0), pwm: Some(0) });
    }

    #[test]
    fn a_driven_fan_stands_still_only_if_its_tachometer_has_counted_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let write =
            |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
        write("pwm1", "175\n");
        write("fan1_input", "0\n");
        let mut files = files(directory.path()).expect("a fan");
        let mut rpm = |text: &str| {
            write("fan1_input", text);
            speed(&mut files).expect("readable").rpm
        };
        assert_eq!(rpm("0\n"), None, "it may have no tachometer");
        assert_eq!(rpm("3038\n"), Some(3038));
        assert_eq!(rpm("0\n"), Some(0));
    }

    #[test]
    fn tachometer_and_duty_fail_each_alone() {
        let speed = fan(Some("garbage"), Some("75\n")).expect("a fan").expect("readable");
        assert_eq!(speed, Speed { rpm: None, pwm: Some(75) });
        let speed = fan(Some("3038\n"), Some("256")).expect("a fan").expect("readable");
        assert_eq!(speed, Speed { rpm: Some(3038), pwm: None });
        let speed = fan(Some("4294967295"), Some("75")).expect("a fan").expect("readable");
        assert_eq!(speed, Speed { rpm: None, pwm: Some(75) }, "no fan turns this fast");
        let speed = fan(None, Some("255")).expect("a fan").expect("readable");
        assert_eq!(speed, Speed { rpm: None, pwm: Some(255) });
    }

    #[test]
    fn without_anything_readable_there_is_no_speed() {
        fan(Some("-1"), Some("")).expect("a fan").expect_err("garbage");
        assert!(fan(None, None).is_none());
    }
}
