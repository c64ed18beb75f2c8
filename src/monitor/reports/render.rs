//! A report as text and as HTML, worst machines first. Pure, and of a bounded size.

use super::facts::{CameraFigures, MachineFacts};
use super::schedule::ReportPeriod;
use crate::duration::in_words;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::notify::notice::ReportText;
use std::cmp::Reverse;
use std::fmt::Write;

/// Text and HTML together have at most twice this: whatever a fleet's size, a mail stays small.
const MOST_BYTES: usize = 45_000;

/// Parts of a machine that are named; a machine can have hundreds of cameras.
const MOST_PARTS: usize = 6;

/// Machines that were not fine, worst first, and how many there are in all.
pub struct FleetReport<'f> {
    period: &'f ReportPeriod,
    bad: Vec<&'f MachineFacts>,
    count: usize,
}

impl<'f> FleetReport<'f> {
    pub fn new(period: &'f ReportPeriod, facts: &'f [MachineFacts]) -> FleetReport<'f> {
        let mut bad: Vec<&MachineFacts> = facts.iter().filter(|machine| !machine.is_fine()).collect();
        bad.sort_by_key(|machine| {
            let cameras: u64 = machine.cameras.iter().map(|camera| u64::from(camera.down)).sum();
            let days: usize = machine.conditions.values().map(std::collections::BTreeSet::len).sum();
            (Reverse((machine.down, machine.outages, cameras, days)), &machine.name)
        });
        FleetReport { period, bad, count: facts.len() }
    }

    /// `site` is where links lead.
    pub fn text(&self, site: Option<&str>) -> ReportText {
        ReportText { title: format!("Report: {}", self.summary()), text: self.plain(), html: self.html(site) }
    }

    /// "23 of 24 were fine"
    fn summary(&self) -> String {
        match (self.count, self.count - self.bad.len()) {
            (0, _) => "no machine is chosen".into(),
            (1, 1) => "the machine was fine".into(),
            (1, _) => "the machine was not fine".into(),
            (all, fine) if all == fine => format!("all {all} machines were fine"),
            (all, fine) => format!("{fine} of {all} were fine"),
        }
    }

    fn plain(&self) -> String {
        let mut text = format!("{}\n{}\n", self.period.name, capitalised(&self.summary()));
        let mut named = 0;
        for machine in &self.bad {
            let line = format!("\n{}: {}", clean(&machine.name), parts(machine).join("; "));
            if text.len() + line.len() > MOST_BYTES {
                break;
            }
            text += &line;
            named += 1;
        }
        if named < self.bad.len() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\nand {} more", self.bad.len() - named);
        }
        text
    }

    fn html(&self, site: Option<&str>) -> String {
        let mut html = format!(
            "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>Report</title></head>\
             <body style=\"font-family:sans-serif\"><p>{}</p><h1 style=\"font-size:1.2em\">{}</h1><ul>",
            escaped(&self.period.name),
            escaped(&capitalised(&self.summary()))
        );
        let mut named = 0;
        for machine in &self.bad {
            let name = escaped(&clean(&machine.name));
            let name = match site {
                Some(site) => format!("<a href=\"{}machines/{}\">{name}</a>", escaped(site), machine.id.0),
                None => name,
            };
            let line = format!("<li><b>{name}</b>: {}</li>", escaped(&parts(machine).join("; ")));
            if html.len() + line.len() > MOST_BYTES {
                break;
            }
            html += &line;
            named += 1;
        }
        html += "</ul>";
        if named < self.bad.len() {
            let _ = write!(html, "<p>and {} more</p>", self.bad.len() - named);
        }
        if let Some(site) = site {
            let site = escaped(site);
            let _ = write!(html, "<p><a href=\"{site}\">{site}</a></p>");
        }
        html + "</body></html>"
    }
}

/// "2 outages, 41 min", "camera gate 97.1 %", "under-voltage on 5 days, change its power supply"
fn parts(machine: &MachineFacts) -> Vec<String> {
    let mut parts = Vec::new();
    match machine.outages {
        0 => {}
        1 => parts.push(format!("1 outage, {}", in_words(machine.down))),
        many => parts.push(format!("{many} outages, {}", in_words(machine.down))),
    }
    parts.extend(machine.cameras.iter().map(camera));
    for (condition, days) in &machine.conditions {
        let days = if days.len() == 1 { "1 day".into() } else { format!("{} days", days.len()) };
        let advice = advice(*condition).map_or(String::new(), |advice| format!(", {advice}"));
        parts.push(format!("{} on {days}{advice}", phrase(*condition)));
    }
    if parts.len() > MOST_PARTS {
        let more = parts.len() - MOST_PARTS;
        parts.truncate(MOST_PARTS);
        parts.push(format!("and {more} more"));
    }
    parts
}

