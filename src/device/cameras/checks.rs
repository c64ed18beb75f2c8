//! All checks under way: as many at the same time as there are descriptors for, the others in a queue.

use super::connection::{Begun, Connection};
use super::ping::Pings;
use super::problem::Problem;
use super::roster::Key;
use crate::device::config::{CameraMethod, CameraPlan};
use crate::device::os::descriptors;
use mio::event::Event;
use mio::{Registry, Token};
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections at the same time. More cameras than that are checked in several goes.
const MOST_CONNECTIONS: usize = 1024;
/// Fewer than that are not worth a look at the limit.
const FEW: usize = 64;

const PING_V4: Token = Token(1);
const PING_V6: Token = Token(2);
/// Connections follow.
const FIRST: usize = 3;

/// Does this camera answer?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub key: Key,
    pub ip: IpAddr,
    pub plan: Arc<CameraPlan>,
}

impl Question {
    pub fn answer(&self, result: Result<Duration, Problem>) -> Answer {
        Answer { key: self.key, ip: self.ip, result }
    }
}

/// How long it took, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub key: Key,
    pub ip: IpAddr,
    pub result: Result<Duration, Problem>,
}

#[derive(Debug)]
pub struct Checks {
    registry: Registry,
    waiting: VecDeque<Question>,
    pings: Pings,
    /// By token.
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    running: usize,
    /// So many may be open.
    room: usize,
    answers: Vec<Answer>,
}

impl Checks {
    pub fn new(registry: Registry) -> Checks {
        Checks {
            registry,
            waiting: VecDeque::new(),
            pings: Pings::new(PING_V4, PING_V6),
            connections: Vec::new(),
            free: Vec::new(),
            running: 0,
            room: FEW,
            answers: Vec::new(),
        }
    }

    /// Begins a check, or queues it.
    pub fn ask(&mut self, now: Instant, question: Question) {
        match question.plan.method {
            CameraMethod::Icmp | CameraMethod::Both => self.ping(now, question),
            _ => self.connect(now, question),
        }
    }

    /// At once, if there is room: a queue for a thousand would be memory for nothing.
    fn connect(&mut self, now: Instant, question: Question) {
        self.waiting.push_back(question);
        self.begin_waiting(now);
    }

    fn ping(&mut self, now: Instant, question: Question) {
        if let Err((question, problem)) = self.pings.start(&self.registry, now, question) {
            self.without_ping(now, question, problem);
        }
        if self.pings.should_listen() {
            self.pings.listen(now, &mut self.answers);
        }
    }

    /// What cannot be pinged, or did not answer.
    fn without_ping(&mut self, now: Instant, question: Question, problem: Problem) {
        match question.plan.method {
            CameraMethod::Icmp => self.answers.push(question.answer(Err(problem))),
            _ => self.connect(now, question),
        }
    }

    /// Something happened on a socket. To be called for all events before [`Checks::go_on`].
    pub fn event(&mut self, now: Instant, event: &Event) {
        let token = event.token();
        if token == PING_V4 || token == PING_V6 {
            return self.pings.listen(now, &mut self.answers);
        }
        let Some(place) = token.0.checked_sub(FIRST) else { return };
        let running = self.connections.get_mut(place).and_then(Option::as_mut);
        if let Some(answer) = running.and_then(|connection| connection.go_on(now)) {
            self.end(place, answer);
        }
    }

    /// Ends what is late, begins what waits, and gives the answers since the last call.
    pub fn go_on(&mut self, now: Instant) -> Vec<Answer> {
        for question in self.pings.late(now) {
            self.without_ping(now, question, Problem::NoAnswer);
        }
        for place in 0..self.connections.len() {
            // The last one that ends takes the places with it.
            let connection = self.connections.get(place).and_then(Option::as_ref);
            let late = connection.filter(|connection| now >= connection.deadline);
            if let Some(answer) = late.map(Connection::give_up) {
                self.end(place, answer);
            }
        }
        self.begin_waiting(now);
        std::mem::take(&mut self.answers)
    }

    fn end(&mut self, place: usize, answer: Answer) {
        self.connections[place] = None;
        self.free.push(place);
        self.running -= 1;
        self.answers.push(answer);
        if self.running == 0 {
            // A thousand at once come at the start, and then perhaps never again.
            (self.connections, self.free) = (Vec::new(), Vec::new());
        }
    }

    fn begin_waiting(&mut self, now: Instant) {
        while self.has_room() {
            let Some(question) = self.waiting.pop_front() else { break };
            let place = self.free.pop().unwrap_or(self.connections.len());
            if place == self.connections.len() {
                self.connections.push(None);
            }
            match Connection::begin(&self.registry, Token(FIRST + place), now, question) {
                Begun::Running(connection) => {
                    self.connections[place] = Some(connection);
                    self.running += 1;
                    continue;
                }
                Begun::Answered(answer) => self.answers.push(answer),
                // Others end, and leave theirs.
                Begun::NoRoom(question) if self.running > 0 => {
                    self.waiting.push_front(question);
                    self.free.push(place);
                    break;
                }
                Begun::NoRoom(question) => {
                    let problem = Problem::Own(io::ErrorKind::OutOfMemory);
                    self.answers.push(question.answer(Err(problem)));
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

    /// When [`Checks::go_on`] is to be called at the latest.
    pub fn due(&self) -> Option<Instant> {
        let connections = self.connections.iter().flatten().map(|connection| connection.deadline);
        connections.chain(self.pings.due()).min()
    }
}
