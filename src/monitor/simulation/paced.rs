//! A thread with its share of the machines, which send at their interval and otherwise do what the daemon does: an attempt
//! has two seconds, and one that fails is repeated at the next server, or after a delay.

use super::churn::Churn;
use super::connection::{Arrived, FleetConnection, ResponseHead};
use super::failure::FailureKind;
use super::machine::{OutageState, SimulatedMachine};
use super::plan::Plan;
use super::report::Report;
use super::target::source;
use crate::http::Pace;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use fastrand::Rng;
use mio::{Events, Poll, Token};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The timeout of an attempt, as of the daemon.
const TIMEOUT: Duration = Duration::from_secs(2);
const EVENTS: usize = 1024;
/// A stop is noticed within this time.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
const PROGRESS: Duration = Duration::from_secs(1);

/// The times of a run.
#[derive(Debug, Clone, Copy)]
pub struct RunTimes {
    pub start: Instant,
    /// What happens before is not counted.
    pub begin: Instant,
    pub end: Instant,
    pub interval: Duration,
}

/// The share of a thread, interleaved with those of the others.
#[derive(Debug, Clone, Copy)]
pub struct ThreadShare {
    pub thread: usize,
    pub threads: usize,
}

/// How far a thread is.
#[derive(Debug, Clone, Copy, Default)]
pub struct FleetSnapshot {
    pub thread: usize,
    pub connections: usize,
    pub acknowledged: u64,
    /// Machines whose last heartbeat failed.
    pub disturbed: usize,
    pub outages: usize,
}

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Beat,
    /// Unless there was another attempt after this one.
    Retry(u32),
}

pub struct PacedThread {
    plan: Arc<Plan>,
    share: ThreadShare,
    times: RunTimes,
    poll: Poll,
    pace: Pace,
    looked: Instant,
    machines: Vec<SimulatedMachine>,
    timers: BinaryHeap<Reverse<(Instant, usize, Due)>>,
    /// Ends of attempts, in order: all have the same timeout.
    timeouts: VecDeque<(Instant, usize, u32)>,
    churn: Churn,
    random: Rng,
    open: usize,
    disturbed: usize,
    disturbed_since: Option<Instant>,
    report: Report,
    buffer: Vec<u8>,
}

impl PacedThread {
    pub fn new(plan: Arc<Plan>, share: ThreadShare, times: RunTimes) -> io::Result<PacedThread> {
        let number = |index: usize| index * share.threads + share.thread;
        let count = (share.thread..plan.machines()).step_by(share.threads).count();
        let servers = plan.servers.len();
        let mut machines: Vec<_> =
            (0..count).map(|index| SimulatedMachine::new(number(index) % servers)).collect();
        for outage in
            plan.behaviour.outages.iter().filter(|outage| outage.machine % share.threads == share.thread)
        {
            let (from, until) = (times.begin + outage.from, times.begin + outage.until);
            machines[outage.machine / share.threads].outage =
                OutageState::Planned { from, until, closes: outage.closes };
        }
        let churn =
            Churn::new(count, plan.behaviour.churn / share.threads as f64, plan.behaviour.seed, times.begin);
        let random = Rng::with_seed(plan.behaviour.seed.wrapping_add(share.thread as u64));
        let (poll, buffer) = (Poll::new()?, vec![0; 16 * 1024]);
        Ok(PacedThread {
            plan,
            share,
            times,
            poll,
            pace: Pace::new(times.start),
            looked: times.start,
            machines,
            timers: BinaryHeap::new(),
            timeouts: VecDeque::new(),
            churn,
            random,
            open: 0,
            disturbed: 0,
            disturbed_since: None,
            report: Report::default(),
            buffer,
        })
    }

    /// Runs until the end, or until `stop` is disconnected.
    pub fn run(mut self, stop: &Receiver<()>, progress: &Sender<FleetSnapshot>) -> io::Result<Report> {
        let mut events = Events::with_capacity(EVENTS);
        self.start();
        let mut reported = self.times.start;
        let mut is_begun = false;
        loop {
            let now = Instant::now();
            if now >= self.times.end || stop.try_recv() == Err(TryRecvError::Disconnected) {
                break;
            }
            if now >= self.times.begin && !is_begun {
                is_begun = true;
                self.report.unready = self.unheard();
            }
            if now >= reported + PROGRESS {
                reported = now;
                // The receiver is gone, or busy: the next snapshot has more.
                let _ = progress.try_send(self.snapshot());
            }
            self.act(now);
            self.wait(&mut events)?;
        }
        self.drain(&mut events)?;
        Ok(self.finish())
    }

    fn unheard(&self) -> usize {
        self.machines.iter().filter(|machine| machine.heard.is_none()).count()
    }

