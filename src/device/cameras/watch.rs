//! The loop: what is waited for, and what follows from it.

use super::arp::Neighbours;
use super::camera::{Camera, Origin};
use super::checks::Checks;
use super::event::{CameraEvent, Done};
use super::leases::{self, Leases};
use super::roster::{Key, Roster};
use super::rounds::Rounds;
use super::state::StateFile;
use crate::clock::Now;
use crate::clock::remaining;
use crate::device::config;
use crate::device::trigger::Trigger;
use crate::latest::Latest;
use crate::mailbox::Mailbox;
use crate::wire::Reason;
use crossbeam_channel::TryRecvError;
use mio::{Events, Poll};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Cameras on one switch go together: one heartbeat tells of all.
const TOGETHER: Duration = Duration::from_millis(250);
/// A success moves `last_seen`; an SD card is written to for it once in so long.
const LAST_SEEN: Duration = Duration::from_secs(15 * 60);
/// Whoever adds camera after camera has the file written so often at most.
const SAVES: Duration = Duration::from_secs(1);
/// Events taken at once; the rest waits in the kernel.
const EVENTS: usize = 256;
/// Cameras that the log names when many change together.
const NAMED: usize = 8;

/// What the thread acts upon.
#[derive(Debug)]
pub struct Outside {
    pub trigger: Trigger,
    pub state_dir: PathBuf,
    /// `/`, or a miniature of it.
    pub root: PathBuf,
}

#[derive(Debug)]
pub struct Watch {
    outside: Outside,
    list: Arc<Latest<Vec<Camera>>>,
    /// As it was applied last.
    config: config::Cameras,
    roster: Roster,
    checks: Checks,
    rounds: Rounds,
    leases: Option<Leases>,
    /// When the lease file is looked at again.
    leases_due: Option<Instant>,
    state: StateFile,
    saved_at: Instant,
    /// Something is not in the file yet.
    unsaved: bool,
    save_due: Option<Instant>,
    tell_due: Option<Instant>,
    changes: Vec<Key>,
}

impl Watch {
    /// # Errors
    /// No descriptor is left.
    pub fn new(
        poll: &Poll,
        config: config::Cameras,
        outside: Outside,
        list: Arc<Latest<Vec<Camera>>>,
    ) -> io::Result<Watch> {
        let now = Now::read();
        let state = StateFile::new(&outside.state_dir);
        let saved = state.load(&config.plan, now);
        let mut watch = Watch {
            outside,
            list,
            leases: None,
            leases_due: None,
            roster: Roster::new(config.clone(), saved, now),
            config,
            checks: Checks::new(poll.registry().try_clone()?),
            rounds: Rounds::default(),
            state,
            saved_at: now.monotonic,
            unsaved: false,
            save_due: None,
            tell_due: None,
            changes: Vec::new(),
        };
        watch.look_at_leases(now.monotonic);
        // In the list before the first heartbeat.
        watch.take_news(now.monotonic);
        Ok(watch)
    }

