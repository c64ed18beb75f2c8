//! What an open page has to change, as JSON: rendered and compressed once for all pages that show the same.

use super::board::{Board, Headline};
use super::group::state;
use super::row::MachineRow;
use super::tracker::FleetTracker;
use super::view::MachineView;
use crate::web::page::compressed;
use crate::web::viewpoint::Viewpoint;
use askama::Template;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::http::Response;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The changes since a version.
#[derive(Default, Serialize)]
struct Update {
    version: u64,
    /// Machines were added, removed or moved: the page loads itself again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reload: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Number of machines that need a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    need: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<String>,
    /// Lines of machines by number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rows: BTreeMap<i64, String>,
    /// What is said of a group, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<String, String>,
}

/// The updates at one moment: fifty open pages of one team cost one.
pub struct SharedUpdates<'a> {
    tracker: &'a FleetTracker,
    now: Moment,
    rendered: Vec<RenderedUpdate>,
}

struct RenderedUpdate {
    viewpoint: Viewpoint,
    since: u64,
    accepted_codings: Option<String>,
    /// `None`: nothing has changed that is seen from there.
    response: Option<Response>,
}

impl SharedUpdates<'_> {
    pub fn new(tracker: &FleetTracker, now: Moment) -> SharedUpdates<'_> {
        SharedUpdates { tracker, now, rendered: Vec::new() }
    }

    /// The response to a page that shows version `since`; `None`: nothing has changed that its visitor may see.
    /// `accepted_codings` is the value of `Accept-Encoding`.
    pub fn response(
        &mut self,
        viewpoint: &Viewpoint,
        since: u64,
        accepted_codings: Option<&str>,
    ) -> Option<Response> {
        if since == self.tracker.version() {
            return None;
        }
        let rendered = self.rendered.iter().find(|rendered| {
            rendered.since == since
                && rendered.accepted_codings.as_deref() == accepted_codings
                && rendered.viewpoint.shows_the_same_as(viewpoint)
        });
        if let Some(rendered) = rendered {
            return rendered.response.clone();
        }
        let viewpoint = Viewpoint { now: self.now, ..viewpoint.clone() };
        let update = Update::since(since, self.tracker, &viewpoint);
        let response = update.map(|update| compressed(accepted_codings, update.response()));
        self.rendered.push(RenderedUpdate {
            viewpoint,
            since,
            accepted_codings: accepted_codings.map(str::to_owned),
            response: response.clone(),
        });
        response
    }
}

/// The response to a page that waited in vain.
pub fn unchanged(version: u64) -> Response {
    Update { version, ..Update::default() }.response()
}

impl Update {
    fn since(since: u64, tracker: &FleetTracker, viewpoint: &Viewpoint) -> Option<Update> {
        let (view, version) = tracker.view();
        if tracker.has_new_structure(since) {
            return Some(Update { version, reload: true, ..Update::default() });
        }
        let visible: Vec<_> = view.visible(viewpoint).collect();
        let changed: Vec<_> =
            visible.iter().copied().filter(|seen| tracker.has_changed(seen.machine.id, since)).collect();
        if changed.is_empty() && !tracker.has_new_problems(since) {
            return None;
        }
        let headline = Headline::of(visible.iter().copied(), viewpoint);
        Some(Update {
            version,
            reload: false,
            title: Some(headline.title()),
            need: Some(headline.need),
            headline: headline.render().ok(),
            problems: Board::of(&view, viewpoint).render().ok(),
            rows: changed.iter().filter_map(|machine| row(machine, viewpoint)).collect(),
            groups: group_states(&visible, &changed),
        })
    }

    fn response(&self) -> Response {
        Response::json(200, self).header("Cache-Control", "no-store").authenticated()
    }
}

fn row(machine: &MachineView, viewpoint: &Viewpoint) -> Option<(i64, String)> {
    Some((machine.machine.id.0, MachineRow::new(machine, viewpoint).render().ok()?))
}

/// What is said of the groups that have a changed machine.
fn group_states(visible: &[&MachineView], changed: &[&MachineView]) -> BTreeMap<String, String> {
    let group = |machine: &&MachineView| machine.machine.group.clone();
    let touched: BTreeSet<Option<String>> = changed.iter().map(group).collect();
    let state_of = |name: Option<String>| {
        let machines = visible.iter().copied().filter(|machine| machine.machine.group == name);
        let state = state(&machines.collect::<Vec<_>>());
        (name.unwrap_or_default(), state)
    };
    touched.into_iter().map(state_of).collect()
}