    fn snapshot(&self) -> FleetSnapshot {
        let is_silent = |machine: &&SimulatedMachine| matches!(machine.outage, OutageState::Silent { .. });
        FleetSnapshot {
            thread: self.share.thread,
            connections: self.open,
            acknowledged: self.report.accepted.count(),
            disturbed: self.disturbed,
            outages: self.machines.iter().filter(is_silent).count(),
        }
    }

    /// The machines begin one after the other.
    fn start(&mut self) {
        let count = self.machines.len().max(1) as f64;
        for index in 0..self.machines.len() {
            let phase = self.plan.behaviour.ramp.mul_f64(index as f64 / count);
            self.timers.push(Reverse((self.times.start + phase, index, Due::Beat)));
        }
    }

    /// Does what is due.
    fn act(&mut self, now: Instant) {
        while let Some(Reverse((_, index, due))) = self.timers.peek().copied().filter(|next| next.0.0 <= now)
        {
            let at = self.timers.pop().map_or(now, |Reverse((at, ..))| at);
            match due {
                Due::Beat => self.beat(index, at, now),
                Due::Retry(attempt) if self.machines[index].attempts == attempt => self.attempt(index, now),
                Due::Retry(_) => {}
            }
        }
        while let Some((_, index, attempt)) = self.timeouts.front().copied().filter(|next| next.0 <= now) {
            self.timeouts.pop_front();
            if self.machines[index].attempts == attempt && self.machines[index].is_busy() {
                self.failed(index, FailureKind::Timeout, now);
            }
        }
        while let Some(index) = self.churn.due(now) {
            self.machines[index].churns = true;
            self.churn_now(index);
        }
    }

    fn beat(&mut self, index: usize, at: Instant, now: Instant) {
        // Skips missed beats: no burst after a pause, and no drift.
        let interval = self.times.interval;
        let missed = now.duration_since(at).div_duration_f64(interval) as u32;
        self.timers.push(Reverse((at + interval * (missed + 1), index, Due::Beat)));
        if self.machines[index].is_busy() && self.machines[index].outage == OutageState::None {
            self.report.late += u64::from(now >= self.times.begin);
        } else {
            self.attempt(index, now);
        }
    }

    fn attempt(&mut self, index: usize, now: Instant) {
        let machine = &mut self.machines[index];
        let was_open = machine.connection.is_some();
        let is_silent = machine.is_silent(now);
        self.open -= usize::from(was_open && machine.connection.is_none());
        if is_silent || machine.is_busy() {
            return;
        }
        machine.attempts = machine.attempts.wrapping_add(1);
        self.timeouts.push_back((now + TIMEOUT, index, machine.attempts));
        self.report.requests += 1;
        self.report.sent += u64::from(now >= self.times.begin);
        if let Err(error) = self.send(index, now) {
            self.failed(index, FailureKind::of(&error), now);
        }
    }

    /// Sends a heartbeat to the machine's server, over the connection to it or over a new one.
    fn send(&mut self, index: usize, now: Instant) -> io::Result<()> {
        let (plan, machine) = (&self.plan, &mut self.machines[index]);
        let number = index * self.share.threads + self.share.thread;
        let place = machine.choice.server(now);
        if machine.connected_to != place && machine.connection.take().is_some() {
            self.open -= 1;
        }
        if machine.connection.is_none() {
            let server = &plan.servers[place];
            let from = source(server, plan.behaviour.first.saturating_add(number as u32));
            let registry = self.poll.registry();
            let opened = FleetConnection::open(server, from, &mut machine.tls, registry, Token(index))?;
            (machine.connection, machine.connected_to) = (Some(opened), place);
            self.open += 1;
            self.report.connections = self.report.connections.max(self.open);
        }
        match &mut machine.connection {
            Some(connection) => connection.send(plan.request(place, number, machine.attempts as usize), now),
            None => Ok(()),
        }
    }

    fn close(&mut self, index: usize) {
        self.open -= usize::from(self.machines[index].connection.take().is_some());
    }

    /// Closes the connection of a machine if its turn has come and no request is in flight.
    fn churn_now(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        if machine.churns && !machine.is_busy() {
            machine.churns = false;
            self.report.churned += u64::from(machine.connection.is_some());
            self.close(index);
        }
    }

