//! Which devices use one machine's token: two that use it in turn, as the copies of one SD card do, are noticed.
//!
//! A reboot or another board changes who sends once and for good. A board that sends again after another one did was there
//! all the time: the first return is enough. Where only the boot ids differ, a copy of a heartbeat that a network delivers
//! after a reboot looks like a return, and the next heartbeat like a second one; so the third return counts.

use crate::clock::Moment;
use crate::monitor::beat::DeviceId;
use crate::monitor::machine::MachineId;
use serde::Deserialize;
use std::time::Duration;

/// A device that returns after a longer time may be a board that was swapped back.
const LONGEST_TURN: Duration = Duration::from_secs(3600);

/// Returns in a row that show two devices with the same hardware id.
const RETURNS_OF_ONE_BOARD: u8 = 3;

/// Between two reports of one machine.
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// A machine whose token two devices use in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedToken {
    pub machine: MachineId,
    /// Hardware ids of both, as far as they have one.
    pub hardware_ids: Vec<String>,
}

impl SharedToken {
    /// "100000001234abcd and 100000005678ef01", or "b827eb000003, twice" for copies of a card with a remembered id.
    pub fn names(&self) -> String {
        match self.hardware_ids.as_slice() {
            [one, other] if one == other => format!("{one}, twice"),
            ids => ids.join(" and "),
        }
    }
}

/// The last two devices that used a token.
#[derive(Debug, Default)]
pub struct Devices {
    current: Option<DeviceId>,
    before: Option<Before>,
    /// Returns in a row.
    returns: u8,
    /// Last time that a device returned.
    shared_at: Option<Moment>,
    reported_at: Option<Moment>,
    /// Hardware ids of both, when a device returned first; `None` before.
    names: Option<Box<str>>,
    /// The database has an open incident of it: until an hour after the first beat they count as several.
    were_several: bool,
}

/// The device that sent before the current one did.
#[derive(Debug, Clone, Copy)]
struct Before {
    device: DeviceId,
    /// The first beat of the current one, which is when this one had sent last at most.
    until: Moment,
}

impl Devices {
    /// A device sends. True if two devices are found to use the token in turn and this is to be reported.
    pub fn sent(&mut self, device: DeviceId, now: Moment) -> bool {
        if std::mem::take(&mut self.were_several) {
            self.shared_at = Some(now);
        }
        let Some(current) = self.current.replace(device).filter(|current| *current != device) else {
            return false;
        };
        let before = self.before.replace(Before { device: current, until: now });
        let has_returned =
            before.is_some_and(|before| before.device == device && !is_past(before.until, LONGEST_TURN, now));
        self.returns = if has_returned { self.returns.saturating_add(1) } else { 0 };
        let enough = if device.has_board_of(current) { RETURNS_OF_ONE_BOARD } else { 1 };
        if self.returns < enough {
            return false;
        }
        self.shared_at = Some(now);
        let is_due = self.reported_at.is_none_or(|reported| is_past(reported, EVERY, now));
        if is_due {
            self.reported_at = Some(now);
        }
        is_due
    }

    /// Loads whether the database has an open incident of it.
    pub fn load(&mut self, were_several: bool) {
        self.were_several = were_several;
    }

    /// Keeps the names of the devices that use the token in turn.
    pub fn named(&mut self, report: &SharedToken) {
        self.names = Some(report.names().into());
    }

    /// The devices that used the token in turn lately, empty if their names are not known; `None`: only one used it.
    pub fn shared_by(&self, now: Moment) -> Option<&str> {
        self.are_several(now).then(|| self.names.as_deref().unwrap_or_default())
    }

    /// Whether two devices used the token in turn lately.
    pub fn are_several(&self, now: Moment) -> bool {
        self.shared_at.is_some_and(|shared| !is_past(shared, LONGEST_TURN, now))
    }
}

/// The hardware id in a payload.
pub fn hardware_id(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        hardwareid: Option<String>,
    }
    serde_json::from_slice::<Named>(payload).ok()?.hardwareid
}

