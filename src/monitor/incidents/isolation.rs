//! Whether this monitor hears nothing from half of the machines that have other monitors, too: then its own network is
//! probably down, and the machines are heard elsewhere. Their outages are recorded and not announced; the monitor reports
//! that it is isolated instead.
//!
//! The unannounced outages are in the database, so a restart neither announces them nor forgets them.

use crate::clock::Moment;
use crate::duration::go_seconds;
use crate::monitor::incidents::policy::{AFTER_ISOLATION, MASS_OUTAGE, is_doubtful};
use crate::monitor::incidents::table::UnannouncedOutage;
use crate::monitor::machine::{DeviceServer, MachineId, MachineStatus};
use crate::monitor::store::sql::{Connection, params};
use crate::monitor::store::{Store, StoreError};

/// Machines that a report names.
const MOST_NAMES: usize = 5;

/// The machines of which this monitor is the preferred one of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolated {
    /// Those whose outage is not announced, though no maintenance and no dead machine in front of them explains it.
    pub silent: usize,
    /// Those that are online.
    pub heard: usize,
    /// The latest heartbeat of a silent one.
    pub since: Moment,
    /// Of the silent ones, [`MOST_NAMES`] at most.
    pub names: Vec<String>,
}

/// `None`: it hears enough of them. `outages` are all that are not announced.
fn isolated(store: &Store, outages: &[UnannouncedOutage]) -> Result<Option<Isolated>, StoreError> {
    let silent: Vec<_> = outages.iter().filter(|outage| is_heard_elsewhere(outage)).collect();
    let since = silent.iter().map(|outage| outage.last_seen).max();
    let Some(since) = since.filter(|_| silent.len() >= MASS_OUTAGE) else { return Ok(None) };
    store.read(|connection| {
        let heard = heard(connection)?;
        if !is_doubtful(silent.len(), heard) {
            return Ok(None);
        }
        let names = silent.iter().take(MOST_NAMES).map(|outage| name(connection, outage.machine));
        let names = names.collect::<Result<_, _>>()?;
        Ok(Some(Isolated { silent: silent.len(), heard, since, names }))
    })
}

/// The machine has another monitor, too.
pub fn is_heard_elsewhere(outage: &UnannouncedOutage) -> bool {
    outage.server == DeviceServer::First
}

fn heard(connection: &Connection<'_>) -> Result<usize, StoreError> {
    let sql = "SELECT count(*) FROM machine_state WHERE watched AND status = ?1 AND server_role = ?2";
    let values = params![MachineStatus::Online as i64, DeviceServer::First as i64];
    let count: i64 = connection.query_row(sql, values, |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn name(connection: &Connection<'_>, machine: MachineId) -> Result<String, StoreError> {
    connection.query_row("SELECT name FROM machine WHERE id = ?1", params![machine.0], |row| row.get(0))
}

impl Isolated {
    /// The trouble in one sentence.
    pub fn sentence(&self, now: Moment) -> String {
        let Isolated { silent, heard, since, names } = self;
        let more = match silent - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(
            "nothing is heard from {silent} of {} machines that have other monitors, too ({}{more}) for {}: the network of \
             this monitor may be down; their outages are not announced",
            silent + heard,
            names.join(", "),
            go_seconds(now.since(*since))
        )
    }
}

/// Since when, and until when, outages of these machines are kept back.
#[derive(Debug)]
pub struct Isolation {
    found: Option<Isolated>,
    /// Nothing is announced before: those that return need some time.
    hold_until: Moment,
}

impl Isolation {
    /// As if the monitor had been isolated before its start: what it finds unannounced may return now.
    pub fn new(now: Moment) -> Isolation {
        Isolation { found: None, hold_until: now.plus(AFTER_ISOLATION) }
    }

    pub fn found(&self) -> Option<&Isolated> {
        self.found.as_ref()
    }

    /// Looks again, at all outages that are not announced. Returns true if those of these machines are to be kept back at `now`.
    pub fn look(
        &mut self,
        store: &Store,
        outages: &[UnannouncedOutage],
        now: Moment,
    ) -> Result<bool, StoreError> {
        self.found = isolated(store, outages)?;
        if self.found.is_some() {
            self.hold_until = now.plus(AFTER_ISOLATION);
        }
        // The clock may have been set back.
        self.hold_until = self.hold_until.min(now.plus(AFTER_ISOLATION));
        Ok(now < self.hold_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_sentence_names_five_and_counts_the_others() {
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let since = Moment(1_769_000_000_000);
        let mut isolated = Isolated { silent: 5, heard: 2, since, names };
        let now = since.plus(Duration::from_secs(185));
        assert_eq!(
            isolated.sentence(now),
            "nothing is heard from 5 of 7 machines that have other monitors, too (a, b, c, d, e) for 3m5s: the network of \
             this monitor may be down; their outages are not announced"
        );
        isolated.silent = 12;
        let sentence = isolated.sentence(now);
        assert!(sentence.contains("12 of 14 machines"), "{sentence}");
        assert!(sentence.contains("(a, b, c, d, e and 7 more)"), "{sentence}");
    }
}
