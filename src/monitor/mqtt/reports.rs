//! Reads the latest facts about all machines, from the database and from memory.

use super::entities::{CameraReport, MachineReport};
use crate::clock::Moment;
use crate::mac::Mac;
use crate::monitor::conditions::facts::{CameraFacts, Facts};
use crate::monitor::fleet::Fleet;
use crate::monitor::ingest::native::{self, Received};
use crate::monitor::machine::{Machine, MachineStatus};
use crate::monitor::recorder::RecorderContext;
use crate::monitor::registry::machines::MachineFilter;
use crate::monitor::store::StoreError;
use std::collections::BTreeMap;

/// Machines that are published: each takes a few hundred bytes here and some retained messages in the broker.
pub const MOST_MACHINES: usize = 5000;

/// The first [`MOST_MACHINES`] machines; the number of all.
pub fn reports(shared: &RecorderContext, now: Moment) -> Result<(Vec<MachineReport>, usize), StoreError> {
    let filter = MachineFilter { limit: u32::MAX, ..MachineFilter::default() };
    let machines = shared.store.machines(&filter, now)?;
    let count = machines.len();
    let report = |machine| report(&shared.fleet, machine);
    Ok((machines.into_iter().take(MOST_MACHINES).map(report).collect(), count))
}

/// What an offline machine said last is not true any more: only an online one has facts.
fn report(fleet: &Fleet, machine: Machine) -> MachineReport {
    let mut report = MachineReport {
        id: machine.id,
        name: machine.name,
        status: machine.status,
        is_watched: machine.watched,
        temp: None,
        uplink: None,
        under_voltage: None,
        cameras: Vec::new(),
    };
    if machine.status != MachineStatus::Online || !machine.watched {
        return report;
    }
    let Some(newest) = fleet.newest(machine.id) else { return report };
    report.temp = newest.sample.temp;
    if let Some(Ok(Received::Beat(beat))) = newest.payload.as_deref().map(native::parse) {
        fill(&mut report, beat.facts);
    }
    report
}

fn fill(report: &mut MachineReport, facts: Facts<'_>) {
    report.uplink = facts.active.map(|active| active.as_str().to_owned());
    report.under_voltage = facts.throttled.map(|throttled| throttled.under_voltage);
    // A device may report a camera twice: an entity must not.
    let cameras: BTreeMap<[u8; 6], CameraReport> =
        facts.cameras.into_iter().filter_map(camera).map(|camera| (camera.mac.octets(), camera)).collect();
    report.cameras = cameras.into_values().collect();
}

/// `None` without a MAC address: the camera has no lasting identity.
fn camera(camera: CameraFacts<'_>) -> Option<CameraReport> {
    let mac = Mac::parse(camera.mac.as_deref()?)?;
    let name = camera.hostname.filter(|name| !name.is_empty());
    let name = name.map_or_else(|| mac.to_string(), std::borrow::Cow::into_owned);
    Some(CameraReport { mac, name, is_connected: camera.is_connected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::machine::MachineId;
    use crate::wire::SAMPLE;

    #[test]
    fn the_sample_heartbeat_is_read() {
        let Ok(Received::Beat(beat)) = native::parse(SAMPLE) else { panic!("a heartbeat") };
        let mut report = MachineReport {
            id: MachineId(1),
            name: "m".into(),
            status: MachineStatus::Online,
            is_watched: true,
            temp: None,
            uplink: None,
            under_voltage: None,
            cameras: Vec::new(),
        };
        fill(&mut report, beat.facts);
        assert_eq!((report.uplink.as_deref(), report.under_voltage), (Some("wlan0"), Some(false)));
        assert_eq!(report.cameras.len(), 2);
        assert_eq!((report.cameras[0].name.as_str(), report.cameras[0].is_connected), ("gate", Some(true)));
    }
}