/// Whether `moment` is longer ago than `age`; a moment that lies in the future, after a step of the clock, is not.
fn is_past(moment: Moment, age: Duration, now: Moment) -> bool {
    now.since(moment) > age
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const BEGIN: Moment = Moment(1_769_005_800_000);

    /// The devices, one a minute, at which a report is due.
    fn reports(senders: &str) -> Vec<usize> {
        let mut devices = Devices::default();
        let mut now = BEGIN;
        let mut due = Vec::new();
        for (index, sender) in senders.chars().enumerate() {
            now = now.plus(MINUTE);
            if devices.sent(DeviceId::of(Some(&sender.to_string()), None).expect("an id"), now) {
                due.push(index);
            }
        }
        due
    }

    #[test]
    fn a_device_that_returns_is_reported_once_and_a_reboot_or_another_board_is_not() {
        for (senders, due) in [
            ("aaaaaa", vec![]),
            ("aaabbb", vec![]),
            ("aabbccdd", vec![]),
            ("aba", vec![2]),
            ("aabbaabbaabb", vec![4]),
            ("abcabc", vec![]),
        ] {
            assert_eq!(reports(senders), due, "{senders}");
        }
    }

    /// Boots of boards with the same hardware id, one letter each: minutes apart, and the seconds by which the monitor's
    /// clock is set before a beat.
    #[test]
    fn copies_of_a_card_with_a_remembered_id_alternate_and_a_board_that_reboots_does_not() {
        let hours = |hours: i64| hours * 3600;
        for (what, boots, minutes, step, is_shared) in [
            ("two copies", "ababa", 1, None, true),
            ("two copies that send at different intervals", "aabaabaab", 1, None, true),
            ("a reboot", "aaabbb", 1, None, false),
            ("a board that reboots again and again", "abcdefghijkl", 1, None, false),
            ("a heartbeat that was delivered after the reboot", "aabab", 1, None, false),
            ("a reboot, and the clock is set back", "aabbbb", 1, Some((3, hours(-5))), false),
            ("a reboot, and the clock is set forward", "aabbbb", 1, Some((3, hours(5))), false),
            ("two copies, and the clock is set forward", "abababab", 1, Some((3, hours(5))), true),
            ("boards that are exchanged every two hours", "abababab", 120, None, false),
        ] {
            let mut devices = Devices::default();
            let (mut now, mut reported) = (BEGIN, 0);
            for (index, boot) in boots.chars().enumerate() {
                now = now.plus(MINUTE * minutes);
                if let Some((_, seconds)) = step.filter(|(at, _)| *at == index) {
                    now = Moment(now.0 + seconds * 1000);
                }
                let device = DeviceId::of(Some("b827eb000003"), Some(&boot.to_string())).expect("an id");
                reported += usize::from(devices.sent(device, now));
            }
            assert_eq!(reported, usize::from(is_shared), "{what}");
        }
    }

    #[test]
    fn a_board_that_is_swapped_back_after_hours_is_not_reported_and_the_mark_fades() {
        let [a, b] = ["a", "b"].map(|id| DeviceId::of(Some(id), None).expect("an id"));
        let mut devices = Devices::default();
        let mut now = BEGIN;
        devices.sent(a, now);
        devices.sent(b, now.plus(MINUTE));
        now = now.plus(MINUTE * 90);
        assert!(!devices.sent(a, now) && !devices.are_several(now));
        assert!(devices.sent(b, now.plus(MINUTE)));
        assert!(devices.are_several(now.plus(MINUTE * 30)));
        assert!(!devices.are_several(now.plus(MINUTE * 90)));
    }

    #[test]
    fn the_same_board_with_another_boot_id_is_another_device_and_without_any_id_there_is_none() {
        let of = |hardware, boot| DeviceId::of(hardware, boot);
        assert_ne!(of(Some("a"), Some("1")), of(Some("a"), Some("2")));
        assert_ne!(of(Some("a"), None), of(None, Some("a")));
        assert_eq!(of(Some("a"), Some("1")), of(Some("a"), Some("1")));
        assert_eq!(of(None, None), None);
    }
}
