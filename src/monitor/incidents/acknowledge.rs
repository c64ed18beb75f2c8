//! What people do with an incident: they take it on, and write comments. Neither changes when it ends.

use super::reminders::skip_repetitions;
use super::table::IncidentId;
use crate::clock::Moment;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::events::note;
use crate::monitor::machine::{MachineId, is_invisible};
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};

/// In characters.
const LONGEST_COMMENT: usize = 2000;
const MOST_COMMENTS: u32 = 200;

/// A comment on an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    pub at: Moment,
    pub author: String,
    pub text: String,
}

/// An incident that a person changes.
struct ChangedIncident {
    machine: MachineId,
    machine_name: String,
    has_ended: bool,
    acknowledged_by: Option<String>,
}

impl Store {
    /// Records that `actor` takes an incident on; nobody is reminded of it any more, and it is not escalated. The first one stays: returns who has it.
    ///
    /// # Errors
    /// There is no such incident, or it has ended.
    pub fn acknowledge(&self, id: IncidentId, actor: &Actor, now: Moment) -> Result<String, Refused> {
        self.transact(|tx| acknowledge(tx, open_target(tx, id)?, id, actor, now))
    }

    /// The same for those of these incidents that are open, all or none. Returns the number of open ones.
    pub fn acknowledge_open(&self, ids: &[IncidentId], actor: &Actor, now: Moment) -> Result<usize, Refused> {
        self.transact(|tx| {
            let mut open = 0;
            for id in ids {
                let Some(target) = read_target(tx, *id)?.filter(|target| !target.has_ended) else { continue };
                acknowledge(tx, target, *id, actor, now)?;
                open += 1;
            }
            Ok(open)
        })
    }

    /// Withdraws the acknowledgement of an incident.
    ///
    /// # Errors
    /// There is no such incident, or it has ended.
    pub fn release_incident(&self, id: IncidentId, actor: &Actor, now: Moment) -> Result<(), Refused> {
        self.transact(|tx| {
            let target = open_target(tx, id)?;
            tx.execute(
                "UPDATE incident SET acknowledged_at = NULL, acknowledged_by = NULL WHERE id = ?1",
                params![id.0],
            )?;
            let detail = serde_json::json!({ "incident": id.0, "by": actor.name });
            note(tx, Some(target.machine), "released", Some(detail), now)?;
            let incident = incident_name(id);
            Ok(actor.record(tx, "incident.release", Some(&target.machine_name), Some(&incident), now)?)
        })
    }

    /// Adds a comment; also to an incident that has ended.
    ///
    /// # Errors
    /// There is no such incident, the text is refused, or there are too many comments.
    pub fn comment(&self, id: IncidentId, actor: &Actor, text: &str, now: Moment) -> Result<(), Refused> {
        let text = checked(text)?;
        self.transact(|tx| {
            let target = find_target(tx, id)?;
            let count: u32 = tx.query_row(
                "SELECT count(*) FROM incident_comment WHERE incident_id = ?1",
                params![id.0],
                |row| row.get(0),
            )?;
            if count >= MOST_COMMENTS {
                return Err(Refused::because(format!("an incident has at most {MOST_COMMENTS} comments")));
            }
            tx.execute(
                "INSERT INTO incident_comment (incident_id, at, author, text) VALUES (?1, ?2, ?3, ?4)",
                params![id.0, now.0, actor.name, text],
            )?;
            let detail = serde_json::json!({ "incident": id.0, "by": actor.name });
            note(tx, Some(target.machine), "commented", Some(detail), now)?;
            let incident = incident_name(id);
            Ok(actor.record(tx, "incident.comment", Some(&target.machine_name), Some(&incident), now)?)
        })
    }

    /// Oldest first.
    pub fn comments(&self, id: IncidentId) -> Result<Vec<Comment>, StoreError> {
        let sql = "SELECT at, author, text FROM incident_comment WHERE incident_id = ?1 ORDER BY id";
        self.read(|connection| {
            connection.query_all(sql, params![id.0], |row| {
                Ok(Comment { at: Moment(row.get(0)?), author: row.get(1)?, text: row.get(2)? })
            })
        })
    }
}

