//! Finds the id of a Telegram chat: a person sends the bot a code, and the chat of that message is the one.
//!
//! Each bot has one thread that polls `getUpdates`, because Telegram answers only one such request of a bot at a time. The
//! thread ends with its last search.

use super::channel::ChannelOptions;
use super::http::PostClient;
use super::settings::{NotifySettings, start_resolver};
use super::telegram::{ButtonPress, ChatMessage, FoundChat, PollError, chat_messages};
use crate::monitor::store::Refused;
use crate::startup::spawn;
use log::warn;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bots that are polled at the same time, and searches in all.
const MOST_BOTS: usize = 8;
const MOST_SEARCHES: usize = 32;
/// Bots with a thread, those of searches included; further ones get no press.
const MOST_WATCHED: usize = 32;
/// Polls that another program disturbs, one after the other, until a bot has no more buttons.
const MOST_CONFLICTS: u32 = 4;
/// A search ends after this time without success.
const LIFETIME: Duration = Duration::from_secs(600);
/// From the begin of one poll to the next. Telegram answers a poll without messages after some seconds; a server that
/// answers at once would otherwise be asked all the time.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Digits of a code: a bot has few searches, and a code is looked for during ten minutes.
const CODES: std::ops::Range<u32> = 100_000..1_000_000;

/// The number of a search, in the address of its page.
pub type SearchId = u64;

/// What has become of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchState {
    Waiting,
    Found(FoundChat),
    /// Telegram refuses the bot's requests: why.
    Failed(String),
}

/// The channel that a chat is looked for.
#[derive(Clone)]
pub struct WantedChannel<'a> {
    pub recipient: &'a str,
    /// Of the bot.
    pub token: &'a str,
    pub options: ChannelOptions,
}

/// A search for a chat. Not `Debug`: it has the bot's token.
#[derive(Clone)]
pub struct ChatSearch {
    pub id: SearchId,
    /// Of the channel that is to be added.
    pub recipient: String,
    pub token: String,
    /// What else was chosen for the channel.
    pub options: ChannelOptions,
    /// What the person sends: groups show a bot only messages that begin with a slash.
    pub code: String,
    pub state: SearchState,
    begun: Instant,
}

/// Called with each press of a button: the client, the bot's token, the press.
pub type OnPress = Box<dyn Fn(&PostClient, &str, &ButtonPress) + Send + Sync>;

/// All searches and awaited buttons, and the bots that are polled for them.
#[derive(Default)]
pub struct ChatSearches {
    state: Mutex<Searches>,
    on_press: Option<OnPress>,
}

#[derive(Default)]
struct Searches {
    searches: Vec<ChatSearch>,
    /// Tokens of the bots with a thread.
    bots: Vec<String>,
    /// Tokens of the bots whose buttons may be pressed.
    watched: HashSet<String>,
    /// Polls of a watched bot that another program disturbed, one after the other.
    conflicts: HashMap<String, u32>,
}

impl ChatSearches {
    /// Starts a search with the bot of this token.
    ///
    /// # Errors
    /// There are too many, or the thread cannot be started.
    pub fn start(
        self: &Arc<ChatSearches>,
        wanted: WantedChannel<'_>,
        settings: &NotifySettings,
        now: Instant,
    ) -> Result<SearchId, Refused> {
        let token = wanted.token.to_owned();
        let (id, is_new) = self.lock().add(wanted, now)?;
        if is_new {
            let (searches, settings) = (self.clone(), settings.clone());
            let started = spawn("telegram-chats", move || searches.poll(&token, &settings));
            if let Err(problem) = started {
                return Err(self.lock().give_up(id, problem));
            }
        }
        Ok(id)
    }

    pub fn with_buttons(on_press: OnPress) -> ChatSearches {
        ChatSearches { on_press: Some(on_press), ..ChatSearches::default() }
    }

    /// From now on, these bots and no others are polled for presses of buttons. A thread that cannot be started is tried
    /// again with the next call.
    pub fn watch(self: &Arc<ChatSearches>, tokens: HashSet<String>, settings: &NotifySettings) {
        let new = self.lock().watch(tokens);
        for token in new {
            let (searches, settings, bot) = (self.clone(), settings.clone(), token.clone());
            if spawn("telegram-chats", move || searches.poll(&bot, &settings)).is_err() {
                self.lock().bots.retain(|bot| *bot != token);
            }
        }
    }

    /// `None`: it is over, or never was.
    pub fn get(&self, id: SearchId, now: Instant) -> Option<ChatSearch> {
        let mut state = self.lock();
        state.forget_old(now);
        state.searches.iter().find(|search| search.id == id).cloned()
    }

