//! Messages that have lost their reason while a courier had them: when it failed, or when the process that leased them ended.
//! Those that wait are skipped when their incident ends or is acknowledged.

use crate::clock::Moment;
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::{DeliveryState, LEASED, UNDELIVERED, WAITING};
use crate::monitor::notify::notice::EventKind;
use crate::monitor::notify::outbox::backlog::{QueueStretch, within};
use crate::monitor::notify::outbox::lease_owner::LeaseOwner;
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Transaction, params};

/// Skips, among the rows that could be leased, reminders of incidents that have ended, which would say that the machine is
/// still down; and reminders and escalations of incidents that were acknowledged. An escalation of an incident that has
/// ended may have arrived, so it is sent, and its end after it. So may what another process had leased: it counts as tried.
pub(super) fn skip(
    transaction: &Transaction<'_>,
    channel: ChannelId,
    owner: LeaseOwner,
    stretch: QueueStretch,
    now: Moment,
) -> Result<(), StoreError> {
    let within = within("outbox", 7);
    let QueueStretch { after, until } = stretch;
    let sql = format!(
        "UPDATE outbox SET state = ?2, lease = NULL, leased_until = NULL,
                attempts = CASE WHEN state = {LEASED} THEN attempts + 1 ELSE attempts END
         WHERE channel_id = ?1 AND {UNDELIVERED} AND (state = {WAITING} OR (leased_until <= ?3 AND lease <> ?4))
           AND event IN (?5, ?6) AND {within}
           AND EXISTS (SELECT 1 FROM incident i WHERE i.id = outbox.incident_id
                       AND (i.acknowledged_at IS NOT NULL OR i.ended_at IS NOT NULL AND outbox.event = ?5))"
    );
    transaction.execute(
        &sql,
        params![
            channel.0,
            DeliveryState::Skipped as i64,
            now.0,
            owner.0,
            EventKind::Reminder.name(),
            EventKind::Escalation.name(),
            after.due,
            after.id,
            until.due,
            until.id
        ],
    )?;
    Ok(())
}
