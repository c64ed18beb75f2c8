//! Messages: each must have a cause, its time and its place in the order, and none comes twice without a reason.

use crate::model::{BACKOFF, Checked, History, Key, Row, Status};
use crate::parts::Part;
use crate::run::{Event, InFlight, Simulation};
use crate::trace;
use crate::world::{MINUTE, SECOND, signed};
use heartbeat_daemon::monitor::notify::message::DeliveryError;
use heartbeat_daemon::monitor::notify::notice::Notice;
use heartbeat_daemon::monitor::notify::pool::{DeliveryJob, JobResult};
use std::collections::BTreeSet;

/// A person gets 4 messages in 15 s.
const LATE_FOR_PEOPLE: u64 = 90 * SECOND;
const LATE_FOR_PROGRAMS: u64 = 3 * SECOND;

impl Simulation {
    /// A courier begins to send a message.
    pub fn take_off(&mut self, job: DeliveryJob) -> Checked {
        let channel = usize::try_from(job.channel.id.0 - 1).expect("a channel");
        let machines: BTreeSet<i64> = job.message.notices.iter().map(|notice| notice.machine).collect();
        let is_repetition = job.message.notices.iter().all(|notice| notice.news.is_repetition());
        let is_joined =
            job.channel.kind.is_for_people() && (is_repetition || matches!(machines.len(), 1 | 5..));
        let many = job.message.notices.len();
        if many > 1 && !is_joined {
            return Err(format!("{} notices in one message of channel {}", many, channel + 1));
        }
        let mut rows: Vec<usize> = Vec::new();
        for (notice, id) in job.message.notices.iter().zip(&job.message.rows) {
            let key = key(notice);
            let is_caused_by = |row: &Row| {
                (row.channel, Some(row.key), row.news, row.at)
                    == (channel, key, notice.news.name(), notice.at)
            };
            let row = self.model.rows.iter().position(is_caused_by);
            let message = format!("\"{}\" at channel {}", notice.title(), channel + 1);
            let index = row.ok_or_else(|| format!("false: {message} has no cause"))?;
            self.check_row(index, *id, &message, &rows)?;
            let row = &mut self.model.rows[index];
            if !says(notice, row) {
                return Err(format!("false: {message} says {notice:?} instead of {row:?}"));
            }
            row.attempted = true;
            row.in_flight = true;
            row.id = Some(*id);
            rows.push(index);
        }
        let may_refuse = self.world.has_refusals && !self.is_calm;
        let is_extra = rows.iter().all(|row| self.model.rows[*row].is_extra);
        let rng = if is_extra { &mut self.of_people } else { &mut self.rng };
        let fate = self.receivers[channel].deliver(rng, may_refuse);
        if let Some(received) = fate.received {
            self.schedule(received, Event::Receive(self.life, job.number));
        }
        self.schedule(fate.answered, Event::Answer(self.life, job.number));
        let in_flight = InFlight { channel, rows, ids: job.message.rows, fate, is_received: false };
        self.in_flight.insert(job.number, in_flight);
        Ok(())
    }

    /// `together`: the rows before it in the same message.
    fn check_row(&self, index: usize, id: i64, message: &str, together: &[usize]) -> Checked {
        let row = &self.model.rows[index];
        if row.id.is_some_and(|known| known != id) {
            return Err(format!("doubled: {message} has the ids {:?} and {id}", row.id));
        }
        if row.skipped {
            return Err(format!("false: {message} was over before it was due: {row:?}"));
        }
        if row.answered {
            return Err(format!("doubled: {message} was acknowledged"));
        }
        if row.is_obsolete {
            return Err(format!("false: {message} is sent again after its end: {row:?}"));
        }
        if row.due > self.wall() && !self.world.has_steps {
            return Err(format!("early: {message} is due {} ms later", row.due - self.wall()));
        }
        let is_earlier = |&(other, earlier): &(usize, &Row)| {
            (earlier.channel, earlier.key.machine) == (row.channel, row.key.machine)
                && (!earlier.may_be_skipped || earlier.in_flight)
                && !earlier.answered
                && !together.contains(&other)
                && !self.may_overtake(row, earlier)
        };
        match self.model.rows[..index].iter().enumerate().find(is_earlier) {
            Some((_, earlier)) => Err(format!("out of order: {message} overtakes {earlier:?}")),
            None => Ok(()),
        }
    }