/// Returns who has it.
fn acknowledge(
    tx: &Transaction<'_>,
    target: ChangedIncident,
    id: IncidentId,
    actor: &Actor,
    now: Moment,
) -> Result<String, Refused> {
    if let Some(by) = target.acknowledged_by {
        return Ok(by);
    }
    tx.execute(
        "UPDATE incident SET acknowledged_at = ?2, acknowledged_by = ?3 WHERE id = ?1",
        params![id.0, now.0, actor.name],
    )?;
    skip_repetitions(tx, id)?;
    let detail = serde_json::json!({ "incident": id.0, "by": actor.name });
    note(tx, Some(target.machine), "acknowledged", Some(detail), now)?;
    let incident = incident_name(id);
    actor.record(tx, "incident.acknowledge", Some(&target.machine_name), Some(&incident), now)?;
    Ok(actor.name.clone())
}

fn incident_name(id: IncidentId) -> String {
    format!("incident {}", id.0)
}

fn open_target(tx: &Transaction<'_>, id: IncidentId) -> Result<ChangedIncident, Refused> {
    let target = find_target(tx, id)?;
    match target.has_ended {
        true => Err(Refused::because(format!("incident {} has ended", id.0))),
        false => Ok(target),
    }
}

fn find_target(tx: &Transaction<'_>, id: IncidentId) -> Result<ChangedIncident, Refused> {
    read_target(tx, id)?.ok_or_else(|| Refused::because(format!("there is no incident {}", id.0)))
}

fn read_target(tx: &Transaction<'_>, id: IncidentId) -> Result<Option<ChangedIncident>, StoreError> {
    tx.query_optional(
        "SELECT i.machine_id, m.name, i.ended_at IS NOT NULL, i.acknowledged_by
         FROM incident i JOIN machine m ON m.id = i.machine_id WHERE i.id = ?1",
        params![id.0],
        |row| {
            Ok(ChangedIncident {
                machine: MachineId(row.get(0)?),
                machine_name: row.get(1)?,
                has_ended: row.get(2)?,
                acknowledged_by: row.get(3)?,
            })
        },
    )
}

