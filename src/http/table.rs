//! The open connections, by the index that is their token.

use super::connection::Connection;
use super::deadlines::Wait;
use super::reply::Ticket;
use super::transport::Transport;
use super::unfinished::Holding;

/// A connection with its socket.
pub(super) struct Client {
    pub(super) transport: Transport,
    pub(super) connection: Connection,
    /// It is in the reactor's list of those with something to do.
    pub(super) queued: bool,
    /// For what its deadline was set, and in which request.
    pub(super) watched: Option<(Wait, u32)>,
    /// It counts among its address's connections.
    pub(super) admitted: bool,
    /// It is counted in `Unfinished`.
    pub(super) holds: bool,
}

/// What a connection takes by itself, in bytes.
const CONNECTION: usize = 512;

/// A slab: an index is used again, a generation is not (within 4 billion connections of one index).
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    client: Option<Client>,
}

impl Table {
    /// The index that the next [`Table::insert`] will use.
    pub(super) fn vacant(&self) -> u32 {
        // As many as there are descriptors, which are an i32.
        self.free.last().copied().unwrap_or(self.slots.len() as u32)
    }

    pub(super) fn insert(&mut self, client: Client) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
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

    /// The client that `ticket` was given for, unless it is gone.
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
    /// What it holds while it waits for this; `None`: nothing that has to be bounded. Idle connections have bounds of
    /// their own, and complete requests are being answered.
    pub(super) fn holding(&self, wait: Wait) -> Option<Holding> {
        let (client, known) = (self.connection.client(), self.connection.is_known());
        match wait {
            Wait::Idle | Wait::IdleKnown | Wait::Answer => None,
            // A place is all that it takes, which one that is known may keep.
            Wait::Write | Wait::Linger if known => None,
            Wait::Request | Wait::Write | Wait::Linger => {
                let bytes = CONNECTION + self.connection.held() + self.transport.held();
                Some(Holding { client, known, bytes })
            }
        }
    }

    /// Its socket took only a part of the answers when it was last tried.
    pub(super) fn watched_for_writing(&self) -> bool {
        matches!(self.watched, Some((Wait::Write, _)))
    }
}
