//! Changes for open pages, by long polling: a request stays parked until something changes, for 7 s at most.
//!
//! The thread `live` owns the newest view of the fleet and the parked requests. It looks at the fleet only while a page is
//! open: at once after a transition, otherwise every two seconds. The browser counts seconds of silence itself, so a beat
//! that changes nothing costs nothing here.

use super::past::FleetPast;
use super::tracker::FleetTracker;
use super::update::{self, SharedUpdates};
use super::view::FleetView;
use crate::web::refusal::PageRefusal;
use crate::web::viewpoint::Viewpoint;
use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::{Reply, Request};
use heartbeat_daemon::monitor::accounts::sessions::SessionId;
use heartbeat_daemon::monitor::recorder::RecorderContext;
use heartbeat_daemon::monitor::store::StoreError;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Installed proxies end a request after 10 s.
const LONGEST_POLL: Duration = Duration::from_secs(7);
/// Parked requests in all, and of one session.
const MOST_PARKED: usize = 256;
const MOST_PER_SESSION: usize = 8;
/// Time between two looks at the fleet, if nothing reports a transition.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A look may take this part of the time: larger fleets are looked at less often.
const LOOK_SHARE: u32 = 50;
/// A view this old is still shown to a new page.
const FRESH: Duration = Duration::from_secs(1);
/// Longest wait of a page for a view; 10,000 machines take 150 ms.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Events that wait for the thread: after a change, all open pages ask again at the same time.
const EVENTS: usize = MOST_PARKED + 64;

/// The sending end, for the thread `page`.
pub struct LiveQueue {
    sender: Sender<LiveEvent>,
}

/// Everything that reaches the thread.
enum LiveEvent {
    Poll(Box<ParkedPoll>),
    /// A page needs a view.
    View(Sender<Result<SharedView, StoreError>>),
    /// The monitor stops.
    Stop,
}

/// A view of the fleet and the version of its state.
type SharedView = (Arc<FleetView>, u64);

/// A request for changes, as it was sent.
pub struct LivePoll {
    pub session: SessionId,
    pub viewpoint: Viewpoint,
    /// The version that the page shows.
    pub since: u64,
    pub at: Instant,
}

/// A request that waits for a change.
struct ParkedPoll {
    poll: LivePoll,
    accepts_gzip: Option<String>,
    reply: Reply,
}

/// Stops the thread.
#[derive(Clone)]
pub struct LiveStopper(Sender<LiveEvent>);

impl LiveStopper {
    /// Answers all parked requests, and later ones at once.
    pub fn stop(&self) {
        // Fails only if the thread has ended.
        let _ = self.0.send_timeout(LiveEvent::Stop, LONGEST_WAIT);
    }
}

impl LiveQueue {
    /// The queue and its thread's state; `changed` receives after each transition.
    pub fn new(shared: RecorderContext, changed: Receiver<()>) -> (LiveQueue, Live, LiveStopper) {
        let (sender, events) = bounded(EVENTS);
        let live = Live {
            shared,
            events,
            changed,
            parked: Vec::new(),
            tracker: FleetTracker::new(),
            past: FleetPast::default(),
            is_stopping: false,
        };
        (LiveQueue { sender: sender.clone() }, live, LiveStopper(sender))
    }

    /// Parks a request; the thread answers it.
    pub fn send(&self, poll: LivePoll, request: &Request, reply: Reply) {
        let accepts_gzip = request.header("Accept-Encoding").map(str::to_owned);
        let parked = ParkedPoll { poll, accepts_gzip, reply };
        if let Err(error) = self.sender.try_send(LiveEvent::Poll(Box::new(parked))) {
            if let LiveEvent::Poll(parked) = error.into_inner() {
                parked.reply.send(heartbeat_daemon::http::queue::busy());
            }
        }
    }

    /// The view for a new page: at most a second old.
    pub fn view(&self) -> Result<SharedView, PageRefusal> {
        let (sender, receiver) = bounded(1);
        let sent = self.sender.send_timeout(LiveEvent::View(sender), LONGEST_WAIT);
        let view = sent.ok().and_then(|()| receiver.recv_timeout(LONGEST_WAIT).ok());
        view.ok_or_else(|| PageRefusal::Failed("the thread live does not respond".into()))?
            .map_err(PageRefusal::from)
    }
}

