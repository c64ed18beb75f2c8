//! Groups of machines, worst first; a page has the first thousand machines.

use super::row::MachineRow;
use super::view::MachineView;
use crate::web::severity::MachineHealth;
use crate::web::viewpoint::Viewpoint;
use std::collections::BTreeMap;

/// A group as it is shown.
pub struct Group {
    /// Empty: machines without a group.
    pub name: String,
    pub machines: usize,
    /// "1 camera down, 2 offline"; "all fine"; "16 fine, 1 paused".
    pub state: String,
    pub is_fine: bool,
    /// Of its worst machine, as a class in the style sheet.
    pub class: &'static str,
    pub rows: Vec<MachineRow>,
}

impl Group {
    pub fn has_name(&self) -> bool {
        !self.name.is_empty()
    }

    pub fn label(&self) -> &str {
        if self.name.is_empty() { "Without a group" } else { &self.name }
    }
}

/// The machines of each group, worst first.
pub struct Grouping<'a>(Vec<(String, Vec<&'a MachineView>)>);

impl<'a> Grouping<'a> {
    pub fn of(machines: &[&'a MachineView], by_tag: bool) -> Grouping<'a> {
        let mut groups: BTreeMap<String, Vec<&MachineView>> = BTreeMap::new();
        for machine in machines {
            for name in names(machine, by_tag) {
                groups.entry(name).or_default().push(machine);
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        for (_, machines) in &mut groups {
            machines.sort_by(|a, b| order(a).cmp(&order(b)));
        }
        // Stable: groups of the same health stay in the order of their names.
        groups.sort_by_key(|(_, machines)| std::cmp::Reverse(worst(machines)));
        Grouping(groups)
    }

    /// A page of at most `size` machines, and the number of pages.
    pub fn page(&self, number: usize, size: usize, viewpoint: &Viewpoint) -> (Vec<Group>, usize) {
        let all: usize = self.0.iter().map(|(_, machines)| machines.len()).sum();
        let pages = all.div_ceil(size).max(1);
        let mut skip = (number.min(pages) - 1) * size;
        let mut left = size;
        let mut shown = Vec::new();
        for (name, machines) in &self.0 {
            let part: Vec<_> = machines.iter().copied().skip(skip).take(left).collect();
            skip = skip.saturating_sub(machines.len());
            if part.is_empty() {
                continue;
            }
            left -= part.len();
            shown.push(group(name, machines, &part, viewpoint));
        }
        (shown, pages)
    }
}

fn names(machine: &MachineView, by_tag: bool) -> Vec<String> {
    match by_tag {
        true if machine.machine.tags.is_empty() => vec![String::new()],
        true => machine.machine.tags.clone(),
        false => vec![machine.machine.group.clone().unwrap_or_default()],
    }
}

/// The worst first, then by name.
fn order(view: &MachineView) -> (std::cmp::Reverse<bool>, &str) {
    (std::cmp::Reverse(view.health().needs_a_person()), &view.machine.name)
}

fn worst(machines: &[&MachineView]) -> Option<MachineHealth> {
    machines.iter().map(|machine| machine.health()).max()
}

fn group(name: &str, machines: &[&MachineView], part: &[&MachineView], viewpoint: &Viewpoint) -> Group {
    let worst = worst(machines).unwrap_or(MachineHealth::Fine);
    let is_fine = !worst.needs_a_person();
    Group {
        class: if is_fine { "fine" } else { worst.class() },
        name: name.to_owned(),
        machines: machines.len(),
        state: state(machines),
        is_fine,
        rows: part.iter().map(|machine| MachineRow::new(machine, viewpoint)).collect(),
    }
}

/// "2 offline, 1 camera down, 1 critical, 1 degraded"; without such, "all fine" or "16 fine, 1 paused".
pub fn state(machines: &[&MachineView]) -> String {
    let offline =
        machines.iter().filter(|machine| machine.health() == MachineHealth::Bad && !machine.is_online());
    let cameras: usize = machines
        .iter()
        .filter(|machine| machine.is_online())
        .map(|machine| machine.incidents.iter().filter(|incident| incident.kind == "camera").count())
        .sum();
    let others = |health: MachineHealth| {
        let others = machines.iter().filter(|machine| machine.is_online() && !machine.has_incident("camera"));
        others.filter(|machine| machine.health() == health).count()
    };
    let parts = [
        (offline.count(), "offline"),
        (cameras, if cameras == 1 { "camera down" } else { "cameras down" }),
        (others(MachineHealth::Bad), "critical"),
        (others(MachineHealth::Degraded), "degraded"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { without_problem(machines) } else { parts.join(", ") }
}

/// No machine of these needs a person.
fn without_problem(machines: &[&MachineView]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for machine in machines.iter().filter(|machine| machine.health() != MachineHealth::Fine) {
        *counts.entry(super::row::state(machine)).or_default() += 1;
    }
    let fine = machines.len() - counts.values().sum::<usize>();
    if counts.is_empty() {
        return "all fine".into();
    }
    let fine = (fine > 0).then(|| format!("{fine} fine"));
    let others = counts.iter().map(|(state, count)| format!("{count} {state}"));
    fine.into_iter().chain(others).collect::<Vec<_>>().join(", ")
}
