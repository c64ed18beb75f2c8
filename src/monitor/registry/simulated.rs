//! Machines that exist only to be measured with: a group of their own, made and removed as a whole.

use super::issue::issue;
use super::token::Token;
use crate::clock::Moment;
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::store::sql::{Transaction, params, rows};
use crate::monitor::store::{Refused, Store, StoreError};

const GROUP: &str = "simulated";

impl Store {
    /// Adds `count` machines, `simulated-1` and so on, in place of those that an earlier run has left; their tokens.
    pub fn add_simulated(&self, count: usize, now: Moment) -> Result<Vec<Token>, Refused> {
        self.remove_simulated()?;
        self.add_simulated_range(1, u32::try_from(count).unwrap_or(u32::MAX), now)
    }

    /// Adds the machines `simulated-FIRST` and so on, in place of those of the same names.
    pub fn add_simulated_range(&self, first: u32, count: u32, now: Moment) -> Result<Vec<Token>, Refused> {
        self.transact(|tx| {
            remove_range(tx, first, count)?;
            let machines = tx.query_all(
                "INSERT INTO machine (name, group_name, created_at)
                 SELECT value ->> 0, ?2, ?3 FROM json_each(?1) RETURNING id",
                params![names(first, count)?, GROUP, now],
                |row| Ok(MachineId(row.get(0)?)),
            )?;
            tx.execute(
                "INSERT INTO machine_state (machine_id, status, watched, since)
                 SELECT CAST(value AS BIGINT), ?2, TRUE, ?3 FROM json_each(?1)",
                params![rows(machines.iter().map(|machine| machine.0))?, MachineStatus::New as i64, now],
            )?;
            machines.into_iter().map(|machine| issue(tx, machine, now)).collect()
        })
    }

    /// Removes them, with all that they have left. Returns how many there were.
    ///
    /// # Errors
    /// The database; none is removed then.
    pub fn remove_simulated(&self) -> Result<usize, Refused> {
        self.transact(|tx| Ok(tx.execute("DELETE FROM machine WHERE group_name = ?1", params![GROUP])?))
    }

    /// The same for those that [`Store::add_simulated_range`] added.
    pub fn remove_simulated_range(&self, first: u32, count: u32) -> Result<usize, Refused> {
        self.transact(|tx| Ok(remove_range(tx, first, count)?))
    }
}

/// For `value ->> 0`.
fn names(first: u32, count: u32) -> Result<String, StoreError> {
    rows((first..first.saturating_add(count)).map(|number| [format!("{GROUP}-{number}")]))
}

fn remove_range(tx: &Transaction<'_>, first: u32, count: u32) -> Result<usize, StoreError> {
    tx.execute(
        "DELETE FROM machine WHERE group_name = ?2 AND name IN (SELECT value ->> 0 FROM json_each(?1))",
        params![names(first, count)?, GROUP],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::machine::Description;
    use crate::monitor::registry::lookup::Registry;

    #[test]
    fn a_simulated_fleet_replaces_the_previous_one_and_leaves_nothing() {
        let store = Store::scratch();
        let own = Description { name: "barn".into(), ..Description::default() };
        store.add_machine(&own, Moment(0)).expect("added");
        let first = store.add_simulated(3, Moment(1)).expect("added");
        let second = store.add_simulated(2, Moment(2)).expect("added");
        let registry = Registry::load(&store).expect("loaded");
        assert!(registry.authenticate(first[0].as_str(), Moment(3)).is_err());
        assert!(registry.authenticate(second[1].as_str(), Moment(3)).is_ok());
        let others = store.add_simulated_range(3, 2, Moment(3)).expect("added");
        let again = store.add_simulated_range(3, 2, Moment(4)).expect("added");
        let registry = Registry::load(&store).expect("loaded");
        assert!(registry.authenticate(others[0].as_str(), Moment(5)).is_err());
        assert!(registry.authenticate(again[1].as_str(), Moment(5)).is_ok());
        assert!(registry.authenticate(second[1].as_str(), Moment(5)).is_ok(), "of another simulation");
        assert_eq!(store.remove_simulated_range(3, 2), Ok(2));
        assert_eq!(store.remove_simulated(), Ok(2));
        assert_eq!(Registry::load(&store).expect("loaded").machines(), 1);
    }
}