/// The state of the thread `live`.
pub struct Live {
    shared: RecorderContext,
    events: Receiver<LiveEvent>,
    changed: Receiver<()>,
    parked: Vec<ParkedPoll>,
    tracker: FleetTracker,
    past: FleetPast,
    is_stopping: bool,
}

impl Live {
    /// Runs until the thread `page` has ended.
    pub fn run(mut self) {
        loop {
            let wait = self.wait(Instant::now());
            let timer = wait.map_or_else(never, crossbeam_channel::after);
            select! {
                recv(self.events) -> event => match event {
                    Ok(event) => self.handle(event),
                    Err(_) => break,
                },
                recv(self.changed) -> changed => {
                    match changed {
                        Ok(()) => self.tracker.expire(),
                        // The recorder has ended; the stop follows.
                        Err(_) => self.changed = never(),
                    }
                }
                recv(timer) -> _ => {}
            }
            self.answer_parked();
        }
        for parked in self.parked.drain(..) {
            parked.unchanged(&self.tracker);
        }
    }

    /// Time until a look or an answer is due; `None`: no page is open.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let oldest = self.parked.iter().map(|parked| parked.poll.at).min()?;
        let look = self.tracker.next_look(LOOK_EVERY, LOOK_SHARE).unwrap_or(now);
        Some((oldest + LONGEST_POLL).min(look).saturating_duration_since(now))
    }

    fn handle(&mut self, event: LiveEvent) {
        match event {
            LiveEvent::Poll(parked) => self.park(*parked),
            LiveEvent::View(reply) => {
                let view = self.look(FRESH).map(|()| self.tracker.view());
                // Fails only if the page has stopped waiting.
                let _ = reply.send(view);
            }
            LiveEvent::Stop => self.is_stopping = true,
        }
    }

    fn park(&mut self, parked: ParkedPoll) {
        let session = parked.poll.session;
        let same = |other: &ParkedPoll| other.poll.session == session;
        if self.parked.iter().filter(|other| same(other)).count() >= MOST_PER_SESSION {
            // A browser with many tabs: the one that has waited longest asks again.
            if let Some(oldest) = self.parked.iter().position(same) {
                self.parked.remove(oldest).unchanged(&self.tracker);
            }
        }
        if self.parked.len() >= MOST_PARKED {
            return parked.reply.send(heartbeat_daemon::http::queue::busy());
        }
        self.parked.push(parked);
    }

    /// Answers the requests for which there is something new, or that have waited long enough.
    fn answer_parked(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let now = Now::read();
        if self.tracker.next_look(LOOK_EVERY, LOOK_SHARE).is_none_or(|due| due <= now.monotonic) {
            if let Err(error) = self.look(Duration::ZERO) {
                log::warn!("cannot read the fleet for open pages: {error}");
                // They wait for the next look; without one they are answered in time.
            }
        }
        let mut updates = SharedUpdates::new(&self.tracker, now.wall);
        for parked in std::mem::take(&mut self.parked) {
            let is_late = now.monotonic.saturating_duration_since(parked.poll.at) >= LONGEST_POLL;
            let gzip = parked.accepts_gzip.as_deref();
            match updates.response(&parked.poll.viewpoint, parked.poll.since, gzip) {
                Some(response) => parked.reply.send(response),
                None if is_late || self.is_stopping => parked.unchanged(&self.tracker),
                None => self.parked.push(parked),
            }
        }
    }

    fn look(&mut self, fresh: Duration) -> Result<(), StoreError> {
        let now = Now::read();
        if self.tracker.is_fresh(fresh, now.monotonic) {
            return Ok(());
        }
        let view = FleetView::load(&self.shared, &mut self.past, now.wall)?;
        self.tracker.update(view, now.monotonic, Instant::now());
        Ok(())
    }
}

impl ParkedPoll {
    fn unchanged(self, tracker: &FleetTracker) {
        self.reply.send(update::unchanged(tracker.version()));
    }
}