    /// Waits for the next timer, and reads everything that has arrived: a device reads its response at once, and must not be
    /// called too late because this thread is busy with others.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        if let Some(pause) = self.pace.pause(self.looked, Instant::now()) {
            std::thread::sleep(pause);
        }
        let now = Instant::now();
        let next =
            self.timers.peek().map_or(LONGEST_WAIT, |Reverse((at, ..))| at.saturating_duration_since(now));
        let mut limit = next.min(LONGEST_WAIT);
        loop {
            match self.poll.poll(events, Some(limit)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            self.looked = Instant::now();
            self.pace.looked(events.iter().count(), self.open, self.looked);
            for event in events.iter() {
                self.handle(event.token().0, event.is_readable() || event.is_error());
            }
            if events.iter().count() < EVENTS {
                return Ok(());
            }
            limit = Duration::ZERO;
        }
    }

    fn handle(&mut self, index: usize, readable: bool) {
        let Some(connection) = &mut self.machines[index].connection else { return };
        let was_busy = connection.is_busy();
        let arrived = connection.writable().and_then(|()| match readable {
            true => connection.readable(&mut self.buffer),
            false => Ok(Arrived::Nothing),
        });
        match arrived {
            Ok(Arrived::Nothing) => {}
            Ok(Arrived::Response(head, sent)) => self.responded(index, head, sent),
            Err(error) if was_busy => self.failed(index, FailureKind::of(&error), Instant::now()),
            Err(_) => self.closed_idle(index),
        }
    }

    fn responded(&mut self, index: usize, head: ResponseHead, sent: Instant) {
        let now = Instant::now();
        if sent >= self.times.begin {
            self.report.record(head.status, now - sent);
        }
        if head.closes || self.plan.behaviour.is_new_each {
            self.close(index);
        }
        match head.status {
            200..300 => self.acknowledged(index, sent, now),
            429 | 500.. => self.repeat(index, now),
            // A repetition would be refused as well; the next heartbeat comes in any case.
            _ => self.disturb(index, now),
        }
        self.churn_now(index);
    }

    fn acknowledged(&mut self, index: usize, sent: Instant, now: Instant) {
        let machine = &mut self.machines[index];
        let was_disturbed = machine.is_disturbed;
        let silence = machine.acknowledged(sent, now);
        let number = self.plan.behaviour.first + (index * self.share.threads + self.share.thread) as u32;
        if matches!(machine.outage, OutageState::Resumed { .. }) {
            self.report.outages.extend(machine.caused_outage(number, self.times.start, Some(now)));
            machine.outage = OutageState::None;
        }
        if let Some(silence) = silence.filter(|_| sent >= self.times.begin) {
            self.report.longest_silence = self.report.longest_silence.max(silence);
        }
        self.disturbed -= usize::from(was_disturbed);
        if let Some(since) = self.disturbed_since.take_if(|_| self.disturbed == 0) {
            self.report.longest_disturbance = self.report.longest_disturbance.max(now - since);
        }
    }

    fn closed_idle(&mut self, index: usize) {
        let now = Instant::now();
        self.close(index);
        // Of a machine that is silent this is to be expected.
        if self.machines[index].outage == OutageState::None && now >= self.times.begin {
            *self.report.failures.entry(FailureKind::ClosedIdle).or_default() += 1;
            self.disturb(index, now);
        }
    }

    fn failed(&mut self, index: usize, kind: FailureKind, now: Instant) {
        self.close(index);
        if now >= self.times.begin {
            *self.report.failures.entry(kind).or_default() += 1;
            self.report.broken += 1;
        }
        self.repeat(index, now);
    }

    /// Repeats the heartbeat at the next server, or after a delay.
    fn repeat(&mut self, index: usize, now: Instant) {
        self.disturb(index, now);
        let machine = &mut self.machines[index];
        let (servers, jitter) = (self.plan.servers.len(), self.random.f64());
        let delay = machine.choice.failed(servers, self.times.interval, now, jitter);
        self.timers.push(Reverse((now + delay, index, Due::Retry(machine.attempts))));
    }

    fn disturb(&mut self, index: usize, now: Instant) {
        let machine = &mut self.machines[index];
        if now >= self.times.begin && !std::mem::replace(&mut machine.is_disturbed, true) {
            self.disturbed += 1;
            self.disturbed_since.get_or_insert(now);
        }
    }

    /// Waits for the responses in flight; what is due then is not sent any more.
    fn drain(&mut self, events: &mut Events) -> io::Result<()> {
        self.timers.clear();
        let end = Instant::now() + TIMEOUT;
        while Instant::now() < end && self.machines.iter().any(SimulatedMachine::is_busy) {
            self.wait(events)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Report {
        self.report.length = Instant::now().min(self.times.end).saturating_duration_since(self.times.begin);
        let is_open = |machine: &&SimulatedMachine| machine.is_busy() || machine.is_disturbed;
        self.report.unacknowledged = self.machines.iter().filter(is_open).count();
        for (index, machine) in self.machines.iter().enumerate() {
            let number = self.plan.behaviour.first + (index * self.share.threads + self.share.thread) as u32;
            self.report.outages.extend(machine.caused_outage(number, self.times.start, None));
        }
        self.report
    }
}
