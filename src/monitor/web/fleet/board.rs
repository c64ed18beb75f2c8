//! The first sentence of the fleet page, and the sentences about what needs a person.

use super::problem::{Problem, problems};
use super::view::{FleetView, MachineView};
use crate::monitor::accounts::visitor::Role;
use crate::monitor::web::severity::MachineHealth;
use crate::monitor::web::viewpoint::Viewpoint;
use askama::Template;

/// Problems that are shown as sentences; the others are counted.
const MOST_PROBLEMS: usize = 50;

/// The first sentence of the page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "headline.html")]
pub struct Headline {
    pub need: usize,
    pub fine: usize,
    /// Neither: new, paused, stopped or disabled.
    pub quiet: usize,
    pub cameras: (usize, usize),
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
    pub fn of<'a>(machines: impl Iterator<Item = &'a MachineView>) -> Headline {
        let mut headline = Headline { need: 0, fine: 0, quiet: 0, cameras: (0, 0) };
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
        }
        headline
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
        let problems = problems(std::iter::once(machine), &view.notified, &viewpoint.clock, viewpoint.now);
        let can_act = viewpoint.visitor.may(Role::Operator);
        Board { root: viewpoint.root, can_act, problems, more: 0 }
    }

    pub fn of(view: &FleetView, viewpoint: &Viewpoint) -> Board {
        let visible = view.machines.iter().filter(|machine| viewpoint.sees(&machine.machine));
        let mut problems = problems(visible, &view.notified, &viewpoint.clock, viewpoint.now);
        let more = problems.len().saturating_sub(MOST_PROBLEMS);
        problems.truncate(MOST_PROBLEMS);
        let can_act = viewpoint.visitor.may(Role::Operator);
        Board { root: viewpoint.root, can_act, problems, more }
    }
}
