//! Groups leased rows into messages: a program gets one per machine, a person one for many machines.

use super::channel::{Channel, ChannelKind};
use super::message::Message;
use crate::monitor::incidents::policy::MASS_OUTAGE;
use crate::monitor::notify::notice::{EventKind, Notice};
use crate::monitor::notify::outbox::{DeliveryOutcome, LeasedRow};
use crate::monitor::zone::Clock;
use std::collections::HashSet;
use std::sync::Arc;

/// Rows that are leased at once for a person, because they are grouped into few messages.
pub const MOST_GATHERED: usize = 10_000;

/// A message and its rows.
#[derive(Debug)]
pub struct Outgoing {
    pub what: Message,
    pub rows: Vec<LeasedRow>,
}

/// A message that a courier is sending.
pub struct Flight {
    pub channel: Arc<Channel>,
    pub rows: Vec<LeasedRow>,
    pub title: String,
}

impl Flight {
    pub fn is_retry(&self) -> bool {
        self.rows.iter().all(|row| row.attempts > 0)
    }

    pub fn ids(&self) -> Vec<i64> {
        self.rows.iter().map(|row| row.id).collect()
    }

    /// The same for each row.
    pub fn each(&self, outcome: &DeliveryOutcome) -> Vec<(i64, DeliveryOutcome)> {
        self.rows.iter().map(|row| (row.id, outcome.clone())).collect()
    }
}

