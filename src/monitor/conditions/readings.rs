//! From the facts of a heartbeat to a reading of each condition and subject. Pure. A new condition is a line in the
//! catalogue and a reading here.

use crate::clock::Moment;
use crate::monitor::beat::Sample;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::facts::{CameraFacts, Facts, UplinkFacts};
use crate::monitor::conditions::judge::Reading;
use crate::monitor::conditions::recent::Recent;
use crate::wire::ActivityName;

/// A camera that failed once may only have been busy.
const FAILED_CHECKS: u32 = 2;

/// A reading of one condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation<'a> {
    pub condition: Condition,
    /// The part of the machine; empty for the machine itself.
    pub subject: &'a str,
    /// The subject as people call it.
    pub label: Option<&'a str>,
    pub reading: Reading,
}

/// Passes each reading of a heartbeat to `see`. `shared_by`: the devices that use the token in turn, if there are two; boots
/// say nothing then.
pub fn observe(
    facts: &Facts<'_>,
    sample: &Sample,
    recent: &mut Recent,
    shared_by: Option<&str>,
    now: Moment,
    mut see: impl FnMut(Observation<'_>),
) {
    let mut of_machine =
        |condition, reading| see(Observation { condition, subject: "", label: None, reading });
    recent.note_uplinks(facts, now);
    of_machine(Condition::Standby, standby(facts, recent, now));
    of_machine(Condition::NoStandby, no_standby(facts, recent, now));
    of_machine(Condition::UnderVoltage, flag(facts.throttled.map(|flags| flags.under_voltage)));
    of_machine(Condition::Throttled, flag(facts.throttled.map(|flags| flags.limited)));
    of_machine(Condition::Temperature, number(sample.temp));
    of_machine(Condition::Fan, fan(facts.fan_rpm, sample.temp));
    of_machine(Condition::Disk, number(sample.disk));
    of_machine(Condition::Memory, number(sample.mem));
    of_machine(Condition::Clock, flag(facts.clock_synced.map(|is_synced| !is_synced)));
    of_machine(Condition::Wifi, number(facts.wifi_dbm));
    let boots = recent.boots(facts.boot_id.as_deref(), now).filter(|_| shared_by.is_none());
    of_machine(Condition::Boots, number(boots.map(|boots| boots as f32)));
    let (condition, reading) = (Condition::SharedToken, flag(Some(shared_by.is_some())));
    see(Observation { condition, subject: "", label: shared_by.filter(|names| !names.is_empty()), reading });
    activities(facts, recent, now, &mut see);
    file_systems(facts, recent, &mut see);
    for camera in &facts.cameras {
        if let Some(mac) = &camera.mac {
            let (subject, label) = (&**mac, camera.hostname.as_deref());
            see(Observation { condition: Condition::Camera, subject, label, reading: self::camera(camera) });
        }
    }
}

fn flag(is_bad: Option<bool>) -> Reading {
    match is_bad {
        None => Reading::Unknown,
        Some(true) => Reading::Bad(None),
        Some(false) => Reading::Good,
    }
}

fn number(value: Option<f32>) -> Reading {
    value.map_or(Reading::Unknown, Reading::Number)
}

fn standby(facts: &Facts<'_>, recent: &Recent, now: Moment) -> Reading {
    let rank = facts.uplinks.iter().position(|uplink| facts.active == Some(uplink.name));
    match rank {
        None => Reading::Unknown,
        Some(0) => Reading::Good,
        Some(rank) => expected(&facts.uplinks[..rank], recent, now),
    }
}

fn no_standby(facts: &Facts<'_>, recent: &Recent, now: Moment) -> Reading {
    if facts.active.is_none() {
        return Reading::Unknown;
    }
    let standbys: Vec<UplinkFacts> =
        facts.uplinks.iter().filter(|uplink| facts.active != Some(uplink.name)).copied().collect();
    match standbys.iter().any(|uplink| uplink.works) {
        true => Reading::Good,
        false => expected(&standbys, recent, now),
    }
}

/// Bad if one of these uplinks, which are not in use or do not work, worked within the last 7 days.
fn expected(uplinks: &[UplinkFacts], recent: &Recent, now: Moment) -> Reading {
    match uplinks.iter().any(|uplink| recent.is_proven(uplink, now)) {
        true => Reading::Bad(None),
        false => Reading::Unknown,
    }
}

/// A fan that turns is good at any temperature.
fn fan(rpm: Option<f32>, temperature: Option<f32>) -> Reading {
    match rpm {
        None => Reading::Unknown,
        Some(0.0) => number(temperature),
        Some(_) => Reading::Good,
    }
}

fn camera(camera: &CameraFacts<'_>) -> Reading {
    match (camera.is_connected, camera.failed_checks) {
        (None, _) => Reading::Unknown,
        (Some(true), _) => Reading::Good,
        (Some(false), Some(failed)) if failed < FAILED_CHECKS => Reading::Unconfirmed,
        (Some(false), _) => Reading::Bad(None),
    }
}

/// Subject of a recording whose file does not grow.
pub const RECORDING_FILE: &str = "recording file";

fn activities(facts: &Facts<'_>, recent: &mut Recent, now: Moment, see: &mut impl FnMut(Observation<'_>)) {
    let mut of = |subject, reading| {
        see(Observation { condition: Condition::Activity, subject, label: None, reading });
    };
    for (index, activity) in ActivityName::ALL.into_iter().enumerate() {
        let is_stopped = facts.activity.active[index].map(|is_active| !is_active);
        let reading = if facts.activity.expected[index] { flag(is_stopped) } else { Reading::Good };
        of(activity.as_str(), reading);
    }
    let recording = ActivityName::Recording as usize;
    let grows = recent.grows(facts.recording, now);
    let reading = match (facts.activity.expected[recording], facts.activity.active[recording]) {
        (true, Some(true)) => flag(grows.map(|grows| !grows)),
        // That it is stopped is an incident of its own.
        _ => Reading::Good,
    };
    of(RECORDING_FILE, reading);
}

fn file_systems(facts: &Facts<'_>, recent: &mut Recent, see: &mut impl FnMut(Observation<'_>)) {
    for file_system in &facts.file_systems {
        let Some(subject) = file_system.path.as_deref() else { continue };
        let mut of = |condition, reading| see(Observation { condition, subject, label: None, reading });
        of(Condition::ReadOnly, flag(file_system.read_only));
        let errors = match recent.new_errors(file_system) {
            None => Reading::Unknown,
            Some(None) => Reading::Good,
            Some(Some(errors)) => Reading::Bad(Some(errors as f32)),
        };
        of(Condition::DiskErrors, errors);
    }
}
