//! The threads of the pages, and the way of a request to them.

use super::context::{PageContext, PageSettings};
use super::fleet::live::{LiveQueue, LiveStopper};
use super::people::channels::MOST_TESTS;
use super::proxy_login::ProxyLogins;
use super::route::PageRoute;
use super::sign_in::context::SignInContext;
use super::status::cache::StatusCache;
use crossbeam_channel::{Receiver, Sender, bounded};
use heartbeat_daemon::http::{Exchange, queue};
use heartbeat_daemon::latest::Latest;
use heartbeat_daemon::monitor::config::Config;
use heartbeat_daemon::monitor::notify::chat_search::ChatSearches;
use heartbeat_daemon::monitor::notify::{NotifySettings, Poke};
use heartbeat_daemon::monitor::packages::offer::Offer;
use heartbeat_daemon::monitor::recorder::{RecorderContext, RecorderEvent};
use heartbeat_daemon::startup::spawn;
use std::sync::Arc;
use std::time::Instant;

/// Requests that wait for the thread `page`; more are answered 503. A page takes 1 to 30 ms.
const DEPTH: usize = 64;

/// The main thread's handle of the pages.
pub struct Pages {
    settings: Arc<Latest<PageSettings>>,
    live: LiveStopper,
    /// Disconnected when the thread `page` has returned.
    ended: Receiver<()>,
}

/// What the pages need of the rest of the monitor.
pub struct PageParts<'a> {
    pub shared: &'a RecorderContext,
    pub config: &'a Config,
    pub orders: &'a Sender<RecorderEvent>,
    pub poke: Poke,
    pub notify: Arc<Latest<NotifySettings>>,
    pub offered: Arc<Latest<Offer>>,
    pub chats: Arc<ChatSearches>,
}

/// Passes a request on.
pub type Handler = Box<dyn FnMut(Exchange) + Send>;

impl Pages {
    /// Starts the threads `page` and `live`. `changed` receives after each transition. The handler answers requests for
    /// pages and passes all others to `others`.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        parts: PageParts<'_>,
        changed: Receiver<()>,
        mut others: impl FnMut(Exchange) + Send + 'static,
    ) -> Result<(Pages, Handler), String> {
        let PageParts { shared, config, orders, poke, notify, offered, chats } = parts;
        let (queue_of_live, live, stopper) = LiveQueue::new(shared.clone(), changed);
        let settings = Arc::new(Latest::new(PageSettings::of(config)));
        let context = Arc::new(PageContext {
            shared: shared.clone(),
            settings: settings.clone(),
            live: queue_of_live,
            proxy_logins: ProxyLogins::default(),
            status: StatusCache::default(),
            orders: orders.clone(),
            poke,
            notify,
            offered,
            chats,
            tests: bounded(MOST_TESTS),
        });
        let (mut pages, requests) = queue(DEPTH);
        let store = shared.store.clone();
        let sign_in = Arc::new(SignInContext::start(store, settings.clone(), Instant::now())?);
        drop(spawn("live", move || live.run())?);
        let ended = spawn("page", move || super::run(&context, &sign_in, &requests))?;
        let handler = move |exchange: Exchange| match PageRoute::of(exchange.request.path()) {
            Some(_) => pages(exchange),
            None => others(exchange),
        };
        Ok((Pages { settings, live: stopper, ended }, Box::new(handler)))
    }

    pub fn reload(&self, config: &Config) {
        self.settings.put(PageSettings::of(config));
    }

    /// Answers the parked requests, so that the stop does not wait for them. Returns what disconnects at the end.
    pub fn stop(&self) -> Receiver<()> {
        self.live.stop();
        self.ended.clone()
    }
}
