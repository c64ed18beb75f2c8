//! A machine by its name or its number, as people write it on the command line and in forms.

use crate::monitor::machine::MachineId;
use crate::monitor::store::Refused;
use crate::monitor::store::sql::{Connection, params};

/// A machine's number from its name or number; a name is never only digits.
pub fn find(connection: &Connection<'_>, which: &str) -> Result<MachineId, Refused> {
    // Digits alone: "+7" can be a name.
    let number = which.bytes().all(|b| b.is_ascii_digit()).then(|| which.parse::<i64>().ok()).flatten();
    let found = connection.query_optional(
        "SELECT id FROM machine WHERE name = ?1 OR id = ?2",
        params![which, number],
        |row| row.get(0),
    )?;
    found.map(MachineId).ok_or_else(|| unknown(which))
}

/// The refusal of a name or number that no machine has.
pub fn unknown(which: &str) -> Refused {
    let shown = which.escape_debug();
    Refused::because(format!("there is no machine \"{shown}\"; heartbeat-monitor machine list shows all"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::monitor::machine::Description;
    use crate::monitor::store::Store;

    #[test]
    fn a_name_is_found_a_number_too_and_a_sign_makes_no_number() {
        let store = Store::scratch();
        let new = Description { name: "+1".into(), ..Description::default() };
        let (id, _) = store.add_machine(&new, Moment(0)).expect("added");
        for (which, found) in
            [("+1", true), ("1", true), ("01", true), ("-1", false), ("2", false), ("", false)]
        {
            let result = store.read(|connection| Ok(find(connection, which).ok())).expect("read");
            assert_eq!(result, found.then_some(id), "{which}");
        }
    }
}
