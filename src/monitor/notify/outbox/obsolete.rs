//! Messages that have lost their reason before they could be delivered.

use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::{DeliveryState, UNDELIVERED, WAITING};
use crate::monitor::notify::notice::EventKind;
use crate::monitor::store::StoreError;
use rusqlite::{Transaction, params};

/// Skips reminders of incidents that have ended or were acknowledged meanwhile: a reminder that is sent again later would say
/// that the machine is still down.
pub(super) fn skip_reminders(transaction: &Transaction, channel: ChannelId) -> Result<(), StoreError> {
    let mut statement = transaction.prepare_cached(&format!(
        "UPDATE outbox SET state = ?2
         WHERE channel_id = ?1 AND {UNDELIVERED} AND state = {WAITING} AND event = ?3
           AND EXISTS (SELECT 1 FROM incident i WHERE i.id = outbox.incident_id
                       AND (i.acknowledged_at IS NOT NULL OR i.ended_at IS NOT NULL))"
    ))?;
    statement.execute(params![channel.0, DeliveryState::Skipped as i64, EventKind::Reminder.name()])?;
    Ok(())
}
