//! The table `mqtt_topic`: which retained topics the broker may have. A topic is written before it is published and
//! removed after it was cleared, so none is left behind by a crash.

use super::entities::{MachineMessage, TopicNames};
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Store, StoreError};
use std::collections::HashSet;

/// Topics that are cleared in one round.
const MOST_CLEARED: u32 = 1000;

/// A topic whose machine or camera is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleTopic {
    pub topic: String,
    pub machine: MachineId,
    /// Digits of its MAC address.
    pub camera: Option<String>,
}

/// The topics that the broker may have, as in the database.
#[derive(Debug)]
pub struct Ledger {
    known: HashSet<String>,
}

impl Ledger {
    pub fn load(store: &Store) -> Result<Ledger, StoreError> {
        let sql = "SELECT topic FROM mqtt_topic";
        let known = store.read(|connection| connection.query_all(sql, &[], |row| row.get(0)))?;
        Ok(Ledger { known: known.into_iter().collect() })
    }

    /// Writes those topics that are new.
    pub fn note(&mut self, store: &Store, messages: &[MachineMessage]) -> Result<(), StoreError> {
        let is_new = |one: &&MachineMessage| !self.known.contains(&one.message.topic);
        let new: Vec<&MachineMessage> = messages.iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        store.write(|transaction| {
            let mut insert = transaction.prepare(
                "INSERT INTO mqtt_topic (topic, machine_id, camera) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?;
            for one in &new {
                insert.execute(params![one.message.topic, one.machine.0, one.camera.map(|mac| mac.to_string())])?;
            }
            Ok(())
        })?;
        self.known.extend(new.iter().map(|one| one.message.topic.clone()));
        Ok(())
    }

    /// Topics of machines and cameras that no longer exist. A camera that was just reported has no row yet: the caller
    /// knows those.
    pub fn stale(&self, store: &Store) -> Result<Vec<StaleTopic>, StoreError> {
        store.read(|connection| {
            connection.query_all(
                "SELECT t.topic, t.machine_id, t.camera FROM mqtt_topic t
                 WHERE NOT EXISTS (SELECT 1 FROM machine m WHERE m.id = t.machine_id)
                    OR (t.camera IS NOT NULL AND NOT EXISTS
                        (SELECT 1 FROM camera c WHERE c.machine_id = t.machine_id AND c.mac = t.camera))
                 LIMIT ?1",
                params![MOST_CLEARED],
                |row| {
                    Ok(StaleTopic {
                        topic: row.get(0)?,
                        machine: MachineId(row.get(1)?),
                        camera: row.get(2)?,
                    })
                },
            )
        })
    }

    /// Topics of earlier settings.
    pub fn foreign(&self, names: &TopicNames) -> Vec<String> {
        self.known.iter().filter(|topic| !names.has(topic)).take(MOST_CLEARED as usize).cloned().collect()
    }

    /// The broker has acknowledged that these are cleared.
    pub fn forget(&mut self, store: &Store, topics: &[String]) -> Result<(), StoreError> {
        store.write(|transaction| {
            let mut delete = transaction.prepare("DELETE FROM mqtt_topic WHERE topic = ?1")?;
            for topic in topics {
                delete.execute(params![topic])?;
            }
            Ok(())
        })?;
        for topic in topics {
            self.known.remove(topic);
        }
        Ok(())
    }
}