/// The messages for these rows, in the order of their first rows. A person gets one message for [`MASS_OUTAGE`] or more
/// machines with the same news, one for several parts of one machine, and one for all reminders; rows in `alone` have one
/// each. `site` is
/// where their links lead.
pub fn messages(
    kind: ChannelKind,
    clock: &Clock,
    rows: Vec<LeasedRow>,
    alone: &HashSet<i64>,
    site: Option<&Arc<str>>,
) -> Vec<Outgoing> {
    let mut groups: Vec<Vec<LeasedRow>> = Vec::new();
    for row in rows {
        let same = |group: &&mut Vec<LeasedRow>| {
            news(&group[0].notice) == news(&row.notice)
                && !alone.contains(&row.id)
                && !alone.contains(&group[0].id)
        };
        match groups.iter_mut().find(same) {
            Some(group) if kind.is_for_people() => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    let mut groups: Vec<Vec<LeasedRow>> = groups.into_iter().flat_map(split).collect();
    groups.sort_by_key(|group| group[0].id);
    let outgoing = |rows: Vec<LeasedRow>| {
        let what = Message {
            rows: rows.iter().map(|row| row.id).collect(),
            notices: rows.iter().map(|row| row.notice.clone()).collect(),
            clock: clock.clone(),
            site: site.cloned(),
            acknowledge: None,
        };
        Outgoing { what, rows }
    };
    groups.into_iter().map(outgoing).collect()
}

/// What rows must have in common to be one message. A summary or a report is a message of its own; reminders of all kinds
/// are one, and so are escalations.
fn news(notice: &Notice) -> (EventKind, EventKind, Option<&str>, usize) {
    if notice.news.is_repetition() {
        return (notice.news, notice.news, None, 0);
    }
    if notice.news == EventKind::Report {
        return (notice.news, notice.news, None, usize::try_from(notice.at).unwrap_or(0));
    }
    let condition = notice.condition.as_ref().map(|condition| condition.condition.as_str());
    (notice.news, notice.state, condition, notice.existing_in_all)
}

/// One group if it has enough machines, otherwise a group for each machine.
fn split(group: Vec<LeasedRow>) -> Vec<Vec<LeasedRow>> {
    let machines: HashSet<i64> = group.iter().map(|row| row.notice.machine).collect();
    if machines.len() >= MASS_OUTAGE || group.iter().all(|row| row.notice.news.is_repetition()) {
        return vec![group];
    }
    let mut of_machines: Vec<Vec<LeasedRow>> = Vec::new();
    for row in group {
        match of_machines.iter_mut().find(|rows| rows[0].notice.machine == row.notice.machine) {
            Some(rows) => rows.push(row),
            None => of_machines.push(vec![row]),
        }
    }
    of_machines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::monitor::notify::channel::ChannelId;
    use crate::monitor::notify::condition_notice::ConditionNotice;

    fn row(id: i64, news: EventKind, state: EventKind) -> LeasedRow {
        let (name, hostname, description) = (format!("m{id}"), None, None);
        let of_machine = Notice::test(Moment(0));
        let notice = Notice { news, state, machine: id, name, hostname, description, ..of_machine };
        LeasedRow { id, notice, attempts: 0, expires: Moment(0) }
    }

    /// The rows of each message.
    fn grouped(kind: ChannelKind, rows: &[LeasedRow], alone: &[i64]) -> Vec<Vec<i64>> {
        let alone = alone.iter().copied().collect();
        let messages = messages(kind, &Clock::UTC, rows.to_vec(), &alone, None);
        for Outgoing { what, rows } in &messages {
            assert_eq!(what.rows, rows.iter().map(|row| row.id).collect::<Vec<_>>());
            assert_eq!(what.notices.len(), rows.len());
        }
        messages.into_iter().map(|message| message.what.rows).collect()
    }

    #[test]
    fn a_person_gets_one_message_about_five_machines_or_more_with_the_same_news() {
        use EventKind::{Offline, Online, Steady};
        let rows = |ids: std::ops::RangeInclusive<i64>, news, state| -> Vec<LeasedRow> {
            ids.map(|id| row(id, news, state)).collect()
        };
        let five = rows(1..=5, Offline, Offline);
        let each = |ids: std::ops::RangeInclusive<i64>| ids.map(|id| vec![id]).collect::<Vec<_>>();
        let group = |ids: std::ops::RangeInclusive<i64>| vec![ids.collect::<Vec<_>>()];
        for (what, rows, alone, expected) in [
            ("four", five[..4].to_vec(), vec![], each(1..=4)),
            ("five", five.clone(), vec![], group(1..=5)),
            (
                "five and other news",
                [five.clone(), rows(6..=6, Online, Online)].concat(),
                vec![],
                [group(1..=5), each(6..=6)].concat(),
            ),
            (
                "two of five in another state",
                [rows(1..=3, Steady, Online), rows(4..=5, Steady, Offline)].concat(),
                vec![],
                each(1..=5),
            ),
            (
                "the first of six alone",
                rows(1..=6, Offline, Offline),
                vec![1],
                [each(1..=1), group(2..=6)].concat(),
            ),
            (
                "the last of six alone",
                rows(1..=6, Offline, Offline),
                vec![6],
                [group(1..=5), each(6..=6)].concat(),
            ),
            ("all alone", five.clone(), vec![1, 2, 3, 4, 5], each(1..=5)),
        ] {
            assert_eq!(grouped(ChannelKind::Email, &rows, &alone), expected, "{what}");
        }
        assert_eq!(grouped(ChannelKind::Webhook, &five, &[]), each(1..=5), "a program gets one each");
    }

    #[test]
    fn several_parts_of_one_machine_are_one_message_to_a_person() {
        let camera = |id, machine, name: &str| {
            let mut row = row(id, EventKind::Condition, EventKind::Condition);
            row.notice.machine = machine;
            row.notice.condition = Some(ConditionNotice { condition: name.into(), ..Default::default() });
            row
        };
        let rows =
            [camera(1, 1, "camera"), camera(2, 1, "camera"), camera(3, 2, "camera"), camera(4, 1, "temp")];
        assert_eq!(grouped(ChannelKind::Telegram, &rows, &[]), [vec![1, 2], vec![3], vec![4]]);
        assert_eq!(grouped(ChannelKind::Webhook, &rows, &[]), [[1], [2], [3], [4]]);
        assert_eq!(grouped(ChannelKind::Telegram, &rows, &[2]), [vec![1], vec![2], vec![3], vec![4]]);
    }

    #[test]
    fn messages_are_in_the_order_of_their_first_rows() {
        use EventKind::{Offline, Online};
        let offline = |id| row(id, Offline, Offline);
        let rows = [offline(2), row(3, Online, Online), offline(4), offline(5), offline(6), offline(7)];
        assert_eq!(grouped(ChannelKind::Ntfy, &rows, &[]), [vec![2, 4, 5, 6, 7], vec![3]]);
    }

    #[test]
    fn a_message_is_a_retry_if_all_its_rows_were_tried() {
        let flight = |attempts: [u32; 2]| Flight {
            channel: Arc::new(Channel::bare(ChannelId(1), ChannelKind::Email, String::new())),
            rows: attempts
                .map(|attempts| LeasedRow { attempts, ..row(1, EventKind::Offline, EventKind::Offline) })
                .to_vec(),
            title: String::new(),
        };
        assert_eq!(
            [[0, 0], [0, 1], [1, 1]].map(|attempts| flight(attempts).is_retry()),
            [false, false, true]
        );
    }
}
