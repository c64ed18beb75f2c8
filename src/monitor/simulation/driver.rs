//! A thread with its share of the connections.

use super::connection::{Arrived, FleetConnection};
use super::plan::{Plan, SendRate};
use super::report::Report;
use crate::clock::remaining;
use mio::{Events, Poll, Token};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A broken connection is reopened after this time.
const PAUSE: Duration = Duration::from_secs(1);
/// The wait for outstanding responses at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const EVENTS: usize = 1024;

pub struct Driver {
    plan: Arc<Plan>,
    poll: Poll,
    /// The number of the first slot, and the distance to the next: the slots of all threads are interleaved.
    first: usize,
    step: usize,
    slots: Vec<FleetSlot>,
    /// When each slot sends or connects next.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    begin: Instant,
    report: Report,
    buffer: Vec<u8>,
}

#[derive(Default)]
struct FleetSlot {
    connection: Option<FleetConnection>,
    /// Requests sent so far.
    turn: usize,
}

impl Driver {
    pub fn new(plan: Arc<Plan>, first: usize, step: usize, begin: Instant) -> io::Result<Driver> {
        let mine = (first..plan.connections).step_by(step.max(1)).count();
        let slots = (0..mine).map(|_| FleetSlot::default()).collect();
        let (poll, report) = (Poll::new()?, Report::default());
        let buffer = vec![0; 16 * 1024];
        Ok(Driver { plan, poll, first, step, slots, due: BinaryHeap::new(), begin, report, buffer })
    }

    pub fn run(&mut self) -> io::Result<Report> {
        let start = Instant::now();
        let period = self.plan.period();
        for slot in 0..self.slots.len() {
            let phase = period.mul_f64(slot as f64 / self.slots.len() as f64);
            self.due.push(Reverse((start + phase, slot)));
        }
        let end = self.begin + self.plan.length;
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            self.send_due(now, period);
            self.wait(&mut events, end)?;
        }
        self.drain(&mut events, end)?;
        self.report.length = self.plan.length;
        Ok(std::mem::take(&mut self.report))
    }

    fn send_due(&mut self, now: Instant, period: Duration) {
        while let Some(Reverse((due, slot))) = self.due.peek().copied() {
            if due > now {
                break;
            }
            self.due.pop();
            if self.slots[slot].connection.as_ref().is_some_and(FleetConnection::is_busy) {
                self.report.late += 1;
            } else {
                self.send(slot);
            }
            if !period.is_zero() {
                // Skips missed periods: no burst after a pause, and no drift.
                let missed = now.duration_since(due).div_duration_f64(period) as u32;
                self.due.push(Reverse((due + period * (missed + 1), slot)));
            }
        }
    }

    /// Sends the next request of a slot, on a new connection if it has none.
    fn send(&mut self, slot: usize) {
        let number = self.first + slot * self.step;
        let FleetSlot { connection, turn } = &mut self.slots[slot];
        let machine = number + *turn * self.plan.connections;
        let own_turn = *turn / self.plan.machines().div_ceil(self.plan.connections.max(1)).max(1);
        *turn += 1;
        let opened = match connection {
            Some(connection) => Ok(connection),
            None => FleetConnection::open(self.plan.address, self.poll.registry(), Token(slot))
                .map(|opened| connection.insert(opened)),
        };
        let sent = opened
            .and_then(|connection| connection.send(self.plan.request(machine, own_turn), Instant::now()));
        if sent.is_err() {
            self.broke(slot);
        }
    }

    fn wait(&mut self, events: &mut Events, end: Instant) -> io::Result<()> {
        let next = self.due.peek().map_or(end, |Reverse((due, _))| (*due).min(end));
        let timeout = remaining(next);
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in events.iter() {
            self.handle(event.token().0, event.is_readable() || event.is_error());
        }
        Ok(())
    }

    fn handle(&mut self, slot: usize, readable: bool) {
        let Some(connection) = &mut self.slots[slot].connection else { return };
        let arrived = connection.writable().and_then(|()| match readable {
            true => connection.readable(&mut self.buffer),
            false => Ok(Arrived::Nothing),
        });
        match arrived {
            Ok(Arrived::Nothing) => {}
            Ok(Arrived::Response(status, sent)) => {
                self.record(status, sent);
                if self.plan.rate == SendRate::Unlimited {
                    self.send(slot);
                }
            }
            Err(_) => self.broke(slot),
        }
    }

    fn record(&mut self, status: u16, sent: Instant) {
        let now = Instant::now();
        if now < self.begin {
            return;
        }
        match status {
            200..300 => self.report.accepted.record(now - sent),
            _ => *self.report.refused.entry(status).or_default() += 1,
        }
    }

    fn broke(&mut self, slot: usize) {
        self.slots[slot].connection = None;
        self.report.broken += 1;
        if self.plan.rate == SendRate::Unlimited {
            self.due.push(Reverse((Instant::now() + PAUSE, slot)));
        }
    }

    fn drain(&mut self, events: &mut Events, end: Instant) -> io::Result<()> {
        self.due.clear();
        if self.plan.rate == SendRate::Unlimited {
            return Ok(());
        }
        let end = end + DRAIN_TIMEOUT;
        while Instant::now() < end && self.slots.iter().any(FleetSlot::is_busy) {
            self.wait(events, end)?;
        }
        Ok(())
    }
}

impl FleetSlot {
    fn is_busy(&self) -> bool {
        self.connection.as_ref().is_some_and(FleetConnection::is_busy)
    }
}
