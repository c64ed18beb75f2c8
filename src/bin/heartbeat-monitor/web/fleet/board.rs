//! The first sentence of the fleet page, and the sentences about what needs a person.

use super::problem::{Problem, problems};
use super::view::{FleetView, MachineView};
use crate::web::severity::MachineHealth;
use crate::web::viewpoint::Viewpoint;
use askama::Template;
use heartbeat_daemon::duration::in_words;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use std::time::Duration;

/// Problems that are shown as sentences; the others are counted.
const MOST_PROBLEMS: usize = 50;

/// The first sentence of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "headline.html")]
pub struct Headline {
    pub need: usize,
    pub fine: usize,
    /// Neither: new, paused, stopped or disabled.
    pub quiet: usize,
    pub cameras: (usize, usize),
    /// Since Monday: outages, and how long the machines were offline in all.
    pub outages: usize,
    pub offline: Duration,
}

/// The sentences about what needs a person.
#[derive(Debug, Clone, PartialEq, Template)]
#[template(path = "problems.html")]
pub struct Board {
    root: &'static str,
    pub can_act: bool,
    problems: Vec<Problem>,
    more: usize,
}

impl Headline {
    pub fn of<'a>(machines: impl Iterator<Item = &'a MachineView>, viewpoint: &Viewpoint) -> Headline {
        let monday = viewpoint.clock.week_begin(viewpoint.now);
        let mut headline = Headline::default();
        for machine in machines {
            let count = match machine.health() {
                health if health.needs_a_person() => &mut headline.need,
                MachineHealth::Fine => &mut headline.fine,
                _ => &mut headline.quiet,
            };
            *count += 1;
            if let Some((up, all)) = machine.cameras() {
                headline.cameras = (headline.cameras.0 + up, headline.cameras.1 + all);
            }
            for &(began, ended) in &machine.outages {
                let ended = ended.unwrap_or(viewpoint.now);
                if ended > monday {
                    headline.outages += 1;
                    headline.offline += ended.since(began.max(monday));
                }
            }
        }
        headline
    }

    /// "2 outages since Monday, 41 min in all"
    pub fn week(&self) -> String {
        match self.outages {
            0 => "no outage since Monday".into(),
            1 => format!("1 outage since Monday, {}", in_words(self.offline)),
            outages => format!("{outages} outages since Monday, {} in all", in_words(self.offline)),
        }
    }

    pub fn machines(&self) -> usize {
        self.need + self.fine + self.quiet
    }

    /// For the browser's tab.
    pub fn title(&self) -> String {
        match self.need {
            0 => "Fleet".into(),
            need => format!("({need}) Fleet"),
        }
    }
}

impl Board {
    /// What is wrong with one machine.
    pub fn of_machine(machine: &MachineView, view: &FleetView, viewpoint: &Viewpoint) -> Board {
        Board::with(std::iter::once(machine), view, viewpoint)
    }

    pub fn of(view: &FleetView, viewpoint: &Viewpoint) -> Board {
        Board::with(view.visible(viewpoint), view, viewpoint)
    }

    fn with<'a>(
        machines: impl Iterator<Item = &'a MachineView>,
        view: &FleetView,
        viewpoint: &Viewpoint,
    ) -> Board {
        let (problems, more) =
            problems(machines, MOST_PROBLEMS, &view.notified, &viewpoint.clock, viewpoint.now);
        let can_act = viewpoint.visitor.may(Role::Operator);
        Board { root: viewpoint.root, can_act, problems, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_week_is_a_sentence_in_each_number() {
        let week = |outages, minutes: u64| {
            Headline { outages, offline: Duration::from_secs(60 * minutes), ..Headline::default() }.week()
        };
        assert_eq!(week(0, 0), "no outage since Monday");
        assert_eq!(week(1, 41), "1 outage since Monday, 41 min");
        assert_eq!(week(2, 300), "2 outages since Monday, 5 h in all");
    }
}
