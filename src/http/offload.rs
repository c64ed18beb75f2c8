//! What the reactor leaves to other threads because it takes too long: the next piece of a file, a part of a TLS handshake.

use super::reactor::Reactor;
use super::reply::{ReactorEvent, Ticket};
use super::tls::TlsSession;

impl Reactor {
    /// After a connection's turn.
    pub(super) fn offload(&mut self, index: u32) {
        self.request_piece(index);
        self.begin_handshake(index);
    }

    /// Continues a download whose client was sent all pieces so far.
    fn request_piece(&mut self, index: u32) {
        let ticket = self.table.ticket(index);
        let Some(client) = self.table.get(index) else { return };
        let output = client.connection.output_mut();
        if output.wants_piece() {
            let reactor = self.sender.clone();
            output.request_piece(move |piece| _ = reactor.try_send(ReactorEvent::Piece(ticket, piece)));
            client.transport.socket.bound_unsent();
        }
    }

    /// Passes the connection's session to a handshake thread if a part of its handshake is due. Where too many wait, this
    /// connection is closed: the device returns later, and those that wait are answered in time.
    fn begin_handshake(&mut self, index: u32) {
        let Some(handshakes) = &self.handshakes else { return };
        let ticket = self.table.ticket(index);
        let Some(client) = self.table.get(index) else { return };
        let (reactor, now) = (self.sender.clone(), self.now);
        let begun = client
            .transport
            .begin_handshake(|session| handshakes.continue_with(session, ticket, reactor, now));
        if begun.is_err() {
            self.front.counters.refused.add(1);
            self.close(index);
        }
    }

    pub(super) fn continue_handshake(&mut self, ticket: Ticket, session: Option<TlsSession>) {
        let Some(client) = self.table.by_ticket(ticket) else { return };
        match session {
            Some(session) => {
                client.transport.continue_handshake(session);
                self.enqueue(ticket.index);
            }
            None => {
                self.front.counters.refused.add(1);
                self.close(ticket.index);
            }
        }
    }
}
