//! Buttons below Telegram messages: which bots are polled for presses, and what a press does.

use crate::clock::Moment;
use crate::latest::Latest;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::instances::duty::Duty;
use crate::monitor::notify::channel::{Channel, ChannelId, ChannelKind, ChannelOptions};
use crate::monitor::notify::chat_search::ChatSearches;
use crate::monitor::notify::http::PostClient;
use crate::monitor::notify::telegram::{ButtonPress, answer_press};
use crate::monitor::notify::{NotifySettings, Poke};
use crate::monitor::store::sql::params;
use crate::monitor::store::{Refused, Store, StoreError};
use crate::startup::spawn;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use log::{debug, warn};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at which bots may get a press.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Starts the thread that keeps the pollers of bots; it ends when the sender is dropped. The searches for chats share them.
///
/// # Errors
/// The thread cannot be started.
pub fn start(
    store: Arc<Store>,
    settings: Arc<Latest<NotifySettings>>,
    poke: Poke,
) -> Result<(Arc<ChatSearches>, Sender<()>), String> {
    let pressed = Pressed { store: store.clone(), settings: settings.clone(), poke };
    let on_press = Box::new(move |client: &PostClient, token: &str, press: &ButtonPress| {
        pressed.handle(client, token, press, Moment::now());
    });
    let searches = Arc::new(ChatSearches::with_buttons(on_press));
    let (alive, stop) = bounded::<()>(0);
    let watcher = searches.clone();
    drop(spawn("buttons", move || {
        while stop.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            let settings = settings.get();
            match awaited(&store, &settings) {
                Ok(tokens) => watcher.watch(tokens, &settings),
                Err(error) => debug!("cannot read which bots may get a press: {error}"),
            }
        }
        watcher.watch(HashSet::new(), &settings.get());
    })?);
    Ok((searches, alive))
}

/// The tokens of the bots with a message about something that is open and that nobody has taken on, and that no other monitor
/// of the database polls.
fn awaited(store: &Store, settings: &NotifySettings) -> Result<HashSet<String>, StoreError> {
    let channels = store.channels_with_buttons()?;
    let tokens: HashSet<String> =
        channels.iter().filter_map(|channel| channel.read_token().ok().flatten()).collect();
    let now = Moment::now();
    let mut own = HashSet::new();
    for token in tokens.into_iter().filter(|token| settings.buttons.are_on(token)) {
        if store.takes_on(Duty::of_bot(&token), now)? {
            own.insert(token);
        }
    }
    Ok(own)
}

struct Pressed {
    store: Arc<Store>,
    settings: Arc<Latest<NotifySettings>>,
    poke: Poke,
}

impl Pressed {
    fn handle(&self, client: &PostClient, token: &str, press: &ButtonPress, now: Moment) {
        let settings = self.settings.get();
        let (text, label) = match acknowledge(&self.store, press, now) {
            Ok(Some(by)) => {
                self.poke.poke();
                (format!("{by} is on it."), Some(format!("{by} is on it")))
            }
            Ok(None) => ("There is nothing to take on any more.".into(), None),
            Err(refused) => {
                warn!("a press of a Telegram button is not recorded: {refused}");
                ("The monitor cannot record this now. Try again.".into(), None)
            }
        };
        let api = (settings.telegram_api.as_str(), token);
        answer_press(client, api, press, &text, label.as_deref());
    }
}

/// Takes on what is open of the message. Returns who is on it; `None`: it was another chat, or nothing is open.
fn acknowledge(store: &Store, press: &ButtonPress, now: Moment) -> Result<Option<String>, Refused> {
    let Some(message) = store.sent_message(press.row)? else { return Ok(None) };
    if message.kind != ChannelKind::Telegram || !press.is_in(&message.target) {
        return Ok(None);
    }
    let name = if press.person.is_empty() { &message.recipient } else { &press.person };
    let actor = Actor { name: format!("{name} (Telegram)"), address: None };
    if store.acknowledge_open(&message.incidents, &actor, now)? == 0 {
        return Ok(None);
    }
    for id in &message.incidents {
        let incident = store.incident(*id)?;
        let open = incident.filter(|incident| incident.ended.is_none());
        if let Some((_, by)) = open.and_then(|incident| incident.acknowledged) {
            return Ok(Some(by));
        }
    }
    Ok(None)
}

impl Store {
    /// The Telegram channels with a delivered message about an open incident that nobody has taken on.
    fn channels_with_buttons(&self) -> Result<Vec<Channel>, StoreError> {
        self.read(|connection| {
            connection.query_all(
                "SELECT c.id, c.target, c.secret_file, c.token FROM channel c
                 WHERE c.kind = ?1 AND c.enabled AND EXISTS (
                     SELECT 1 FROM incident i JOIN outbox o ON o.incident_id = i.id
                     WHERE i.ended_at IS NULL AND i.acknowledged_at IS NULL AND o.channel_id = c.id
                       AND o.delivered_at IS NOT NULL)",
                params![ChannelKind::Telegram.name()],
                |row| {
                    Ok(Channel {
                        id: ChannelId(row.get(0)?),
                        kind: ChannelKind::Telegram,
                        target: row.get(1)?,
                        secret: None,
                        secret_file: row.get(2)?,
                        token: row.get(3)?,
                        options: ChannelOptions::default(),
                    })
                },
            )
        })
    }
}
