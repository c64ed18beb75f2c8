//! The open connections, by the index that is their token.

use super::client::ConnectionClient;
use super::connection::HttpConnection;
use super::deadlines::Wait;
use super::reply::Ticket;
use super::transport::Transport;
use super::unfinished::Holding;

/// A connection with its socket.
pub(super) struct Client {
    pub(super) transport: Transport,
    pub(super) connection: HttpConnection,
    /// It is in the reactor's queue.
    pub(super) queued: bool,
    /// The wait and the request number that its deadline was set for.
    pub(super) watched: Option<(Wait, u32)>,
    /// It counts towards its address's limit.
    pub(super) admitted: bool,
    /// It has an entry in `Unfinished`.
    pub(super) holds: bool,
}

/// Memory of a connection without its buffers, in bytes.
const CONNECTION: usize = 512;

/// A slab: indices are reused, pairs of index and generation are not (within 4 billion connections per index).
#[derive(Default)]
pub(super) struct ConnectionTable {
    slots: Vec<TableSlot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct TableSlot {
    generation: u32,
    client: Option<Client>,
}

impl ConnectionTable {
    /// The index that the next [`ConnectionTable::insert`] will use.
    pub(super) fn vacant(&self) -> u32 {
        // At most one per descriptor, which is an i32.
        self.free.last().copied().unwrap_or(self.slots.len() as u32)
    }

    pub(super) fn insert(&mut self, client: Client) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(TableSlot::default());
            self.slots.len() as u32 - 1
        });
        self.slots[index as usize].client = Some(client);
        index
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Client> {
        let slot = self.slots.get_mut(index as usize)?;
        let client = slot.client.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(client)
    }

    pub(super) fn get(&mut self, index: u32) -> Option<&mut Client> {
        self.slots.get_mut(index as usize)?.client.as_mut()
    }

    pub(super) fn ticket(&self, index: u32) -> Ticket {
        let generation = self.slots.get(index as usize).map_or(0, |slot| slot.generation);
        Ticket { index, generation }
    }

    /// The client that `ticket` was issued for; `None` if it is gone.
    pub(super) fn by_ticket(&mut self, ticket: Ticket) -> Option<&mut Client> {
        let slot = self.slots.get_mut(ticket.index as usize)?;
        slot.client.as_mut().filter(|_| slot.generation == ticket.generation)
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.slots.len() as u32
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl Client {
    /// Memory that counts towards the bounds of unfinished input during `wait`; `None` if none does. Idle connections
    /// have their own bounds, and complete requests are being answered.
    pub(super) fn holding(&self, wait: Wait) -> Option<Holding> {
        let ConnectionClient { address: client, authenticated, .. } = *self.connection.client();
        match wait {
            Wait::Idle | Wait::IdleAuthenticated | Wait::Answer => None,
            // The handler bounds the number of downloads, and each holds one piece.
            Wait::Download => None,
            // Only a connection slot is in use, which an authenticated client may keep.
            Wait::Write | Wait::Linger if authenticated => None,
            Wait::Request | Wait::Write | Wait::Linger => {
                let bytes = CONNECTION + self.connection.held() + self.transport.held();
                Some(Holding { client, authenticated, bytes })
            }
        }
    }

    /// The last write to its socket was partial.
    pub(super) fn watched_for_writing(&self) -> bool {
        matches!(self.watched, Some((Wait::Write, _)))
    }
}
