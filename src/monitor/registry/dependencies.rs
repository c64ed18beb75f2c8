//! Which machine is behind which other one, such as a camera behind a switch. While the one in front is dead, those behind it
//! are not announced: `incidents::context` reads it.

use super::find::find;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Refused, StoreError};

/// Machines in one chain. A network of more layers does not exist, and a refusal names each.
const LONGEST_CHAIN: usize = 16;

/// Puts a machine behind another one, or behind none.
///
/// # Errors
/// The other one does not exist, or it is behind this one already.
pub fn set_behind(tx: &Transaction<'_>, machine: MachineId, front: Option<&str>) -> Result<(), Refused> {
    let front = front.map(|which| find(tx, which)).transpose()?;
    if let Some(front) = front {
        refuse_a_cycle(tx, machine, front)?;
    }
    tx.execute("UPDATE machine SET behind = ?2 WHERE id = ?1", params![machine.0, front.map(|id| id.0)])?;
    Ok(())
}

fn refuse_a_cycle(tx: &Transaction<'_>, machine: MachineId, front: MachineId) -> Result<(), Refused> {
    let mut chain = vec![name(tx, machine)?];
    let mut next = Some(front);
    while let Some(id) = next {
        chain.push(name(tx, id)?);
        if id == machine {
            let chain = chain.join(" behind ");
            return Err(Refused::because(format!("a machine cannot be behind itself: {chain}")));
        }
        if chain.len() > LONGEST_CHAIN {
            return Err(Refused::because(format!("more than {LONGEST_CHAIN} machines behind each other")));
        }
        next = in_front_of(tx, id)?;
    }
    Ok(())
}

fn in_front_of(tx: &Transaction<'_>, machine: MachineId) -> Result<Option<MachineId>, StoreError> {
    let front: Option<Option<i64>> =
        tx.query_optional("SELECT behind FROM machine WHERE id = ?1", params![machine.0], |row| row.get(0))?;
    Ok(front.flatten().map(MachineId))
}

fn name(tx: &Transaction<'_>, machine: MachineId) -> Result<String, StoreError> {
    tx.query_row("SELECT name FROM machine WHERE id = ?1", params![machine.0], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::monitor::machine::{Description, Machine};
    use crate::monitor::registry::machines::MachineChange;
    use crate::monitor::store::{Scratch, Store};

    fn store() -> Scratch {
        let store = Store::scratch();
        for name in ["cam", "switch", "router"] {
            let new = Description { name: name.into(), ..Description::default() };
            store.add_machine(&new, Moment(0)).expect("added");
        }
        store
    }

    fn put(store: &Scratch, which: &str, front: Option<&str>) -> Result<Machine, Refused> {
        let change = MachineChange { behind: Some(front.map(str::to_owned)), ..MachineChange::default() };
        store.change_machine(which, &change)
    }

    #[test]
    fn a_machine_is_behind_one_other_and_a_cycle_is_refused_with_its_names() {
        let store = store();
        assert_eq!(put(&store, "cam", Some("switch")).expect("put").behind.as_deref(), Some("switch"));
        assert_eq!(put(&store, "switch", Some("3")).expect("by number").behind.as_deref(), Some("router"));
        for (which, front, chain) in [
            ("cam", "cam", "cam behind cam"),
            ("switch", "cam", "switch behind cam behind switch"),
            ("router", "cam", "router behind cam behind switch behind router"),
        ] {
            let refused = put(&store, which, Some(front)).expect_err(chain).to_string();
            assert_eq!(refused, format!("a machine cannot be behind itself: {chain}"));
        }
        assert!(put(&store, "cam", Some("nothing")).expect_err("unknown").to_string().contains("nothing"));
        assert_eq!(put(&store, "switch", None).expect("cleared").behind, None);
        put(&store, "router", Some("cam")).expect("no cycle any more");
    }

    #[test]
    fn a_removed_machine_is_in_front_of_nothing_and_a_rename_keeps_it_there() {
        let store = store();
        put(&store, "cam", Some("switch")).expect("put");
        let rename = MachineChange { name: Some("switch-2".into()), ..MachineChange::default() };
        store.change_machine("switch", &rename).expect("renamed");
        let behind = || store.machine_called("cam", Moment(0)).expect("there").behind;
        assert_eq!(behind().as_deref(), Some("switch-2"));
        store.remove_machine("switch-2", Moment(0)).expect("removed");
        assert_eq!(behind(), None);
    }

    #[test]
    fn a_chain_has_an_end() {
        let store = Store::scratch();
        for n in 0..20 {
            let new = Description { name: format!("m{n}"), ..Description::default() };
            store.add_machine(&new, Moment(0)).expect("added");
        }
        let longest =
            (0..19).take_while(|n| put(&store, &format!("m{}", n + 1), Some(&format!("m{n}"))).is_ok());
        assert_eq!(longest.count(), LONGEST_CHAIN - 1);
    }
}
