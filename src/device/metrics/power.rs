//! What a Raspberry Pi 5 draws: the sum over the rails of its PMIC.
//!
//! What hangs on USB and PCIe is not in it, because the 5 V rail (`EXT5V`) is measured in volts only.

use super::firmware::{Firmware, Question};
use super::plausible;
use super::reading::Reading;
use super::source::{Absent, Place, Source, Turn};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Power;

impl Source for Power {
    type Value = f64;

    fn name(&self) -> &'static str {
        "power"
    }

    fn place(&self, firmware: &Firmware) -> Place {
        firmware.place(Question::PmicReadAdc)
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<f64, Absent> {
        let text = turn.firmware.query(Question::PmicReadAdc, turn.now, turn.limit)?;
        let watts = watts(&text).ok_or(Absent::because(
            "no rail of the PMIC has both a current and a voltage (firmware of 2023 gives currents only: update it)",
        ))?;
        plausible::POWER.check(watts, "pmic_read_adc")
    }

    fn put(&self, value: &f64, reading: &mut Reading) {
        reading.values.power = Some(*value);
    }

    fn show(&self, value: &f64) -> String {
        format!("{value:.2} W")
    }
}

/// Sum of current times voltage over the rails that have both. Rails are paired by name: their indices differ, and
/// names came and went with the firmware (`0V8_SYS`, later `0V8_SW`).
fn watts(text: &str) -> Option<f64> {
    let mut currents = BTreeMap::new();
    let mut voltages = BTreeMap::new();
    for (name, value) in text.lines().filter_map(rail) {
        match (name.strip_suffix("_A"), name.strip_suffix("_V")) {
            (Some(rail), _) => _ = currents.insert(rail, value),
            (_, Some(rail)) => _ = voltages.insert(rail, value),
            _ => {}
        }
    }
    let powers: Vec<f64> =
        currents.iter().filter_map(|(rail, current)| Some(current * voltages.get(rail)?)).collect();
    (!powers.is_empty()).then(|| powers.iter().sum())
}

/// `   3V3_SYS_A current(1)=0.04782057A`
fn rail(line: &str) -> Option<(&str, f64)> {
    let (name, reading) = line.trim().split_once(' ')?;
    let (_, value) = reading.split_once('=')?;
    let value: f64 = value.trim_end_matches(['A', 'V']).parse().ok()?;
    value.is_finite().then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rails_are_paired_by_name_in_any_order() {
        let text = " VDD_CORE_V volt(15)=0.50000000V\n 1V8_SYS_A current(2)=0.50000000A\n\
                    1V8_SYS_V volt(10)=2.00000000V\n VDD_CORE_A current(7)=4.00000000A\n";
        assert_eq!(watts(text), Some(3.0));
    }

    #[test]
    fn a_rail_with_only_one_of_both_is_left_out() {
        let text =
            " A_A current(1)=1.0A\n A_V volt(2)=5.0V\n EXT5V_V volt(24)=5.11478000V\n B_A current(3)=9.0A\n";
        assert_eq!(watts(text), Some(5.0));
    }

    #[test]
    fn currents_alone_are_no_power() {
        let early = " 3V7_WL_SW_A current(0)=0.00780744A\n   3V3_SYS_A current(1)=0.12199130A\n\
                     1V8_SYS_A current(2)=0.24300660A\n   VDD_CORE_A current(7)=0.75012000A\n";
        assert_eq!(watts(early), None);
    }

    #[test]
    fn garbage_is_absent() {
        for text in
            ["", "garbage", "X_A current(1)=NaNA\nX_V volt(1)=1.0V", "X_A current(1)=\nX_V volt(1)=1V"]
        {
            assert_eq!(watts(text), None, "{text}");
        }
    }
}
