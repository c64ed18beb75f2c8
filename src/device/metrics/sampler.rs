//! The metrics thread: its sources, and when they are read.

use super::activity::Activities;
use super::app_version::AppVersion;
use super::clock::Clock;
use super::cpu::{self, Cpu};
use super::disk::DiskSource;
use super::doctor::SourceReport;
use super::fan::Fan;
use super::file_systems::FileSystems;
use super::firmware::Firmware;
use super::load::{Load, Uptime};
use super::memory::Memory;
use super::network::NetworkSource;
use super::power::Power;
use super::reading::Reading;
use super::schedule::Sources;
use super::source::Turn;
use super::temperature::Temperature;
use super::terms::Cadence;
use super::throttled::Throttled;
use super::worker::Budget;
use super::{gps, modem};
use crate::device::config;
use crate::ticker::Ticker;
use crossbeam_channel::{Receiver, select};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// For one slow source: the next sample, 1 s away at the least, is not late because of it.
const SLOW_LIMIT: Duration = Duration::from_secs(1);

/// A modem's signal moves slowly, and mmcli costs 30 ms of CPU each time.
const MODEM: Cadence = Cadence::Every(Duration::from_secs(60));

/// gpsd lets a receiver sleep 60 s after its last client has gone, and waking takes longer than a question may.
const GPS: Cadence = Cadence::Every(Duration::from_secs(30));

/// Reads the machine whose file system begins at a root.
pub struct Sampler {
    root: PathBuf,
    firmware: Firmware,
    sources: Sources,
    slow_limit: Duration,
    budget: Budget,
}

impl Sampler {
    /// Detects each source. The only slow one that is read here is the firmware's node, once: 2.65 ms.
    pub fn new(root: &Path, metrics: &config::Metrics, activity: &config::Activity) -> Sampler {
        Sampler::within(Budget::default(), root, metrics, activity)
    }

    fn within(
        budget: Budget,
        root: &Path,
        metrics: &config::Metrics,
        activity: &config::Activity,
    ) -> Sampler {
        let firmware = Firmware::choose(root);
        let sources = sources(root, metrics, activity, &firmware, &budget);
        Sampler { root: root.to_owned(), firmware, sources, slow_limit: SLOW_LIMIT, budget }
    }

    /// The same with another limit for one slow source; a busy machine may need more than 1 s to start a program.
    #[must_use]
    pub fn with_slow_limit(self, slow_limit: Duration) -> Sampler {
        Sampler { slow_limit, ..self }
    }

    /// One reading: the fast sources now, the slow ones as of their last read.
    pub fn sample(&mut self, now: Instant) -> Reading {
        let mut turn = Turn { now, limit: self.slow_limit, firmware: &mut self.firmware };
        self.sources.sample(&mut turn)
    }

    /// Reads the longest overdue slow source, for 1 s at most; false if none is due. For the time after a sample was
    /// published, so that a program that hangs costs only itself.
    pub fn read_one_slow(&mut self, now: Instant) -> bool {
        let mut turn = Turn { now, limit: self.slow_limit, firmware: &mut self.firmware };
        self.sources.read_one(&mut turn)
    }

    /// Reads every source, the slow ones too, and reports the results; for `doctor`. The processor's percentage is
    /// that since the last [`Sampler::sample`], so one should lie some time back.
    pub fn inspect(&mut self) -> Vec<SourceReport> {
        let mut turn = Turn { now: Instant::now(), limit: self.slow_limit, firmware: &mut self.firmware };
        self.sources.inspect(&mut turn)
    }

    fn reloaded(&self, metrics: &config::Metrics, activity: &config::Activity) -> Sampler {
        Sampler::within(self.budget.clone(), &self.root, metrics, activity).with_slow_limit(self.slow_limit)
    }
}

