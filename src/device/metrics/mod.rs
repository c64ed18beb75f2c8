//! One thread that reads the machine: /proc, sysfs, the firmware, the network, the device's activities.

use crate::wire;
use std::path::PathBuf;
use std::time::Duration;

/// One reading of everything. What could not be read is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Percent of all cores together since the sample before; absent in the first one.
    pub cpu: Option<f64>,
    pub load: Option<[f64; 3]>,
    /// Percent of memory that is not available to programs.
    pub mem: Option<f64>,
    /// Percent; absent without swap.
    pub swap: Option<f64>,
    pub uptime: Option<Duration>,
    /// °C
    pub temp: Option<f64>,
    /// W
    pub power: Option<f64>,
    pub fan_rpm: Option<u32>,
    /// Duty cycle, 0 to 255.
    pub fan_pwm: Option<u8>,
    pub disk: Option<Disk>,
    pub throttled: Option<wire::Throttled>,
    pub clock_synced: Option<bool>,
    pub app_version: Option<String>,
    pub connection: wire::Connection,
    pub activity: Activity,
}

/// Fill of one file system, in bytes, as `df` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    pub total: u64,
    pub used: u64,
    /// To programs that are not root's.
    pub free: u64,
}

/// What the device is doing, where the configuration tells how to see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    pub streaming: Option<bool>,
    pub tracking: Option<bool>,
    pub recording: Option<bool>,
    /// Only while recording.
    pub recording_file: Option<RecordingFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingFile {
    pub path: PathBuf,
    pub bytes: u64,
}

/// Who this machine is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub hardware_id: Option<String>,
    pub hostname: Option<String>,
    pub boot_id: Option<String>,
}

// --- until the sources join ---
use crate::device::config;
use crate::device::doctor::SourceReport;
use crate::device::ticker::Ticker;
use crossbeam_channel::{Receiver, select};
use std::path::Path;
use std::time::Instant;

impl Identity {
    pub fn read(root: &Path, _state_dir: &Path) -> Identity {
        let line =
            |path: &str| std::fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned());
        Identity {
            hardware_id: None,
            hostname: line("proc/sys/kernel/hostname"),
            boot_id: line("proc/sys/kernel/random/boot_id"),
        }
    }
}

pub struct Sampler;

pub enum Control {
    Reload { metrics: config::Metrics, activity: config::Activity, ticker: Ticker },
}

impl Sampler {
    pub fn new(_root: &Path, _metrics: &config::Metrics, _activity: &config::Activity) -> Sampler {
        Sampler
    }
    pub fn sample(&mut self, _now: Instant) -> Metrics {
        Metrics::default()
    }
    pub fn ask_all_slow_sources(&mut self) {}
    pub fn inspect(&mut self) -> Vec<SourceReport> {
        vec![]
    }
}

pub fn run(
    mut sampler: Sampler,
    mut ticker: Ticker,
    control: &Receiver<Control>,
    mut publish: impl FnMut(Metrics) -> bool,
) {
    loop {
        if !publish(sampler.sample(Instant::now())) {
            return;
        }
        select! {
            recv(ticker.due()) -> _ => ticker.advance(Instant::now()),
            recv(control) -> order => match order {
                Ok(Control::Reload { ticker: new, .. }) => ticker = new,
                Err(_) => return,
            }
        }
    }
}
