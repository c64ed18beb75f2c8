//! Machines that exist only to be measured with: a group of their own, made and removed as a whole.

use super::issue::issue;
use super::machines::insert;
use super::token::Token;
use crate::clock::Moment;
use crate::monitor::machine::Description;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Refused, Store};

const GROUP: &str = "simulated";

impl Store {
    /// Adds `count` machines, `simulated-1` and so on, in place of those that an earlier run has left; their tokens.
    pub fn add_simulated(&self, count: usize, now: Moment) -> Result<Vec<Token>, Refused> {
        self.transact(|tx| {
            tx.execute("DELETE FROM machine WHERE group_name = ?1", params![GROUP])?;
            let add = |number: usize| {
                let (name, group) = (format!("{GROUP}-{number}"), Some(GROUP.to_owned()));
                let description = Description { name, group, ..Description::default() };
                let machine = insert(tx, &description, None, now)?;
                issue(tx, machine, now)
            };
            (1..=count).map(add).collect()
        })
    }

    /// Removes them, with all that they have left. Returns how many there were.
    ///
    /// # Errors
    /// The database; none is removed then.
    pub fn remove_simulated(&self) -> Result<usize, Refused> {
        self.transact(|tx| Ok(tx.execute("DELETE FROM machine WHERE group_name = ?1", params![GROUP])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(store.remove_simulated(), Ok(2));
        assert_eq!(Registry::load(&store).expect("loaded").machines(), 1);
    }
}