    /// Runs until it is told to stop.
    pub fn run(mut self, mut poll: Poll, mailbox: &Mailbox<CameraEvent>) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if self.handle_events(mailbox) {
                break;
            }
            self.turn();
            let wait = self.due().map(remaining);
            let wait = if mailbox.park() { wait } else { Some(Duration::ZERO) };
            let polled = poll.poll(&mut events, wait);
            mailbox.unpark();
            match polled {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // Of epoll itself: nothing that would mend it.
                    log::error!("cameras: {error}; they are not watched any more");
                    break;
                }
            }
            let now = Instant::now();
            events.iter().for_each(|event| self.checks.event(now, event));
        }
        if self.unsaved {
            self.state.save(&self.roster, Now::read());
        }
    }

    /// True at the end.
    fn handle_events(&mut self, mailbox: &Mailbox<CameraEvent>) -> bool {
        let now = Now::read();
        loop {
            match mailbox.try_recv() {
                Ok(CameraEvent::Add(new)) => self.roster.add(new, Origin::Api, now),
                Ok(CameraEvent::Dhcp(event)) => self.roster.dhcp(event, now),
                Ok(CameraEvent::Remove(camera)) => self.roster.remove(camera),
                Ok(CameraEvent::Check(done)) => self.check(done, now),
                Ok(CameraEvent::Reload(config)) => self.reload(*config, now),
                Ok(CameraEvent::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
    }

    /// Has all checked; what is being checked already is waited for.
    fn check(&mut self, done: Done, now: Now) {
        self.roster.make_all_due(now.monotonic);
        self.ask(now);
        let missing: BTreeSet<Key> = self.roster.being_checked().collect();
        self.rounds.begin(missing, done);
    }

    fn reload(&mut self, config: config::Cameras, now: Now) {
        // Each reload of the daemon sends it: the API may have changed the settings meanwhile.
        if self.config == config {
            return;
        }
        self.roster.reload(config.clone(), now);
        self.config = config;
        self.look_at_leases(now.monotonic);
    }

    fn look_at_leases(&mut self, now: Instant) {
        self.leases = self.config.lease_file.as_deref().filter(|_| self.config.enabled).map(Leases::new);
        self.leases_due = self.leases.is_some().then_some(now);
    }

    /// Everything that is to be done now.
    fn turn(&mut self) {
        let now = Now::read();
        if self.leases_due.is_some_and(|due| now.monotonic >= due) {
            self.leases_due = Some(now.monotonic + self.config.plan.interval);
            if let Some(text) = self.leases.as_mut().and_then(Leases::news) {
                self.roster.leases(leases::parse(&text), now);
            }
        }
        self.ask(now);
        self.learn(now);
        self.take_news(now.monotonic);
        // Telling comes before writing, which may be slow.
        if self.tell_due.is_some_and(|due| now.monotonic >= due) {
            self.tell();
        }
        self.rounds.finish(|| self.list.get());
        if self.save_due.is_some_and(|due| now.monotonic >= due) {
            self.save();
        }
    }

    fn ask(&mut self, now: Now) {
        let Watch { roster, checks, outside, .. } = self;
        roster.ask(now, || Neighbours::read(&outside.root), |question| checks.ask(now.monotonic, question));
    }

    fn learn(&mut self, now: Now) {
        for answer in self.checks.go_on(now.monotonic) {
            self.roster.learn(answer, now, || Neighbours::read(&self.outside.root));
            self.rounds.ended(answer.key);
            self.unsaved |= answer.result.is_ok();
        }
        if self.unsaved && now.monotonic >= self.saved_at + LAST_SEEN {
            self.save_by(now.monotonic);
        }
    }

    fn take_news(&mut self, now: Instant) {
        let news = self.roster.take_news();
        if news.shown {
            self.list.put(self.roster.view(Now::read()));
        }
        if !news.changes.is_empty() {
            self.changes.extend(news.changes);
            self.tell_due.get_or_insert(now + TOGETHER);
        }
        self.unsaved |= news.set || news.status;
        if news.status {
            self.save_by(now + TOGETHER);
        }
        if news.set {
            self.save_by(now.max(self.saved_at + SAVES));
        }
    }

    fn save_by(&mut self, due: Instant) {
        self.save_due = Some(self.save_due.map_or(due, |before| before.min(due)));
    }

    fn save(&mut self) {
        let now = Now::read();
        self.state.save(&self.roster, now);
        (self.saved_at, self.unsaved, self.save_due) = (now.monotonic, false, None);
    }

    fn tell(&mut self) {
        self.tell_due = None;
        let changes = std::mem::take(&mut self.changes);
        changes
            .iter()
            .take(NAMED)
            .filter_map(|key| self.roster.sentence(*key))
            .for_each(|line| log::info!("{line}"));
        if let Some(others @ 1..) = changes.len().checked_sub(NAMED) {
            log::info!("and {others} cameras more have changed");
        }
        // One that waits already will carry the new list.
        self.outside.trigger.fire(Reason::Camera);
    }

    /// When the next turn is due, if nothing happens before.
    fn due(&self) -> Option<Instant> {
        let dues = [self.roster.due(), self.checks.due(), self.leases_due, self.tell_due, self.save_due];
        dues.into_iter().flatten().min()
    }
}
