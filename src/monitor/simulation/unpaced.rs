//! A thread with its share of the connections, each of which sends again as soon as it has a response: for throughput.

use super::connection::{Arrived, FleetConnection};
use super::plan::Plan;
use super::report::Report;
use super::target::source;
use crate::clock::remaining;
use mio::{Events, Poll, Token};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A broken connection is reopened after this time.
const PAUSE: Duration = Duration::from_secs(1);
const EVENTS: usize = 1024;
const LONGEST_WAIT: Duration = Duration::from_millis(100);

pub struct UnpacedThread {
    plan: Arc<Plan>,
    poll: Poll,
    /// The number of the first slot, and the distance to the next: the slots of all threads are interleaved.
    first: usize,
    step: usize,
    slots: Vec<FleetSlot>,
    /// Slots without a connection, with the time at which each connects again.
    broken: Vec<(Instant, usize)>,
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

impl UnpacedThread {
    pub fn new(plan: Arc<Plan>, first: usize, step: usize, begin: Instant) -> io::Result<UnpacedThread> {
        let mine = (first..plan.connections).step_by(step.max(1)).count();
        let slots = (0..mine).map(|_| FleetSlot::default()).collect();
        let (poll, report) = (Poll::new()?, Report::default());
        let buffer = vec![0; 16 * 1024];
        Ok(UnpacedThread { plan, poll, first, step, slots, broken: Vec::new(), begin, report, buffer })
    }

    pub fn run(&mut self) -> io::Result<Report> {
        let end = self.begin + self.plan.length;
        let mut events = Events::with_capacity(EVENTS);
        (0..self.slots.len()).for_each(|slot| self.send(slot));
        while Instant::now() < end {
            self.reopen();
            self.wait(&mut events, end)?;
        }
        self.report.length = self.plan.length;
        Ok(std::mem::take(&mut self.report))
    }

    fn reopen(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.broken).into_iter().partition(|(due, _)| *due <= now);
        self.broken = later;
        let due: Vec<(Instant, usize)> = due;
        due.into_iter().for_each(|(_, slot)| self.send(slot));
    }

    /// Sends the next request of a slot, on a new connection if it has none.
    fn send(&mut self, slot: usize) {
        let plan = &self.plan;
        let number = self.first + slot * self.step;
        let FleetSlot { connection, turn } = &mut self.slots[slot];
        let machine = number + *turn * plan.connections;
        let own_turn = *turn / plan.machines().div_ceil(plan.connections.max(1)).max(1);
        *turn += 1;
        self.report.requests += 1;
        let opened = match connection {
            Some(connection) => Ok(connection),
            None => {
                let server = &plan.servers[0];
                let from = source(server, u32::try_from(number).unwrap_or(0));
                FleetConnection::open(server, from, &mut None, self.poll.registry(), Token(slot))
                    .map(|opened| connection.insert(opened))
            }
        };
        let now = Instant::now();
        self.report.sent += u64::from(now >= self.begin);
        let sent = opened.and_then(|connection| connection.send(plan.request(0, machine, own_turn), now));
        if sent.is_err() {
            self.broke(slot);
        }
    }

    fn wait(&mut self, events: &mut Events, end: Instant) -> io::Result<()> {
        match self.poll.poll(events, Some(remaining(end).min(LONGEST_WAIT))) {
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
            Ok(Arrived::Response(head, sent)) => {
                self.record(head.status, sent);
                self.send(slot);
            }
            Err(_) => self.broke(slot),
        }
    }

    fn record(&mut self, status: u16, sent: Instant) {
        let now = Instant::now();
        if now >= self.begin {
            self.report.record(status, now - sent);
        }
    }

    fn broke(&mut self, slot: usize) {
        self.slots[slot].connection = None;
        self.report.broken += 1;
        self.broken.push((Instant::now() + PAUSE, slot));
    }
}
