//! The table `status_label`: what a machine is called on its group's page, instead of the group and a number.

use crate::clock::Moment;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::machine::{MachineId, label};
use crate::monitor::registry::machines::find;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Refused, Store, StoreError};

/// A label as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusLabel {
    pub machine: MachineId,
    pub name: String,
    pub group: Option<String>,
    pub label: String,
}

impl Store {
    /// Changes the label of a machine, by its name or number; an empty one returns to the group and a number. Returns the
    /// machine's name.
    ///
    /// # Errors
    /// There is no such machine, or the label is refused.
    pub fn set_status_label(
        &self,
        actor: &Actor,
        which: &str,
        text: &str,
        now: Moment,
    ) -> Result<String, Refused> {
        let new = Some(text).filter(|text| !text.is_empty());
        new.map_or(Ok(()), label)?;
        self.transact(|tx| {
            let machine = find(tx, which)?;
            match new {
                Some(text) => tx.execute(
                    "INSERT INTO status_label (machine_id, label) VALUES (?1, ?2)
                     ON CONFLICT (machine_id) DO UPDATE SET label = excluded.label",
                    params![machine.0, text],
                )?,
                None => tx.execute("DELETE FROM status_label WHERE machine_id = ?1", params![machine.0])?,
            };
            let sql = "SELECT name FROM machine WHERE id = ?1";
            let name: String = tx.query_row(sql, params![machine.0], |row| row.get(0))?;
            actor.record(tx, "status_page.label", Some(&name), new, now)?;
            Ok(name)
        })
    }

    /// At most `limit` labels, by the machine's name.
    pub fn status_labels(&self, limit: u32) -> Result<Vec<StatusLabel>, StoreError> {
        self.read(|connection| {
            connection.query_all(
                "SELECT machine.id, name, group_name, label FROM status_label
                 JOIN machine ON machine.id = machine_id ORDER BY name LIMIT ?1",
                params![limit],
                |row| {
                    Ok(StatusLabel {
                        machine: MachineId(row.get(0)?),
                        name: row.get(1)?,
                        group: row.get(2)?,
                        label: row.get(3)?,
                    })
                },
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::machine::Description;
    use crate::monitor::store::page::Page;

    #[test]
    fn a_label_is_set_changed_and_cleared_and_each_change_is_recorded() {
        let store = Store::scratch();
        let machine = Description { name: "barn-cam".into(), ..Description::default() };
        store.add_machine(&machine, Moment(0)).expect("added");
        let actor = Actor::command_line();
        let labels =
            || store.status_labels(9).expect("read").into_iter().map(|l| l.label).collect::<Vec<_>>();
        for (which, text) in [("barn-cam", "North"), ("1", "South"), ("barn-cam", "")] {
            assert_eq!(store.set_status_label(&actor, which, text, Moment(1)), Ok("barn-cam".into()));
            assert_eq!(labels(), [text].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>());
        }
        for (which, text) in [("silo", "x"), ("barn-cam", " x"), ("barn-cam", "a\u{202e}b")] {
            store.set_status_label(&actor, which, text, Moment(1)).expect_err(text);
        }
        assert_eq!(store.audit(Page::default(), 9).expect("listed").len(), 3);
    }
}
