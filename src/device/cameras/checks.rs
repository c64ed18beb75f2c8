//! All checks in flight: as many at the same time as there are descriptors for, the others in a queue.

use super::check::{CameraCheck, CheckResult};
use super::connection::{CameraConnection, StartedCheck};
use super::ping::Pings;
use super::problem::Problem;
use crate::device::config::CameraMethod;
use crate::device::os::descriptors;
use mio::event::Event;
use mio::{Registry, Token};
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

/// Connections at the same time. Further checks wait in the queue.
const MOST_CONNECTIONS: usize = 1024;
/// Up to this many connections the descriptor limit is not read.
const FEW: usize = 64;

const PING_V4: Token = Token(1);
const PING_V6: Token = Token(2);
/// Connections follow.
const FIRST: usize = 3;

#[derive(Debug)]
pub struct Checks {
    registry: Registry,
    queue: VecDeque<CameraCheck>,
    pings: Pings,
    /// By token.
    connections: Vec<Option<CameraConnection>>,
    free: Vec<usize>,
    running: usize,
    /// Connections that may be open.
    room: usize,
    results: Vec<CheckResult>,
}

impl Checks {
    pub fn new(registry: Registry) -> Checks {
        Checks {
            registry,
            queue: VecDeque::new(),
            pings: Pings::new(PING_V4, PING_V6),
            connections: Vec::new(),
            free: Vec::new(),
            running: 0,
            room: FEW,
            results: Vec::new(),
        }
    }

    /// Starts a check, or queues it.
    pub fn start(&mut self, now: Instant, check: CameraCheck) {
        match check.plan.method {
            CameraMethod::Icmp | CameraMethod::Both => self.ping(now, check),
            _ => self.connect(now, check),
        }
    }

    /// Starts at once if there is room: a queue for a thousand checks would only take memory.
    fn connect(&mut self, now: Instant, check: CameraCheck) {
        self.queue.push_back(check);
        self.start_queued(now);
    }

    fn ping(&mut self, now: Instant, check: CameraCheck) {
        if let Err((check, problem)) = self.pings.start(&self.registry, now, check) {
            self.after_failed_ping(now, check, problem);
        }
        if self.pings.must_receive() {
            self.pings.receive(now, &mut self.results);
        }
    }

    /// The ping failed: `icmp` ends with its problem, `both` goes on with TCP.
    fn after_failed_ping(&mut self, now: Instant, check: CameraCheck, problem: Problem) {
        match check.plan.method {
            CameraMethod::Icmp => self.results.push(check.finish(Err(problem))),
            _ => self.connect(now, check),
        }
    }

    /// Handles readiness of a socket. All events come before [`Checks::run_due`].
    pub fn event(&mut self, now: Instant, event: &Event) {
        let token = event.token();
        if token == PING_V4 || token == PING_V6 {
            return self.pings.receive(now, &mut self.results);
        }
        let Some(place) = token.0.checked_sub(FIRST) else { return };
        let running = self.connections.get_mut(place).and_then(Option::as_mut);
        if let Some(result) = running.and_then(|connection| connection.advance(now)) {
            self.end(place, result);
        }
    }

    /// Ends checks whose time is over, starts queued ones, and returns the results since the last call.
    pub fn run_due(&mut self, now: Instant) -> Vec<CheckResult> {
        for check in self.pings.retransmit_and_expire(now) {
            self.after_failed_ping(now, check, Problem::NoAnswer);
        }
        for place in 0..self.connections.len() {
            // The last one that ends empties the list.
            let connection = self.connections.get(place).and_then(Option::as_ref);
            let late = connection.filter(|connection| now >= connection.deadline);
            if let Some(result) = late.map(CameraConnection::time_out) {
                self.end(place, result);
            }
        }
        self.start_queued(now);
        std::mem::take(&mut self.results)
    }

    fn end(&mut self, place: usize, result: CheckResult) {
        self.connections[place] = None;
        self.free.push(place);
        self.running -= 1;
        self.results.push(result);
        if self.running == 0 {
            // A thousand at once are common at the start only: the memory is freed.
            (self.connections, self.free) = (Vec::new(), Vec::new());
        }
    }

    fn start_queued(&mut self, now: Instant) {
        while self.has_room() {
            let Some(check) = self.queue.pop_front() else { break };
            let place = self.free.pop().unwrap_or(self.connections.len());
            if place == self.connections.len() {
                self.connections.push(None);
            }
            match CameraConnection::begin(&self.registry, Token(FIRST + place), now, check) {
                StartedCheck::Running(connection) => {
                    self.connections[place] = Some(connection);
                    self.running += 1;
                    continue;
                }
                StartedCheck::Finished(result) => self.results.push(result),
                // The others free their descriptors when they end.
                StartedCheck::NoDescriptor(check) if self.running > 0 => {
                    self.queue.push_front(check);
                    self.free.push(place);
                    break;
                }
                StartedCheck::NoDescriptor(check) => {
                    let problem = Problem::Own(io::ErrorKind::OutOfMemory);
                    self.results.push(check.finish(Err(problem)));
                }
            }
            self.free.push(place);
        }
    }

    fn has_room(&mut self) -> bool {
        if self.running == self.room && self.room < MOST_CONNECTIONS {
            self.room = descriptors::allow((2 * self.room).min(MOST_CONNECTIONS)).max(FEW);
        }
        self.running < self.room
    }

    /// When [`Checks::run_due`] is to be called at the latest.
    pub fn due(&self) -> Option<Instant> {
        let connections = self.connections.iter().flatten().map(|connection| connection.deadline);
        connections.chain(self.pings.due()).min()
    }
}