    pub fn remove(&self, id: SearchId) {
        self.lock().searches.retain(|search| search.id != id);
    }

    /// Polls for messages to the bot until no search waits for one, and no button may be pressed.
    fn poll(&self, token: &str, settings: &NotifySettings) {
        let client = match start_resolver() {
            Ok(names) => PostClient::unrestricted(settings, &names),
            Err(error) => return self.lock().fail(token, &format!("cannot resolve names: {error}")),
        };
        let (mut after, mut due) = (None, Instant::now());
        while self.lock().is_awaited(token, Instant::now()) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            due = Instant::now() + POLL_EVERY;
            match chat_messages(&client, &settings.telegram_api, token, after) {
                Ok(messages) => {
                    after = messages.iter().map(|message| message.update).max().or(after);
                    self.lock().note(token, &messages);
                    let presses = messages.iter().filter_map(|message| message.press.as_ref());
                    if let Some(on_press) = &self.on_press {
                        presses.for_each(|press| on_press(&client, token, press));
                    }
                }
                Err(error) => return self.lock().failed(token, &error, settings),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Searches> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Searches {
    /// The search, and whether its bot needs a thread.
    fn add(&mut self, wanted: WantedChannel<'_>, now: Instant) -> Result<(SearchId, bool), Refused> {
        let WantedChannel { recipient, token, options } = wanted;
        self.forget_old(now);
        let is_new = !self.bots.iter().any(|bot| bot == token);
        if self.searches.len() >= MOST_SEARCHES || (is_new && self.bots.len() >= MOST_BOTS) {
            return Err(Refused::because("too many chats are being looked for; try again in ten minutes"));
        }
        if is_new {
            self.bots.push(token.to_owned());
        }
        let id = fastrand::u64(..);
        self.searches.push(ChatSearch {
            id,
            recipient: recipient.to_owned(),
            token: token.to_owned(),
            options,
            code: format!("/heartbeat_{}", fastrand::u32(CODES)),
            state: SearchState::Waiting,
            begun: now,
        });
        Ok((id, is_new))
    }

    fn give_up(&mut self, id: SearchId, problem: String) -> Refused {
        if let Some(at) = self.searches.iter().position(|search| search.id == id) {
            let search = self.searches.remove(at);
            self.bots.retain(|bot| *bot != search.token);
        }
        Refused::because(problem)
    }

    fn forget_old(&mut self, now: Instant) {
        self.searches.retain(|search| now.saturating_duration_since(search.begun) < LIFETIME);
    }

    /// Whether a search waits for this bot; if not, its thread ends, and the next search starts another.
    fn is_awaited(&mut self, token: &str, now: Instant) -> bool {
        self.forget_old(now);
        let is_awaited = self.waiting(token).next().is_some() || self.watched.contains(token);
        if !is_awaited {
            self.bots.retain(|bot| bot != token);
        }
        is_awaited
    }

    fn waiting<'a>(&'a mut self, token: &'a str) -> impl Iterator<Item = &'a mut ChatSearch> {
        let waits =
            move |search: &&mut ChatSearch| search.token == token && search.state == SearchState::Waiting;
        self.searches.iter_mut().filter(waits)
    }

    /// Returns the bots that need a thread, as many as there may be.
    fn watch(&mut self, tokens: HashSet<String>) -> Vec<String> {
        self.conflicts.retain(|token, _| tokens.contains(token));
        self.watched = tokens;
        let bots = &self.bots;
        let without = self.watched.iter().filter(|token| !bots.contains(token));
        let new: Vec<String> = without.take(MOST_WATCHED.saturating_sub(bots.len())).cloned().collect();
        self.bots.extend(new.iter().cloned());
        new
    }

    /// The thread of a bot ends. If another program receives its messages for good, it has no more buttons.
    fn failed(&mut self, token: &str, error: &PollError, settings: &NotifySettings) {
        self.fail(token, &error.why());
        let PollError::Conflict { has_webhook } = error else { return };
        if !self.watched.contains(token) {
            return;
        }
        let conflicts = self.conflicts.entry(token.to_owned()).or_default();
        *conflicts += 1;
        // A poll of the process before this one may still wait for messages.
        if (*has_webhook || *conflicts >= MOST_CONFLICTS) && settings.buttons.switch_off(token) {
            let bot = token.split(':').next().unwrap_or_default();
            let why = if *has_webhook { "it has a webhook" } else { "another program receives its messages" };
            warn!("Telegram bot {bot}: {why}, so its messages have no button until the next reload");
        }
    }

    fn note(&mut self, token: &str, messages: &[ChatMessage]) {
        self.conflicts.remove(token);
        for search in self.waiting(token) {
            let found = messages.iter().find(|message| has_code(&message.text, &search.code));
            if let Some(message) = found {
                search.state = SearchState::Found(message.chat.clone());
            }
        }
    }

    fn fail(&mut self, token: &str, why: &str) {
        for search in self.waiting(token) {
            search.state = SearchState::Failed(why.to_owned());
        }
        self.bots.retain(|bot| bot != token);
    }
}

/// Telegram appends the bot's name to a command in a group: `/heartbeat_123456@barn_bot`.
fn has_code(text: &str, code: &str) -> bool {
    let command = text.split_whitespace().next().unwrap_or_default();
    command.split('@').next() == Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::notify::button_state::ButtonState;

    fn message(text: &str) -> ChatMessage {
        let chat = FoundChat { id: "-100".into(), name: "Barn".into(), topic: None };
        ChatMessage { update: 1, text: text.into(), chat, press: None }
    }

    fn farm(token: &str) -> WantedChannel<'_> {
        WantedChannel { recipient: "farm", token, options: ChannelOptions::default() }
    }

    #[test]
    fn a_chat_is_found_by_the_code_of_its_search_alone() {
        let (mut searches, now) = (Searches::default(), Instant::now());
        let (id, is_new) = searches.add(farm("1:a"), now).expect("there is room");
        assert!(is_new);
        let (other, is_new) = searches.add(farm("2:b"), now).expect("there is room");
        assert!(is_new);
        let code = searches.searches[0].code.clone();
        searches.note("1:a", &[message("hello"), message(&format!("{code}0"))]);
        searches.note("2:b", &[message(&code)]);
        assert!(searches.is_awaited("1:a", now));
        searches.note("1:a", &[message(&format!("{code}@barn_bot please"))]);
        assert!(!searches.is_awaited("1:a", now), "nobody waits any more");
        let state = |id| &searches.searches.iter().find(|search| search.id == id).expect("kept").state;
        assert!(matches!(state(id), SearchState::Found(chat) if chat.id == "-100"));
        assert_eq!(*state(other), SearchState::Waiting);
    }

    #[test]
    fn a_bot_has_one_thread_and_there_are_at_most_eight() {
        let (mut searches, now) = (Searches::default(), Instant::now());
        for bot in 0..MOST_BOTS {
            assert!(searches.add(farm(&format!("{bot}:x")), now).expect("there is room").1);
        }
        searches.add(farm("9:x"), now).expect_err("too many bots");
        assert!(!searches.add(farm("0:x"), now).expect("the bot has a thread").1);
        searches.fail("0:x", "401: Unauthorized");
        assert!(searches.add(farm("9:x"), now).expect("a bot was given up").1);
    }

    #[test]
    fn a_bot_whose_messages_another_program_receives_has_no_more_buttons() {
        let settings = NotifySettings { buttons: ButtonState::received(), ..NotifySettings::default() };
        let mut searches = Searches::default();
        let bots = || HashSet::from(["1:a".to_owned(), "2:b".to_owned()]);
        assert_eq!(searches.watch(bots()).len(), 2);
        assert_eq!(searches.watch(bots()).len(), 0, "each has a thread");
        let disturbed = PollError::Conflict { has_webhook: false };
        for _ in 1..MOST_CONFLICTS {
            searches.failed("1:a", &disturbed, &settings);
            assert_eq!(searches.watch(bots()), ["1:a"]);
        }
        searches.note("1:a", &[]);
        searches.failed("1:a", &disturbed, &settings);
        assert!(settings.buttons.are_on("1:a"), "not one after the other");
        for _ in 1..MOST_CONFLICTS {
            searches.failed("1:a", &disturbed, &settings);
        }
        assert!(!settings.buttons.are_on("1:a") && settings.buttons.are_on("2:b"));
        searches.failed("2:b", &PollError::Failed("no route".into()), &settings);
        assert!(settings.buttons.are_on("2:b"));
        searches.failed("2:b", &PollError::Conflict { has_webhook: true }, &settings);
        assert!(!settings.buttons.are_on("2:b"));
    }

    #[test]
    fn a_search_ends_after_ten_minutes_and_their_number_is_bounded() {
        let (mut searches, now) = (Searches::default(), Instant::now());
        for _ in 0..MOST_SEARCHES {
            searches.add(farm("1:a"), now).expect("there is room");
        }
        searches.add(farm("1:a"), now).expect_err("too many");
        let later = now + LIFETIME;
        assert!(!searches.is_awaited("1:a", later));
        searches.add(farm("1:a"), later).expect("the old ones are forgotten");
    }
}
