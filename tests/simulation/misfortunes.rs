//! What happens to the monitor and its surroundings.

use crate::disk::{self, Condition, Crash};
use crate::model::Checked;
use crate::run::{Event, FLUSH_EVERY, Simulation};
use crate::trace;
use crate::world::{DAY, HOUR, MINUTE, Misfortune, SECOND, about, pick, signed};
use heartbeat_daemon::monitor::store::Store;
use std::time::Duration;

/// A process that was stopped for longer has not flushed in time.
const LONG_STALL: u64 = 16 * SECOND;

impl Simulation {
    pub fn misfortune(&mut self) -> Checked {
        let next = about(&mut self.rng, self.world.every).max(SECOND);
        self.schedule(next, Event::Misfortune);
        if self.world.misfortunes.is_empty() || self.process.is_none() || self.stalled_until.is_some() {
            return Ok(());
        }
        let misfortune = pick(&mut self.rng, &self.world.misfortunes);
        trace::note(format!("misfortune: {misfortune:?}"));
        match misfortune {
            Misfortune::Restart => return self.restart(),
            Misfortune::Kill => self.crash_soon(Crash::Kill),
            Misfortune::PowerLoss => self.crash_soon(Crash::PowerLoss),
            Misfortune::DiskFull => self.fail_disk(Condition::Full),
            Misfortune::DiskBroken => self.fail_disk(Condition::Broken),
            Misfortune::SmallStep if self.t > self.small_step_at + 10 * MINUTE => {
                self.small_step_at = self.t;
                let step = self.rng.i64(-4900..4900);
                self.step_clock(step);
            }
            Misfortune::SmallStep => {}
            Misfortune::StepForward => {
                let step = self.step_length();
                self.step_clock(step);
            }
            Misfortune::StepBack => {
                let step = self.step_length();
                self.step_clock(-step);
            }
            Misfortune::Stall => {
                let length = self.rng.u64(2 * SECOND..5 * MINUTE);
                self.stalled_since = self.t;
                self.stalled_until = Some(self.t + length);
                self.schedule(length, Event::EndOfStall);
            }
            Misfortune::Partition => {
                self.partition_until = self.t + about(&mut self.rng, 4 * MINUTE).min(HOUR);
            }
            Misfortune::Maintenance => return self.pause_machine(),
            Misfortune::Clone => self.copy_device(),
        }
        Ok(())
    }

    fn step_length(&mut self) -> i64 {
        let longest = pick(&mut self.rng, &[MINUTE, HOUR, 2 * DAY]);
        signed(self.rng.u64(6 * SECOND..longest))
    }

    fn step_clock(&mut self, step: i64) {
        trace::note(format!("the clock is set by {step} ms"));
        self.offset += step;
        self.disturbed_at = self.t;
        if step < 0 {
            self.model.clock_set_back(self.t, self.wall());
        }
        self.now();
    }

    /// At one of the next writes, or in between.
    fn crash_soon(&mut self, crash: Crash) {
        match self.rng.u8(..5) {
            0 => self.crash_now(crash),
            _ => {
                let writes = self.rng.u64(..200);
                disk::crash_after(writes, crash);
            }
        }
    }

    fn fail_disk(&mut self, condition: Condition) {
        disk::set(condition);
        let length = about(&mut self.rng, 2 * MINUTE).min(20 * MINUTE);
        self.schedule(length, Event::Heal);
    }

    fn restart(&mut self) -> Checked {
        self.step(|process, now| process.stop_recorder(now));
        self.stop_couriers()?;
        if disk::crashed().is_some() {
            self.crash();
            return Ok(());
        }
        let down = self.rng.u64(200..20 * SECOND);
        self.end_process(down);
        Ok(())
    }

    pub fn end_of_stall(&mut self) {
        if self.stalled_until.is_none_or(|until| until > self.t) {
            return;
        }
        self.stalled_until = None;
        trace::note("the process goes on".into());
        self.disturbed_at = self.t;
        let is_long = self.t - self.stalled_since > LONG_STALL;
        self.model.was_stalled(self.t, self.t + FLUSH_EVERY, is_long);
    }

    /// `heartbeat-monitor machine pause`, in a process of its own.
    fn pause_machine(&mut self) -> Checked {
        let machine = self.rng.usize(..self.world.machines.len());
        let length = self.rng.u64(MINUTE..HOUR);
        let now = self.now().wall;
        let faults = disk::faults();
        let store =
            Store::open_beside(&self.path().to_owned().into(), now).map_err(|error| error.to_string());
        let paused = store.and_then(|store| {
            let name = &self.world.machines[machine].name;
            let paused = store.pause_machine(name, Duration::from_millis(length), None, now);
            paused.map_err(|error| error.to_string())
        });
        if disk::crashed().is_some() {
            let until = now.plus(Duration::from_millis(length));
            self.unsure_pause = Some((machine, now.0, until.0));
            self.crash();
            return Ok(());
        }
        match paused {
            Ok(until) => self.model.machines[machine].pause(now.0, until.0),
            Err(error) if disk::faults() == faults => return Err(format!("cannot pause: {error}")),
            Err(_) => {}
        }
        Ok(())
    }

    /// Schedules what happens to the cameras and the power of a device.
    pub fn schedule_parts(&mut self, device: usize) {
        for camera in 0..self.devices[device].parts.cameras.len() {
            let first = self.of_parts.u64(MINUTE..40 * MINUTE);
            self.schedule(first, Event::Camera(device, camera));
        }
        if !self.devices[device].parts.cameras.is_empty() && self.of_parts.bool() {
            let first = self.of_parts.u64(10 * MINUTE..HOUR);
            self.schedule(first, Event::PowerCut(device));
        }
    }

    pub fn change_camera(&mut self, device: usize, camera: usize) {
        if self.is_calm {
            return;
        }
        let length = self.devices[device].parts.cameras[camera].change(&mut self.of_parts);
        trace::note(format!("device {}: camera {camera} changes for {} s", device + 1, length / SECOND));
        self.schedule(length, Event::Camera(device, camera));
    }

    /// The cameras are the first to fail, mostly for less than their hold time before the device.
    pub fn cut_power(&mut self, device: usize) {
        if self.is_calm {
            return;
        }
        trace::note(format!("device {}: its cameras lose power", device + 1));
        self.devices[device].parts.set_power(false);
        let rest = pick(&mut self.of_parts, &[5 * SECOND, 30 * SECOND, 50 * SECOND, 2 * MINUTE]);
        self.schedule(rest, Event::PowerOff(device));
    }

    pub fn power_off(&mut self, device: usize) {
        trace::note(format!("device {} loses power", device + 1));
        self.devices[device].set_power(false, self.t);
        let length = about(&mut self.of_parts, 8 * MINUTE).min(HOUR);
        self.schedule(length, Event::PowerOn(device));
    }

    pub fn power_on(&mut self, device: usize) {
        trace::note(format!("device {} has power again", device + 1));
        self.devices[device].set_power(true, self.t);
        let later = self.of_parts.u64(..90 * SECOND);
        self.schedule(later, Event::CamerasOn(device));
        let next = about(&mut self.of_parts, HOUR).max(5 * MINUTE);
        self.schedule(next, Event::PowerCut(device));
    }

    fn copy_device(&mut self) {
        let original = self.rng.usize(..self.world.machines.len());
        let copy = self.devices[original].copied();
        self.devices.push(copy);
        let device = self.devices.len() - 1;
        self.schedule(SECOND, Event::Beat(device));
        let length = self.rng.u64(MINUTE..HOUR);
        self.schedule(length, Event::EndOfCopy(device));
    }
}
