//! The loop of the camera thread.

use super::arp::Neighbours;
use super::camera::{CameraInfo, CameraOrigin};
use super::check::CameraKey;
use super::checks::Checks;
use super::event::{CameraEvent, CheckDone};
use super::leases::{self, Leases};
use super::pending::PendingChecks;
use super::roster::Roster;
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

/// Cameras on one switch fail together: one heartbeat reports all of them.
const REPORT_DELAY: Duration = Duration::from_millis(250);
/// A successful check only moves `last_seen`; this saves writes to the SD card.
const SAVE_LAST_SEEN: Duration = Duration::from_secs(15 * 60);
/// Minimum time between two writes while cameras are added one after another.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Socket events per poll; further ones wait in the kernel.
const EVENTS: usize = 256;
/// Cameras that the log names when many change at the same time.
const LOGGED: usize = 8;

/// What the thread depends on.
#[derive(Debug)]
pub struct CameraContext {
    pub trigger: Trigger,
    pub state_dir: PathBuf,
    /// `/`, or a miniature of it.
    pub root: PathBuf,
}

#[derive(Debug)]
pub struct CameraWatch {
    context: CameraContext,
    list: Arc<Latest<Vec<CameraInfo>>>,
    /// The applied configuration.
    config: config::Cameras,
    roster: Roster,
    checks: Checks,
    pending: PendingChecks,
    leases: Option<Leases>,
    /// Next reading of the lease file.
    leases_due: Option<Instant>,
    state: StateFile,
    saved_at: Instant,
    /// A change is not in the state file yet.
    unsaved: bool,
    save_due: Option<Instant>,
    report_due: Option<Instant>,
    /// Cameras that changed since the last report.
    changes: Vec<CameraKey>,
}

impl CameraWatch {
    pub fn new(
        poll: &Poll,
        config: config::Cameras,
        context: CameraContext,
        list: Arc<Latest<Vec<CameraInfo>>>,
    ) -> io::Result<CameraWatch> {
        let now = Now::read();
        let state = StateFile::new(&context.state_dir);
        let saved = state.load(&config.plan, now);
        let mut watch = CameraWatch {
            context,
            list,
            leases: None,
            leases_due: None,
            roster: Roster::new(config.clone(), saved, now),
            config,
            checks: Checks::new(poll.registry().try_clone()?),
            pending: PendingChecks::default(),
            state,
            saved_at: now.monotonic,
            unsaved: false,
            save_due: None,
            report_due: None,
            changes: Vec::new(),
        };
        watch.open_leases(now.monotonic);
        // The list is complete before the first heartbeat.
        watch.publish(now.monotonic);
        Ok(watch)
    }

    /// Runs until [`CameraEvent::Stop`].
    pub fn run(mut self, mut poll: Poll, mailbox: &Mailbox<CameraEvent>) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if self.handle_events(mailbox) {
                break;
            }
            self.run_due();
            let wait = self.due().map(remaining);
            let wait = if mailbox.park() { wait } else { Some(Duration::ZERO) };
            let polled = poll.poll(&mut events, wait);
            mailbox.unpark();
            match polled {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // An error of epoll itself; there is no remedy.
                    log::error!("cameras: epoll failed, cameras are no longer checked: {error}");
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

    /// True if the thread has to end.
    fn handle_events(&mut self, mailbox: &Mailbox<CameraEvent>) -> bool {
        let now = Now::read();
        loop {
            match mailbox.try_recv() {
                Ok(CameraEvent::Add(new)) => self.roster.add(new, CameraOrigin::Api, now),
                Ok(CameraEvent::Dhcp(event)) => self.roster.apply_dhcp(event, now),
                Ok(CameraEvent::Remove(camera)) => self.roster.remove(camera),
                Ok(CameraEvent::Check(done)) => self.check_all(done, now),
                Ok(CameraEvent::Reload(config)) => self.reload(*config, now),
                Ok(CameraEvent::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
    }

    /// Checks all cameras; a check that is running already counts.
    fn check_all(&mut self, done: CheckDone, now: Now) {
        self.roster.make_all_due(now.monotonic);
        self.start_checks(now);
        let missing: BTreeSet<CameraKey> = self.roster.being_checked().collect();
        self.pending.add(missing, done);
    }

    fn reload(&mut self, config: config::Cameras, now: Now) {
        // Every reload of the daemon sends the configuration: the API may have changed the settings.
        if self.config == config {
            return;
        }
        self.roster.reload(config.clone(), now);
        self.config = config;
        self.open_leases(now.monotonic);
    }

    fn open_leases(&mut self, now: Instant) {
        self.leases = self.config.lease_file.as_deref().filter(|_| self.config.enabled).map(Leases::new);
        self.leases_due = self.leases.is_some().then_some(now);
    }

    /// Does everything that is due.
    fn run_due(&mut self) {
        let now = Now::read();
        if self.leases_due.is_some_and(|due| now.monotonic >= due) {
            self.leases_due = Some(now.monotonic + self.config.plan.interval);
            if let Some(text) = self.leases.as_mut().and_then(Leases::read_new) {
                self.roster.apply_leases(leases::parse(&text), now);
            }
        }
        self.start_checks(now);
        self.finish_checks(now);
        self.publish(now.monotonic);
        // Reports before it writes, which may be slow.
        if self.report_due.is_some_and(|due| now.monotonic >= due) {
            self.report();
        }
        self.pending.finish(|| self.list.get());
        if self.save_due.is_some_and(|due| now.monotonic >= due) {
            self.save();
        }
    }

    fn start_checks(&mut self, now: Now) {
        let CameraWatch { roster, checks, context, .. } = self;
        roster.start_due(now, || Neighbours::read(&context.root), |check| checks.start(now.monotonic, check));
    }

    fn finish_checks(&mut self, now: Now) {
        for result in self.checks.run_due(now.monotonic) {
            self.roster.finish(result, now, || Neighbours::read(&self.context.root));
            self.pending.remove(result.key);
            self.unsaved |= result.result.is_ok();
        }
        if self.unsaved && now.monotonic >= self.saved_at + SAVE_LAST_SEEN {
            self.save_by(now.monotonic);
        }
    }

    fn publish(&mut self, now: Instant) {
        let changes = self.roster.drain_changes();
        if changes.shown {
            self.list.put(self.roster.list(Now::read()));
        }
        if !changes.reported.is_empty() || changes.second_failure {
            self.changes.extend(changes.reported);
            self.report_due.get_or_insert(now + REPORT_DELAY);
        }
        self.unsaved |= changes.set || changes.status;
        if changes.status {
            self.save_by(now + REPORT_DELAY);
        }
        if changes.set {
            self.save_by(now.max(self.saved_at + SAVE_INTERVAL));
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

    fn report(&mut self) {
        self.report_due = None;
        let changes = std::mem::take(&mut self.changes);
        changes
            .iter()
            .take(LOGGED)
            .filter_map(|key| self.roster.log_line(*key))
            .for_each(|line| log::info!("{line}"));
        if let Some(others @ 1..) = changes.len().checked_sub(LOGGED) {
            log::info!("and {others} more cameras have changed");
        }
        // A heartbeat that is already queued carries the new list, too.
        self.context.trigger.fire(Reason::Camera);
    }

    /// When the loop has to run again without an event.
    fn due(&self) -> Option<Instant> {
        let dues = [self.roster.due(), self.checks.due(), self.leases_due, self.report_due, self.save_due];
        dues.into_iter().flatten().min()
    }
}
