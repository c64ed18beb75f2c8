//! What the pages are made from, shared by their threads.

use crate::web::fleet::live::LiveQueue;
use crate::web::proxy_login::ProxyLogins;
use crate::web::refusal::PageRefusal;
use crate::web::status::cache::StatusCache;
use crossbeam_channel::{Receiver, Sender, bounded};
use heartbeat_daemon::http::networks::IpNetwork;
use heartbeat_daemon::latest::Latest;
use heartbeat_daemon::monitor::config::{Config, WebConfig};
use heartbeat_daemon::monitor::notify::chat_search::ChatSearches;
use heartbeat_daemon::monitor::notify::{NotifySettings, Poke};
use heartbeat_daemon::monitor::packages::offer::Offer;
use heartbeat_daemon::monitor::recorder::{RecorderContext, RecorderEvent};
use std::sync::Arc;
use std::time::Duration;

pub struct PageContext {
    pub shared: RecorderContext,
    pub settings: Arc<Latest<PageSettings>>,
    pub live: LiveQueue,
    pub proxy_logins: ProxyLogins,
    pub status: StatusCache,
    /// The recorder's queue.
    pub orders: Sender<RecorderEvent>,
    pub poke: Poke,
    pub notify: Arc<Latest<NotifySettings>>,
    /// How devices get the daemon.
    pub offered: Arc<Latest<Offer>>,
    /// Searches for Telegram chats.
    pub chats: Arc<ChatSearches>,
    /// A place for each test of a channel that runs: taken by sending, given back by receiving.
    pub tests: (Sender<()>, Receiver<()>),
}

/// Longest wait for the recorder, whose longest transaction is a flush.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl PageContext {
    /// A page has changed the database: couriers and open pages look at it.
    pub fn changed(&self) {
        self.poke.poke();
    }

    /// A page has changed machines or tokens: returns when every thread knows them.
    ///
    /// # Errors
    /// The database cannot be read, or the recorder does not respond; the recorder reads the change later.
    pub fn machines_changed(&self) -> Result<(), PageRefusal> {
        let (sender, receiver) = bounded(1);
        let loaded = Box::new(move |result| {
            // Fails only if this wait is over.
            let _ = sender.send(result);
        });
        let failed = |_| PageRefusal::Failed("the recorder does not respond".into());
        self.orders.send_timeout(RecorderEvent::Registry { loaded }, LONGEST_WAIT).map_err(|_| failed(()))?;
        receiver.recv_timeout(LONGEST_WAIT).map_err(|_| failed(()))??;
        self.changed();
        Ok(())
    }
}

/// The settings that a reload can change.
#[derive(Debug)]
pub struct PageSettings {
    pub web: WebConfig,
    pub trusted_proxies: Vec<IpNetwork>,
    /// How long incidents are kept.
    pub kept: Duration,
}

impl PageSettings {
    pub fn of(config: &Config) -> PageSettings {
        PageSettings {
            web: config.web.clone(),
            trusted_proxies: config.http.trusted_proxies.clone(),
            kept: config.retention.events,
        }
    }
}