/// A comment's text without spaces around it.
fn checked(text: &str) -> Result<&str, Refused> {
    let text = text.trim();
    let is_shown = |c: char| !is_invisible(c) || c == '\n' || c == '\t';
    if text.is_empty() {
        return Err(Refused::because("the comment is empty"));
    }
    if text.chars().count() > LONGEST_COMMENT {
        return Err(Refused::because(format!("the comment is longer than {LONGEST_COMMENT} characters")));
    }
    if !text.chars().all(is_shown) {
        return Err(Refused::because("the comment contains an invisible character"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::incidents::conditions::end_forgotten;
    use crate::monitor::machine::Description;
    use crate::monitor::store::page::Page;
    use crate::monitor::store::sql::{Connection, Row};

    fn actor(name: &str) -> Actor {
        Actor { name: name.into(), address: None }
    }

    /// A store with an open incident (1) and an ended one (2).
    fn store() -> crate::monitor::store::Scratch {
        let store = Store::scratch();
        let machine = Description { name: "barn".into(), ..Description::default() };
        store.add_machine(&machine, Moment(0)).expect("added");
        let rows =
            "INSERT INTO incident (machine_id, kind, subject, planned, last_seen, began_at, ended_at) VALUES
            (1, 'camera', 'gate', FALSE, 1, 2, NULL), (1, 'temp', '', FALSE, 1, 2, 3)";
        store.write(|tx| tx.execute_batch(rows)).expect("rows");
        store
    }

    #[test]
    fn the_first_to_take_an_incident_on_has_it_until_it_is_released() {
        let store = store();
        assert_eq!(store.acknowledge(IncidentId(1), &actor("ada"), Moment(5)).as_deref(), Ok("ada"));
        assert_eq!(store.acknowledge(IncidentId(1), &actor("bob"), Moment(6)).as_deref(), Ok("ada"));
        let open = store.open_incidents(MachineId(1)).expect("read");
        assert_eq!(open[0].acknowledged, Some((Moment(5), "ada".into())));
        store.release_incident(IncidentId(1), &actor("ada"), Moment(7)).expect("released");
        assert_eq!(store.acknowledge(IncidentId(1), &actor("bob"), Moment(8)).as_deref(), Ok("bob"));
        let kinds: Vec<String> = store
            .events(Page::default(), None, 10)
            .expect("read")
            .into_iter()
            .map(|event| event.kind)
            .collect();
        assert_eq!(kinds, ["acknowledged", "released", "acknowledged", "added"]);
        assert_eq!(store.audit(Page::default(), 10).expect("read").len(), 3);
    }

    #[test]
    fn an_ended_incident_can_be_commented_and_not_taken_on() {
        let store = store();
        let refused = store.acknowledge(IncidentId(2), &actor("ada"), Moment(5)).expect_err("ended");
        assert_eq!(refused.to_string(), "incident 2 has ended");
        store.comment(IncidentId(2), &actor("ada"), "  It was the fan.\n", Moment(6)).expect("commented");
        let comment = Comment { at: Moment(6), author: "ada".into(), text: "It was the fan.".into() };
        assert_eq!(store.comments(IncidentId(2)).expect("read"), [comment]);
        let missing = store.comment(IncidentId(3), &actor("ada"), "x", Moment(6)).expect_err("no such");
        assert_eq!(missing.to_string(), "there is no incident 3");
    }

    #[test]
    fn an_incident_that_ends_at_the_same_moment_is_acknowledged_before_its_end_or_not_at_all() {
        let ended_at = "SELECT ended_at, acknowledged_at, acknowledged_by FROM incident WHERE id = 1";
        let (mut before, mut after) = (0, 0);
        for _ in 0..60 {
            let store = store();
            store
                .write(|tx| {
                    tx.execute_batch(
                        "INSERT INTO recipient (name, events) VALUES ('farm', '[]');
                         INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'email', 'a', 0);
                         INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at,
                                             expires_at, state, reminder)
                         VALUES (1, 1, 1, 'reminder', '{}', 3, 3, 99, 0, 1)",
                    )?;
                    Ok(())
                })
                .expect("rows");
            let start = std::sync::Barrier::new(2);
            let result = std::thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    let ended = store.write(|tx| end_forgotten(tx, MachineId(1), |_| true, Moment(5)));
                    ended.expect("ended");
                });
                start.wait();
                store.acknowledge_open(
                    &[IncidentId(1), IncidentId(2), IncidentId(9)],
                    &actor("ada"),
                    Moment(5),
                )
            });
            let row = |connection: &Connection<'_>| {
                let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                connection.query_row(ended_at, &[], row)
            };
            let row: (Option<i64>, Option<i64>, Option<String>) = store.read(row).expect("read");
            match result {
                Ok(1) => assert_eq!(row, (Some(5), Some(5), Some("ada".into()))),
                Ok(0) => assert_eq!(row, (Some(5), None, None), "nobody takes on what has ended"),
                other => panic!("{other:?}"),
            }
            before += u32::from(result == Ok(1));
            after += u32::from(result == Ok(0));
            let waiting = "SELECT count(*) FROM outbox WHERE state = 0";
            let waiting: i64 =
                store.read(|connection| connection.query_row(waiting, &[], |row| row.get(0))).expect("read");
            assert_eq!(waiting, 0, "no reminder of what has ended");
        }
        assert_eq!(before + after, 60);
    }

    #[test]
    fn a_comment_that_nobody_can_read_is_refused() {
        let store = store();
        for text in ["", " \n ", "a\u{1b}[31m", &"x".repeat(2001)] {
            store.comment(IncidentId(1), &actor("ada"), text, Moment(6)).expect_err(text);
        }
        store.comment(IncidentId(1), &actor("ada"), &"ä".repeat(2000), Moment(6)).expect("long enough");
    }
}
