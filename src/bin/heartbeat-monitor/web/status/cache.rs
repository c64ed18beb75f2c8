//! Open pages, their machines and rendered answers, each kept for some seconds.

use super::board::{OpenPage, StatusBoard};
use super::{badge, page};
use crate::web::page::{compressed, secured, unlisted};
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::registry::token::TokenHash;
use heartbeat_daemon::monitor::status_pages::pages::Visibility;
use heartbeat_daemon::monitor::store::{Store, StoreError};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A page that a command in another process has switched off is served no longer than this.
const INDEX_FRESH: Duration = Duration::from_secs(2);
/// Longest age of what a page shows, besides the time that browsers keep it.
const ANSWER_FRESH: Duration = Duration::from_secs(5);
/// Machines that are kept, of all groups together: 3 MB.
const MOST_MACHINES: usize = 20_000;
/// Bytes of rendered answers that are kept. A page of 100 machines has 30 KB; if each was down on every day, 1 MB.
const MOST_BYTES: usize = 4 << 20;
/// Of an answer besides its bodies.
const OVERHEAD: usize = 1024;

/// Also for browsers, and for proxies if the page is public.
const PUBLIC: &str = "public, max-age=5";
const SECRET: &str = "private, max-age=5";

/// What is requested of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// By number, from 1.
    Page(usize),
    Badge,
}

/// An answer in both encodings.
#[derive(Debug, Clone)]
pub struct RenderedAnswer {
    plain: Response,
    gzip: Response,
}

/// The hash of a slug or of a secret: both are found by the same work.
type PageKey = [u8; 32];

/// Shared by the status pages and by the settings, which expire it.
#[derive(Default)]
pub struct StatusCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    open: HashMap<PageKey, OpenPage>,
    /// When `open` was read.
    read_at: Option<Instant>,
    boards: HashMap<PageKey, (Instant, Arc<StatusBoard>)>,
    answers: HashMap<(PageKey, Part), (Instant, RenderedAnswer)>,
}

impl RenderedAnswer {
    fn new(response: Response, is_secret: bool) -> RenderedAnswer {
        let response = match is_secret {
            true => unlisted(response).header("Cache-Control", SECRET),
            false => response.header("Referrer-Policy", "no-referrer").header("Cache-Control", PUBLIC),
        };
        let plain = secured(response);
        let gzip = compressed(Some("gzip"), plain.clone());
        // Too small to be compressed, or not.
        let varies = gzip.has_header("Vary");
        RenderedAnswer { plain: if varies { plain.header("Vary", "Accept-Encoding") } else { plain }, gzip }
    }

    /// In bytes.
    fn size(&self) -> usize {
        self.plain.content().len() + self.gzip.content().len() + OVERHEAD
    }

    pub fn for_client(self, accepts_gzip: bool) -> Response {
        if accepts_gzip { self.gzip } else { self.plain }
    }
}

impl StatusCache {
    /// The answer for a page; `None` if none is open under this key. `kept`: how long incidents are kept.
    pub fn answer(
        &self,
        store: &Store,
        kept: Duration,
        key: &TokenHash,
        part: Part,
        now: Now,
    ) -> Result<Option<RenderedAnswer>, StoreError> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.refresh(store, now.monotonic)?;
        let Some(open) = cache.open.get(&key.0).cloned() else { return Ok(None) };
        let board = cache.board(store, key.0, open, now)?;
        let part = match part {
            Part::Page(number) => Part::Page(number.clamp(1, board.pages())),
            Part::Badge => Part::Badge,
        };
        if let Some((_, answer)) = cache.answers.get(&(key.0, part)).filter(|(at, _)| is_fresh(*at, now)) {
            return Ok(Some(answer.clone()));
        }
        let response = match part {
            Part::Page(number) => page::render(store, &board, number, kept)?,
            Part::Badge => badge::render(&board),
        };
        let answer = RenderedAnswer::new(response, board.page.is_secret);
        let size = Budget { cost: RenderedAnswer::size, most: MOST_BYTES };
        size.keep(&mut cache.answers, (key.0, part), answer.clone(), now);
        Ok(Some(answer))
    }

    /// A page of the settings has changed something: the next request reads it.
    pub fn expire(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }
}

impl Kept {
    /// Reads which pages are open, and forgets all others.
    fn refresh(&mut self, store: &Store, now: Instant) -> Result<(), StoreError> {
        if self.read_at.is_some_and(|at| now.saturating_duration_since(at) < INDEX_FRESH) {
            return Ok(());
        }
        let open = store.open_status_pages()?.into_iter().filter_map(|(group, visibility)| {
            let (key, is_secret) = match visibility {
                Visibility::Public(slug) => (TokenHash::of(&slug), false),
                Visibility::SecretLink(hash) => (hash, true),
                Visibility::Off => return None,
            };
            Some((key.0, OpenPage { group, is_secret }))
        });
        let before = std::mem::replace(&mut self.open, open.collect());
        // An address may belong to another group now.
        let is_same = |key: &PageKey| self.open.get(key).is_some_and(|open| before.get(key) == Some(open));
        self.boards.retain(|key, _| is_same(key));
        self.answers.retain(|(key, _), _| is_same(key));
        self.read_at = Some(now);
        Ok(())
    }

    fn board(
        &mut self,
        store: &Store,
        key: PageKey,
        open: OpenPage,
        now: Now,
    ) -> Result<Arc<StatusBoard>, StoreError> {
        if let Some((_, board)) = self.boards.get(&key).filter(|(at, _)| is_fresh(*at, now)) {
            return Ok(board.clone());
        }
        let board = Arc::new(StatusBoard::load(store, open, now.wall)?);
        let machines =
            Budget { cost: |board: &Arc<StatusBoard>| board.machines.len() + 1, most: MOST_MACHINES };
        machines.keep(&mut self.boards, key, board.clone(), now);
        Ok(board)
    }
}

fn is_fresh(at: Instant, now: Now) -> bool {
    now.monotonic.saturating_duration_since(at) < ANSWER_FRESH
}

/// What entries may cost together.
struct Budget<V> {
    cost: fn(&V) -> usize,
    most: usize,
}

impl<V> Budget<V> {
    /// Adds an entry; first drops expired ones, and the oldest ones until it fits. One that is too large is kept alone.
    fn keep<K: Hash + Eq + Copy>(&self, entries: &mut HashMap<K, (Instant, V)>, key: K, value: V, now: Now) {
        entries.retain(|kept, (at, _)| *kept != key && is_fresh(*at, now));
        let mut total =
            (self.cost)(&value) + entries.values().map(|(_, kept)| (self.cost)(kept)).sum::<usize>();
        while total > self.most {
            let oldest = entries.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| *key);
            let Some((_, dropped)) = oldest.and_then(|oldest| entries.remove(&oldest)) else { break };
            total -= (self.cost)(&dropped);
        }
        entries.insert(key, (now.monotonic, value));
    }
}

#[cfg(test)]
mod tests;