/// In the order in which they write into a reading.
fn sources(
    root: &Path,
    metrics: &config::Metrics,
    activity: &config::Activity,
    firmware: &Firmware,
    budget: &Budget,
) -> Sources {
    let temperature = Temperature::new(root, firmware);
    let mut sources = Sources::default();
    sources.add(Cadence::EachSample, Cpu::new(root));
    sources.add(Cadence::EachSample, Load::new(root));
    sources.add(Cadence::EachSample, Uptime::new(root));
    sources.add(Cadence::EachSample, Memory::new(root));
    sources.add(temperature.pace(), temperature);
    sources.add(firmware.pace(), Power);
    sources.add(firmware.pace(), Throttled::new(root));
    sources.add(Cadence::EachSample, Fan::new(root));
    sources.add(Cadence::EachSample, DiskSource::new(root, &metrics.disk, budget));
    sources.add(Cadence::EachSample, FileSystems::new(root, activity.recording_dir.as_deref()));
    sources.add(Cadence::EachSample, Clock::new(root));
    sources.add(Cadence::EachSample, AppVersion::new(root, metrics.app_version_file.as_deref()));
    sources.add(Cadence::EachSample, NetworkSource::new(root));
    sources.add(Cadence::EachSample, Activities::new(root, activity, budget));
    if metrics.modem {
        sources.add(MODEM, modem::source(root));
    }
    // A fixture has no gpsd of its own, and must not meet this machine's.
    if metrics.gps && root == Path::new("/") {
        sources.add(GPS, gps::source(metrics.gps_position));
    }
    sources
}

/// Requests to the metrics thread. It ends when the other end of this channel is dropped.
#[derive(Debug)]
pub enum Control {
    /// A configuration that was checked, and a new schedule if the interval has changed.
    Reload { metrics: config::Metrics, activity: config::Activity, ticker: Option<Ticker> },
}

/// Samples at once and then at each tick, until `control` is dropped.
pub fn run(
    mut sampler: Sampler,
    mut ticker: Ticker,
    control: &Receiver<Control>,
    mut publish: impl FnMut(Reading),
) {
    publish(first_sample(&mut sampler));
    loop {
        sampler.read_one_slow(Instant::now());
        select! {
            recv(control) -> message => match message {
                Ok(Control::Reload { metrics, activity, ticker: new }) => {
                    sampler = sampler.reloaded(&metrics, &activity);
                    // Not published: the slow sources have not been read yet.
                    first_sample(&mut sampler);
                    ticker = new.unwrap_or(ticker);
                }
                Err(_) => return,
            },
            recv(ticker.due()) -> _ => {
                let now = Instant::now();
                ticker.advance(now);
                publish(sampler.sample(now));
            }
        }
    }
}

/// CPU usage needs two samples: this is the second. The wait at a start is not noticeable, and the average since boot,
/// which needs none, is not the current usage.
fn first_sample(sampler: &mut Sampler) -> Reading {
    sampler.sample(Instant::now());
    thread::sleep(cpu::WINDOW);
    sampler.sample(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    fn config() -> config::Metrics {
        config::Metrics {
            disk: PathBuf::from("/"),
            app_version_file: None,
            modem: false,
            gps: false,
            gps_position: false,
        }
    }

    fn sampler() -> Sampler {
        Sampler::new(Path::new("/"), &config(), &config::Activity::default())
    }

    #[test]
    fn the_thread_samples_at_once_then_at_each_tick_and_ends_with_its_control() {
        let (beats, due) = unbounded();
        let (control, commands) = unbounded();
        let (out, readings) = unbounded();
        let thread = thread::spawn(move || {
            run(sampler(), Ticker::by_hand(due), &commands, |metrics| {
                out.send(metrics).expect("the test listens")
            });
        });
        assert!(readings.recv().expect("at once").values.cpu.is_some(), "the first reading has all values");
        for _ in 0..2 {
            beats.send(Instant::now()).expect("running");
            let reading = readings.recv().expect("at the tick");
            assert!(reading.values.cpu.is_some(), "a sample that follows at once keeps the percentage");
        }
        drop(control);
        thread.join().expect("ended");
        assert!(readings.try_recv().is_err(), "one reading a tick");
    }

    #[test]
    fn a_reload_applies_the_new_configuration_and_interval() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::write(root.path().join("VERSION"), "3.10\n").expect("written");
        let old = Sampler::new(root.path(), &config(), &config::Activity::default());
        let (control, commands) = unbounded();
        let (_never, never_due) = unbounded();
        let (beats, due) = unbounded();
        let (out, readings) = unbounded();
        let thread = thread::spawn(move || {
            run(old, Ticker::by_hand(never_due), &commands, |metrics| {
                out.send(metrics).expect("the test listens")
            });
        });
        assert_eq!(readings.recv().expect("at once").app_version, None);
        let metrics = config::Metrics { app_version_file: Some(PathBuf::from("/VERSION")), ..config() };
        let activity = config::Activity::default();
        control
            .send(Control::Reload { metrics, activity, ticker: Some(Ticker::by_hand(due)) })
            .expect("running");
        beats.send(Instant::now()).expect("running");
        assert_eq!(readings.recv().expect("at the new tick").app_version.as_deref(), Some("3.10"));
        drop(control);
        thread.join().expect("ended");
    }
}