/// Rounded down: only a camera that was never down has 100 %.
fn camera(camera: &CameraFigures) -> String {
    let known = u64::from(camera.up) + u64::from(camera.down);
    let tenths = u64::from(camera.up) * 1000 / known.max(1);
    format!("camera {} {}.{} %", clean(&camera.name), tenths / 10, tenths % 10)
}

fn phrase(condition: Condition) -> &'static str {
    match condition {
        Condition::Camera => "a camera did not respond",
        Condition::Standby => "on a standby uplink",
        Condition::NoStandby => "no standby uplink",
        Condition::UnderVoltage => "under-voltage",
        Condition::Throttled => "throttled",
        Condition::Temperature => "too hot",
        Condition::Fan => "fan trouble",
        Condition::Disk => "a disk was nearly full",
        Condition::Memory => "memory was short",
        Condition::ReadOnly => "a read-only disk",
        Condition::DiskErrors => "disk errors",
        Condition::Activity => "an activity had stopped",
        Condition::Clock => "a wrong clock",
        Condition::Boots => "unexpected reboots",
        Condition::Wifi => "weak Wi-Fi",
        Condition::NeverSeen => "never heard of",
        Condition::SharedToken => "two devices with one token",
        Condition::RefusedToken => "a refused token",
    }
}

fn advice(condition: Condition) -> Option<&'static str> {
    match condition {
        Condition::UnderVoltage => Some("change its power supply"),
        Condition::ReadOnly | Condition::DiskErrors => Some("save its data and replace the card or disk"),
        Condition::Disk => Some("make room"),
        Condition::Temperature => Some("check its cooling"),
        _ => None,
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// A name on one line, and not too long.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(100).collect()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::monitor::machine::MachineId;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn machine(id: i64, name: &str) -> MachineFacts {
        MachineFacts {
            id: MachineId(id),
            name: name.into(),
            outages: 0,
            down: Duration::ZERO,
            cameras: Vec::new(),
            conditions: BTreeMap::new(),
        }
    }

    fn camera(name: &str, up: u32, down: u32) -> CameraFigures {
        CameraFigures { name: name.into(), up, down }
    }

    fn rendered(facts: &[MachineFacts]) -> ReportText {
        let name = "2026-11-23 to 2026-11-29".to_owned();
        let period = ReportPeriod { from: Moment(0), until: Moment(1), name };
        FleetReport::new(&period, facts).text(Some("https://heart.example/"))
    }

    #[test]
    fn the_worst_machine_is_first_and_fine_ones_are_a_number() {
        let mut tower = machine(3, "tower-2");
        tower.conditions.insert(Condition::UnderVoltage, (1..=5).collect());
        let mut barn = machine(7, "barn-cam");
        (barn.outages, barn.down) = (2, Duration::from_secs(41 * 60));
        barn.cameras = vec![camera("gate", 971, 29)];
        let report = rendered(&[machine(1, "ok"), tower, barn, machine(2, "fine")]);
        assert_eq!(report.title, "Report: 2 of 4 were fine");
        assert_eq!(
            report.text,
            "2026-11-23 to 2026-11-29\n2 of 4 were fine\n\nbarn-cam: 2 outages, 41 min; camera gate 97.1 %\n\
             tower-2: under-voltage on 5 days, change its power supply"
        );
        assert!(report.html.contains(
            "<li><b><a href=\"https://heart.example/machines/7\">barn-cam</a></b>: 2 outages, 41 min; camera gate \
             97.1 %</li><li><b>"
        ));
        assert_eq!(rendered(&[machine(1, "a"), machine(2, "b")]).title, "Report: all 2 machines were fine");
        assert_eq!(rendered(&[]).title, "Report: no machine is chosen");
    }

    #[test]
    fn a_hostile_name_is_no_markup_and_no_line_of_its_own() {
        let mut hostile = machine(1, "<script>alert(1)</script>\n\"'&");
        hostile.cameras = vec![camera("<img src=x>\r\nfake: 9 outages", 0, 1)];
        let report = rendered(&[hostile]);
        assert!(!report.html.contains("<script") && !report.html.contains("<img"), "{}", report.html);
        assert_eq!(report.text.lines().count(), 4, "{}", report.text);
        assert!(report.text.contains("camera <img src=x>  fake: 9 outages 0.0 %"), "{}", report.text);
    }

    #[test]
    fn a_fleet_of_bad_machines_with_long_names_stays_small() {
        let bad = |id: i64| {
            let mut bad = machine(id, &format!("{id:05}{}", "\u{1f404}&".repeat(48)));
            bad.outages = 3;
            bad.cameras = (0..200).map(|n| camera(&format!("{n}{}", "<&>".repeat(30)), 5, 5)).collect();
            bad
        };
        let facts: Vec<MachineFacts> = (0..1000).map(bad).collect();
        let report = rendered(&facts);
        let size = report.title.len() + report.text.len() + report.html.len();
        assert!(size <= 100_000, "{size}");
        assert!(report.text.contains("\nand ") && report.html.contains("<p>and "), "the others are counted");
    }
}
