//! Messages as they were sent: which notifications were one, and to whom.

use crate::clock::Moment;
use crate::monitor::incidents::table::IncidentId;
use crate::monitor::notify::acknowledge_link::{
    AcknowledgeOffer, KEY_NAME, LinkKey, address, can_be_acknowledged,
};
use crate::monitor::notify::batch::Outgoing;
use crate::monitor::notify::channel::ChannelKind;
use crate::monitor::notify::message::Message;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Refused, Store, StoreError};
use log::warn;

/// A message that was sent, or is being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    pub recipient: String,
    pub kind: ChannelKind,
    /// URL, chat id or address.
    pub target: String,
    /// In the order of their notices.
    pub incidents: Vec<IncidentId>,
}

impl SentMessage {
    /// Who has acknowledged, as far as that is known: whoever has the message.
    pub fn reader(&self) -> String {
        match self.kind {
            ChannelKind::Ntfy => format!("whoever has the ntfy topic of {}", self.recipient),
            ChannelKind::Email => format!("{} (link in a mail)", self.recipient),
            ChannelKind::Webhook => format!("{} (link in a webhook)", self.recipient),
            other => format!("{} ({})", self.recipient, other.shown()),
        }
    }
}

/// Gives messages the address with which their incidents are acknowledged.
#[derive(Debug, Default)]
pub struct AcknowledgeOffers {
    /// Read when the first is needed.
    key: Option<LinkKey>,
}

impl AcknowledgeOffers {
    /// Changes the messages about open incidents, and notes what is sent as one; `site` is the address of the pages. If the
    /// database fails, the messages are sent without it: they matter more.
    pub fn add(
        &mut self,
        store: &Store,
        kind: ChannelKind,
        site: Option<&str>,
        messages: &mut [Outgoing],
        now: Moment,
    ) {
        if let Err(error) = self.try_add(store, kind, site, messages, now) {
            warn!("messages are sent without a way to acknowledge them: {error}");
        }
    }

    fn try_add(
        &mut self,
        store: &Store,
        kind: ChannelKind,
        site: Option<&str>,
        messages: &mut [Outgoing],
        now: Moment,
    ) -> Result<(), StoreError> {
        let open: Vec<&mut Message> = messages
            .iter_mut()
            .map(|message| &mut message.what)
            .filter(|message| can_be_acknowledged(&message.notices))
            .collect();
        let joined = open.iter().map(|message| message.rows.as_slice()).filter(|rows| rows.len() > 1);
        store.note_messages(&joined.collect::<Vec<_>>())?;
        for message in open {
            let row = message.id();
            let url = site.map(|site| Ok::<_, StoreError>(address(self.key(store)?, kind, site, row, now)));
            message.acknowledge = Some(AcknowledgeOffer { row, url: url.transpose()? });
        }
        Ok(())
    }

    fn key(&mut self, store: &Store) -> Result<&LinkKey, StoreError> {
        Ok(match &mut self.key {
            Some(key) => key,
            key => key.insert(store.link_key()?),
        })
    }
}

impl Store {
    /// The key that signs the links of messages; made at the first call.
    pub fn link_key(&self) -> Result<LinkKey, StoreError> {
        self.installation_key(KEY_NAME).map(LinkKey).map_err(|refused| match refused {
            Refused::Store(error) => error,
            other => StoreError::Other(other.to_string()),
        })
    }

    /// Notes which rows of the outbox are sent as one message: each list is one.
    pub fn note_messages(&self, messages: &[&[i64]]) -> Result<(), StoreError> {
        if messages.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut statement = transaction.prepare("UPDATE outbox SET message = ?2 WHERE id = ?1")?;
            for rows in messages {
                for row in *rows {
                    statement.execute(params![*row, rows[0]])?;
                }
            }
            Ok(())
        })
    }

    /// The message whose first row this is; `None`: it was removed, with its incident or by age.
    pub fn sent_message(&self, row: i64) -> Result<Option<SentMessage>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT r.name, c.kind, c.target FROM outbox o JOIN channel c ON c.id = o.channel_id
                       JOIN recipient r ON r.id = c.recipient_id WHERE o.id = ?1";
            let found = connection.query_optional(sql, params![row], |row| {
                Ok((row.get(0)?, ChannelKind::from_name(row.get(1)?), row.get(2)?))
            })?;
            let Some((recipient, Some(kind), target)) = found else { return Ok(None) };
            let incidents = connection.query_all(
                "SELECT incident_id, min(id) AS first FROM outbox WHERE id = ?1 OR message = ?1
                 GROUP BY incident_id ORDER BY first",
                params![row],
                |row| row.get(0).map(IncidentId),
            )?;
            Ok(Some(SentMessage { recipient, kind, target, incidents }))
        })
    }
}