    /// Parts that failed together need not wait for each other, and nothing waits for what is held of another incident. After
    /// the clock was set back, what was written later counts as written together.
    fn may_overtake(&self, row: &Row, earlier: &Row) -> bool {
        let is_same = (row.news, row.created) == (earlier.news, earlier.created);
        let is_held = !earlier.attempted && earlier.due > self.wall();
        let is_other = (row.key, row.incident) != (earlier.key, earlier.incident);
        is_held && is_other || is_same && row.key != earlier.key && row.key.part != Part::Machine
    }

    pub fn receive(&mut self, job: u64) -> Checked {
        let Some(in_flight) = self.in_flight.get(&job) else { return Ok(()) };
        let (channel, ids) = (in_flight.channel, in_flight.ids.clone());
        if self.receivers[channel].kind == "email" && !self.hand_over(job, &ids)? {
            return Ok(());
        }
        self.arrive(job)
    }

    /// What a mail courier does before it hands over a mail; false if it must not.
    fn hand_over(&mut self, job: u64, ids: &[i64]) -> Result<bool, String> {
        let noted = self.step(|process, now| process.note_handover(ids, now.wall));
        if crate::disk::crashed().is_some() {
            self.crash();
            return Ok(false);
        }
        match noted {
            Some((Ok(()), _)) => Ok(true),
            Some((Err(error), true)) => Err(format!("a mail is not handed over: {error}")),
            _ => {
                if let Some(in_flight) = self.in_flight.get_mut(&job) {
                    in_flight.fate.result = Err(DeliveryError::later("the handover was not noted"));
                }
                Ok(false)
            }
        }
    }

    fn arrive(&mut self, job: u64) -> Checked {
        let Some(in_flight) = self.in_flight.get_mut(&job) else { return Ok(()) };
        in_flight.is_received = true;
        let (channel, rows) = (in_flight.channel, in_flight.rows.clone());
        for index in rows {
            self.counts.messages += 1;
            let row = &self.model.rows[index];
            self.counts.reminders += u64::from(row.news == "reminder");
            self.counts.escalations += u64::from(row.news == "escalation");
            let message = format!("{} {} at channel {}", row.key, row.news, channel + 1);
            trace::note(format!("received: {message}"));
            if row.received > 0 {
                self.counts.repeated += 1;
                if !row.may_repeat {
                    return Err(format!("doubled: {message}: {row:?}"));
                }
            } else {
                self.check_late(index, &message)?;
            }
            self.model.rows[index].received += 1;
        }
        Ok(())
    }

    fn check_late(&self, index: usize, message: &str) -> Checked {
        let row = &self.model.rows[index];
        let receiver = &self.receivers[row.channel];
        let limit = if receiver.kind == "webhook" { LATE_FOR_PROGRAMS } else { LATE_FOR_PEOPLE };
        let receiver_back = receiver.failed_at.map_or(0, |failed| failed + BACKOFF);
        // Lost answers and leases of an earlier process are retried within the time of a backoff.
        let base = row.ready.max(self.disturbed_at + BACKOFF).max(receiver_back);
        match self.t > base + limit {
            true => Err(format!("late: {message} by {} ms: {row:?}", self.t - row.ready)),
            false => Ok(()),
        }
    }

    /// A courier has the result.
    pub fn answer(&mut self, job: u64) -> Checked {
        self.finish(job)?;
        self.run_round()
    }

    fn finish(&mut self, job: u64) -> Checked {
        let Some(in_flight) = self.in_flight.remove(&job) else { return Ok(()) };
        let result = in_flight.fate.result;
        if result.is_err() {
            self.receivers[in_flight.channel].failed_at = Some(self.t);
            trace::note(format!("channel {}: {result:?}", in_flight.channel + 1));
        }
        let (is_alone, wall) = (in_flight.rows.len() == 1, self.wall());
        for &row in &in_flight.rows {
            let row = &mut self.model.rows[row];
            let is_refused = is_alone && matches!(result, Err(DeliveryError::Never { .. }));
            row.finished(result.is_ok(), is_refused, wall);
            row.may_repeat |= in_flight.is_received && result.is_err();
        }
        let result = result.map(|()| "ok".to_owned());
        self.step(|process, _| process.dispatcher.finish(JobResult { number: job, result }));
        Ok(())
    }

