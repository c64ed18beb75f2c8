//! What a Raspberry Pi holds back, and why: the firmware's flags, else what the kernel keeps of them.

use super::firmware::{Firmware, Question};
use super::hwmon;
use super::reading::Reading;
use super::source::{Absent, Place, Sought, Source, Turn, read_parsed};
use crate::device::os::file::KeptFile;
use crate::wire::{self, Throttle};
use std::path::Path;

/// Deprecated and cached by the kernel, and not on a Pi 5; so the firmware is asked first.
const FLAGS: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";

/// By bit: 0 to 3 now, 16 to 19 since boot.
const BITS: [Throttle; 4] =
    [Throttle::UnderVoltage, Throttle::FrequencyCapped, Throttle::Throttled, Throttle::SoftTemperatureLimit];

#[derive(Debug)]
pub struct Throttled {
    /// Why the firmware is out of the question.
    no_firmware: Option<String>,
    sysfs: Sought<Sysfs>,
    /// Whether the last value is from there.
    by_sysfs: bool,
}

#[derive(Debug)]
enum Sysfs {
    Flags(KeptFile),
    /// `rpi_volt`: world-readable, refreshed every 2 s, knows of under-voltage only, and only of now.
    Alarm(KeptFile),
}

impl Throttled {
    pub fn new(root: &Path) -> Throttled {
        Throttled { no_firmware: None, sysfs: Sought::new(root, find), by_sysfs: false }
    }
}

impl Source for Throttled {
    type Value = wire::Throttled;

    fn name(&self) -> &'static str {
        "throttled"
    }

    fn place(&self, firmware: &Firmware) -> Place {
        match self.sysfs.found() {
            Some(Sysfs::Flags(file) | Sysfs::Alarm(file)) if self.by_sysfs => Place::file(file.path()),
            _ => firmware.place(Question::GetThrottled),
        }
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<wire::Throttled, Absent> {
        self.by_sysfs = false;
        let refusal = match self.by_firmware(turn) {
            Ok(throttled) => return Ok(throttled),
            Err(refusal) => refusal,
        };
        let sysfs = self.sysfs.read(turn.now, "neither flags nor alarm", Sysfs::read);
        self.by_sysfs = sysfs.is_ok();
        // The reason that can be mended is the firmware's: sysfs is a stopgap.
        sysfs.map_err(|_| refusal)
    }

    fn put(&self, value: &wire::Throttled, reading: &mut Reading) {
        reading.throttled = Some(value.clone());
    }

    fn show(&self, value: &wire::Throttled) -> String {
        let words = |flags: &[Throttle]| match flags {
            [] => "nothing".to_owned(),
            flags => flags.iter().map(|flag| word(*flag)).collect::<Vec<_>>().join(", "),
        };
        let since_boot = value.since_boot.as_deref().map_or("unknown".to_owned(), words);
        format!("now: {}; since boot: {since_boot}", words(&value.now))
    }
}

impl Throttled {
    fn by_firmware(&mut self, turn: &mut Turn<'_>) -> Result<wire::Throttled, Absent> {
        if let Some(reason) = &self.no_firmware {
            return Err(Absent::because(reason.clone()));
        }
        match turn.firmware.query(Question::GetThrottled, turn.now, turn.limit) {
            Ok(text) => flags_of_answer(&text)
                .ok_or_else(|| Absent::because(format!("get_throttled: not understood: {text:?}"))),
            Err(Absent::ForGood(reason)) => {
                self.no_firmware = Some(reason.to_string());
                Err(Absent::Because(reason))
            }
            Err(refusal) => Err(refusal),
        }
    }
}

impl Sysfs {
    fn read(&mut self) -> Result<wire::Throttled, Absent> {
        match self {
            Sysfs::Flags(file) => read_parsed(file, flags_of_sysfs),
            Sysfs::Alarm(file) => read_parsed(file, alarm),
        }
    }
}

fn find(root: &Path) -> Option<Sysfs> {
    let flags = root.join(FLAGS);
    if flags.is_file() {
        return Some(Sysfs::Flags(KeptFile::new(flags)));
    }
    let alarm = hwmon::named(root, "rpi_volt")?.join("in0_lcrit_alarm");
    Some(Sysfs::Alarm(KeptFile::new(alarm)))
}

/// `throttled=0x50005`
fn flags_of_answer(text: &str) -> Option<wire::Throttled> {
    flags_of_sysfs(text.strip_prefix("throttled=0x")?)
}

/// `50005`
fn flags_of_sysfs(hex: &str) -> Option<wire::Throttled> {
    let bits = u32::from_str_radix(hex, 16).ok()?;
    let set = |shift: u32| -> Vec<Throttle> {
        (shift..).zip(BITS).filter(|(bit, _)| (bits >> bit) & 1 == 1).map(|(_, flag)| flag).collect()
    };
    Some(wire::Throttled { now: set(0), since_boot: Some(set(16)) })
}

fn alarm(text: &str) -> Option<wire::Throttled> {
    let now = match text {
        "0" => Vec::new(),
        "1" => vec![Throttle::UnderVoltage],
        _ => return None,
    };
    Some(wire::Throttled { now, since_boot: None })
}

fn word(flag: Throttle) -> &'static str {
    match flag {
        Throttle::UnderVoltage => "under-voltage",
        Throttle::FrequencyCapped => "frequency capped",
        Throttle::Throttled => "throttled",
        Throttle::SoftTemperatureLimit => "soft temperature limit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Throttle::{FrequencyCapped, SoftTemperatureLimit, Throttled, UnderVoltage};

    #[test]
    fn the_flags_seen_on_boards_are_read() {
        let table: [(&str, &[Throttle], &[Throttle]); 7] = [
            ("0x0", &[], &[]),
            ("0x50000", &[], &[UnderVoltage, Throttled]),
            ("0x50005", &[UnderVoltage, Throttled], &[UnderVoltage, Throttled]),
            ("0x80000", &[], &[SoftTemperatureLimit]),
            ("0x80008", &[SoftTemperatureLimit], &[SoftTemperatureLimit]),
            ("0x20002", &[FrequencyCapped], &[FrequencyCapped]),
            // Bits that no documentation names.
            ("0xfff0fff0", &[], &[]),
        ];
        for (text, now, since_boot) in table {
            let expected = wire::Throttled { now: now.to_vec(), since_boot: Some(since_boot.to_vec()) };
            assert_eq!(flags_of_answer(&format!("throttled={text}")), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_kernels_file_has_no_0x_and_its_alarm_no_memory() {
        let flags = flags_of_sysfs("50005").expect("hex");
        assert_eq!(flags.now, [UnderVoltage, Throttled]);
        assert_eq!(alarm("1"), Some(wire::Throttled { now: vec![UnderVoltage], since_boot: None }));
        assert_eq!(alarm("0"), Some(wire::Throttled { now: vec![], since_boot: None }));
    }

    #[test]
    fn garbage_is_absent() {
        for text in ["", "throttled=", "throttled=0x", "throttled=0xg", "0x50005", "throttled=0x100000000"] {
            assert_eq!(flags_of_answer(text), None, "{text}");
        }
        for text in ["", "2", "alarm"] {
            assert_eq!(alarm(text), None, "{text}");
        }
    }
}
