//! The metrics of each machine and each camera, for fleets that are not too large.

use super::context::ApiContext;
use crate::clock::Now;
use crate::exposition::Exposition;
use crate::monitor::beat::Sample;
use crate::monitor::conditions::facts::CameraFacts;
use crate::monitor::ingest::native::{self, Received};
use crate::monitor::machine::{Machine, MachineId, MachineStatus};
use crate::monitor::registry::machines::MachineFilter;
use crate::monitor::store::StoreError;
use std::collections::BTreeMap;

/// Room for the samples of one machine.
const BYTES: usize = 1024;

/// A machine with what its last heartbeat said.
struct MachineSamples {
    name: String,
    is_online: bool,
    age_s: Option<f64>,
    /// Empty unless it is online: what an offline machine said is not true any more.
    sample: Sample,
    cameras: BTreeMap<String, CameraSample>,
}

struct CameraSample {
    hostname: String,
    is_up: bool,
}

/// Name, help, value, and the divisor from the value's unit to the metric's.
type Figure = (&'static str, &'static str, fn(&Sample) -> Option<f32>, f32);

const FIGURES: [Figure; 7] = [
    ("heartbeat_machine_cpu_usage_ratio", "CPU time in use, of all cores.", |s| s.cpu, 100.0),
    ("heartbeat_machine_memory_usage_ratio", "Memory in use.", |s| s.mem, 100.0),
    ("heartbeat_machine_disk_usage_ratio", "Disk in use.", |s| s.disk, 100.0),
    ("heartbeat_machine_temperature_celsius", "Temperature of the processor.", |s| s.temp, 1.0),
    ("heartbeat_machine_power_watts", "Power that the board draws.", |s| s.power, 1.0),
    ("heartbeat_machine_load1", "Run queue over 1 minute.", |s| s.load, 1.0),
    ("heartbeat_machine_signal_ratio", "Wi-Fi signal.", |s| s.signal, 100.0),
];

/// The metrics of all enabled machines in the Prometheus text format.
pub fn text(context: &ApiContext, now: Now) -> Result<String, StoreError> {
    let filter = MachineFilter { limit: u32::MAX, ..MachineFilter::default() };
    let machines = context.shared.store.machines(&filter, now.wall)?;
    let machines: Vec<MachineSamples> = machines
        .into_iter()
        .filter(|machine| machine.watched)
        .map(|machine| read(context, machine, now))
        .collect();
    let mut text = Exposition::with_capacity(machines.len() * BYTES);
    status(&mut text, &machines);
    for figure in &FIGURES {
        figures(&mut text, &machines, figure);
    }
    cameras(&mut text, &machines);
    Ok(text.into_text())
}

fn read(context: &ApiContext, machine: Machine, now: Now) -> MachineSamples {
    let is_online = machine.status == MachineStatus::Online;
    let seen = context.shared.fleet.seen(machine.id).or(machine.last_seen);
    let (sample, cameras) = if is_online { latest(context, machine.id) } else { Default::default() };
    let age_s = seen.map(|seen| now.wall.since(seen).as_secs_f64());
    MachineSamples { name: machine.name, is_online, age_s, sample, cameras }
}

/// Empty before the first heartbeat since the start of the monitor.
fn latest(context: &ApiContext, id: MachineId) -> (Sample, BTreeMap<String, CameraSample>) {
    let Some(newest) = context.shared.fleet.newest(id) else { return Default::default() };
    let cameras = match newest.payload.as_deref().map(native::parse) {
        Some(Ok(Received::Beat(beat))) => beat.facts.cameras.into_iter().filter_map(camera).collect(),
        _ => BTreeMap::new(),
    };
    (newest.sample, cameras)
}

/// By its MAC address, which is unique: Prometheus refuses everything if two samples have the same labels.
fn camera(camera: CameraFacts<'_>) -> Option<(String, CameraSample)> {
    let hostname = camera.hostname.unwrap_or_default().into_owned();
    Some((camera.mac?.into_owned(), CameraSample { hostname, is_up: camera.is_connected? }))
}

fn status(text: &mut Exposition, machines: &[MachineSamples]) {
    const ONLINE: &str = "heartbeat_machine_online";
    text.family(ONLINE, "1 if the machine is online.", "gauge");
    for machine in machines {
        text.sample(ONLINE, &[("machine", &machine.name)], u8::from(machine.is_online));
    }
    const AGE: &str = "heartbeat_machine_last_seen_age_seconds";
    text.family(AGE, "Seconds since the last heartbeat.", "gauge");
    for machine in machines {
        if let Some(age) = machine.age_s {
            text.sample(AGE, &[("machine", &machine.name)], age);
        }
    }
}

fn figures(text: &mut Exposition, machines: &[MachineSamples], (name, help, value, divisor): &Figure) {
    text.family(name, help, "gauge");
    for machine in machines {
        if let Some(value) = value(&machine.sample) {
            text.sample(name, &[("machine", &machine.name)], value / divisor);
        }
    }
}

fn cameras(text: &mut Exposition, machines: &[MachineSamples]) {
    const NAME: &str = "heartbeat_camera_up";
    text.family(
        NAME,
        "1 if the camera responded to the last check of its machine, which is online.",
        "gauge",
    );
    for machine in machines {
        for (mac, camera) in &machine.cameras {
            let labels = [("machine", &*machine.name), ("camera", &**mac), ("hostname", &*camera.hostname)];
            text.sample(NAME, &labels, u8::from(camera.is_up));
        }
    }
}