    /// The couriers stop: some messages in flight end, some are cut, some are left.
    pub fn stop_couriers(&mut self) -> Checked {
        let jobs: Vec<u64> = self.in_flight.keys().copied().collect();
        let mut cut = Vec::new();
        for job in jobs {
            let is_extra = self.in_flight[&job].rows.iter().all(|row| self.model.rows[*row].is_extra);
            let rng = if is_extra { &mut self.of_people } else { &mut self.rng };
            match rng.u8(..3) {
                0 if self.in_flight[&job].is_received || self.in_flight[&job].fate.received.is_none() => {
                    self.finish(job)?;
                }
                1 => cut.push(job),
                _ => {}
            }
        }
        self.step(|process, _| process.dispatcher.stop());
        for job in cut {
            let Some(in_flight) = self.in_flight.get_mut(&job) else { continue };
            let is_mail = self.receivers[in_flight.channel].kind == "email";
            in_flight.fate.result = match is_mail && in_flight.is_received {
                true => Err(DeliveryError::Unknown { why: "cut".into() }),
                false => Err(DeliveryError::later("cut")),
            };
            self.finish(job)?;
        }
        if let Some((Ok(()), true)) = self.step(|process, _| process.dispatcher.mark()) {
            self.model.marked(self.wall());
        }
        Ok(())
    }

    /// Everything that was caused has been received, and each reader's last message is true.
    pub fn check_end(&self) -> Checked {
        let (settled, ready) = (self.wall() - signed(5 * MINUTE), self.t - 5 * MINUTE);
        let is_over =
            |row: &&Row| !row.may_be_skipped && !row.dead && row.due <= settled && row.ready <= ready;
        for row in self.model.rows.iter().filter(is_over) {
            if row.received == 0 || !row.answered {
                return Err(format!("missing: {row:?}"));
            }
        }
        for (index, machine) in self.model.machines.iter().enumerate() {
            let is_up = self.devices.iter().any(|device| device.machine == index && device.is_alive());
            let state = match machine.status {
                Status::Online => "online",
                Status::Offline => "offline",
                _ => continue,
            };
            if is_up != (state == "online") {
                return Err(format!("m{} is {state} and its device is up: {is_up}", index + 1));
            }
            self.check_belief(Key { machine: index, part: Part::Machine }, state)?;
            if state == "online" {
                self.check_cameras(index)?;
            }
        }
        Ok(())
    }

    fn check_cameras(&self, machine: usize) -> Checked {
        let Some(device) = self.devices.iter().find(|device| device.machine == machine) else {
            return Ok(());
        };
        for (number, camera) in device.parts.cameras.iter().enumerate() {
            let key = Key { machine, part: Part::Camera(number) };
            let is_open = self.model.history(key).is_some_and(|history| history.open().is_some());
            if is_open == camera.responds() {
                return Err(format!(
                    "{key} responds: {}, its incident is open: {is_open}",
                    camera.responds()
                ));
            }
            self.check_belief(key, if is_open { "condition" } else { "condition_ended" })?;
        }
        Ok(())
    }

    fn check_belief(&self, key: Key, state: &str) -> Checked {
        if self.model.history(key).is_some_and(History::is_quiet) {
            return Ok(());
        }
        for channel in (0..self.receivers.len()).filter(|channel| self.model.hears_all(*channel, key)) {
            let is_unknown = |row: &Row| {
                (row.channel, row.key) == (channel, key) && (row.dead || row.may_be_skipped != row.skipped)
            };
            let believed = self.model.believed(channel, key, true);
            if believed != Some(state) && !self.model.rows.iter().any(is_unknown) {
                return Err(format!("{key} is {state}, and channel {} believes {believed:?}", channel + 1));
            }
        }
        Ok(())
    }
}

/// What a notice is about; `None`: nothing that was caused.
fn key(notice: &Notice) -> Option<Key> {
    let machine = usize::try_from(notice.machine - 1).ok()?;
    let part = match &notice.condition {
        None => Part::Machine,
        Some(condition) => Part::find(&condition.condition, &condition.subject)?,
    };
    Some(Key { machine, part })
}

fn says(notice: &Notice, row: &Row) -> bool {
    let value = notice.condition.as_ref().and_then(|condition| condition.value);
    notice.state.name() == row.state
        && row.last_seen.is_none_or(|seen| seen == notice.last_seen)
        && (row.news == "steady" || value == row.value)
        && lists(notice, &row.listed)
}

/// A summary lists 20 conditions at most.
fn lists(notice: &Notice, expected: &[Key]) -> bool {
    let listed: Vec<Option<Key>> = notice
        .existing
        .iter()
        .map(|(name, condition)| {
            let machine = name.strip_prefix('m')?.parse::<usize>().ok()? - 1;
            Some(Key { machine, part: Part::find(&condition.condition, &condition.subject)? })
        })
        .collect();
    let distinct: BTreeSet<_> = listed.iter().collect();
    notice.existing_in_all == expected.len()
        && distinct.len() == expected.len().min(20)
        && listed.iter().all(|key| key.is_some_and(|key| expected.contains(&key)))
}
