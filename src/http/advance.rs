//! A connection's turn: reads, parses and writes.

use super::connection::{BATCH, Front};
use super::message::Request;
use super::table::Client;
use std::io::{self, ErrorKind};

/// Reads, parses and writes until it would block; returns the next complete request.
pub(super) fn advance(client: &mut Client, front: &Front, scratch: &mut [u8]) -> io::Result<Option<Request>> {
    // A client that does not read its responses gets no further request parsed.
    let blocked = client.connection.output().len() >= BATCH || client.watched_for_writing();
    if blocked && !flush(client)? {
        return Ok(None);
    }
    loop {
        if let Some(request) = client.connection.next(front) {
            return Ok(Some(request));
        }
        if client.connection.wants_input() {
            match client.transport.read(scratch) {
                Ok(0) => client.connection.end(),
                Ok(bytes) => client.connection.receive(&scratch[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    flush(client)?;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        } else {
            if !flush(client)? {
                return Ok(None);
            }
            if client.connection.begins_to_linger() {
                client.transport.shut();
            } else if !client.connection.wants_input() {
                return Ok(None);
            }
        }
    }
}

/// True if all output was sent.
fn flush(client: &mut Client) -> io::Result<bool> {
    while !client.connection.output().is_empty() {
        match client.transport.write(client.connection.output()) {
            Ok(bytes) => client.connection.wrote(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
