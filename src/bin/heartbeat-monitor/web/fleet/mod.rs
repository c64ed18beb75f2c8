//! The fleet page: problems as sentences, then every machine in one line.
//!
//! | file | what it owns |
//! |---|---|
//! | `board` | the first sentence, and what needs a person |
//! | `view` | the facts about all machines at one moment |
//! | `past` | what no longer changes: outages of the days before, the last heartbeat before the monitor's start |
//! | `reported` | what a payload says about uplink, cameras and activities |
//! | `day` | the last 24 hours of a machine as a few runs |
//! | `problem` | the sentences about what needs a person |
//! | `row` | a machine's line |
//! | `group` | groups of machines, worst first |
//! | `filter` | search and filters in the address |
//! | `live`, `tracker`, `update` | waiting pages; which lines have changed since when; what a page has to change |

pub mod board;
pub mod day;
mod filter;
mod group;
pub mod live;
mod past;
pub mod problem;
pub mod reported;
mod row;
mod tracker;
mod update;
pub mod view;

use super::context::PageContext;
use super::frame::{Frame, Section};
use super::page::html;
use super::refusal::PageRefusal;
use super::visit::Visit;
use askama::Template;
use board::{Board, Headline};
use filter::FleetFilter;
use group::{Group, Grouping};
use heartbeat_daemon::http::Response;
use view::MachineView;

/// Machines on one page.
const PAGE: usize = 1000;

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    frame: Frame,
    headline: Headline,
    board: Board,
    filter: FleetFilter,
    groups: Vec<Group>,
    /// There is more than one group, so each has a heading.
    has_headings: bool,
    /// Number of the shown page and of all pages.
    page: (usize, usize),
    /// The state that the page shows, for its first request of changes.
    version: u64,
    /// Nobody would be notified.
    has_no_channel: bool,
}

#[derive(Template)]
#[template(path = "wall.html")]
struct WallPage {
    frame: Frame,
    headline: Headline,
    board: Board,
    groups: Vec<Group>,
    version: u64,
}

/// `GET /`
pub fn page(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    let filter = FleetFilter::read(visit)?;
    let viewpoint = &visit.viewpoint;
    let (view, version) = context.live.view()?;
    let visible = view.visible(viewpoint);
    let headline = Headline::of(visible.clone(), viewpoint);
    let matching: Vec<&MachineView> = visible.filter(|machine| filter.matches(machine)).collect();
    let grouping = Grouping::of(&matching, filter.by_tag);
    let (groups, pages) = grouping.page(filter.page, PAGE, viewpoint);
    let page = FleetPage {
        frame: Frame::new(viewpoint, Section::Fleet, headline.title()),
        board: Board::of(&view, viewpoint),
        has_headings: groups.len() > 1 || groups.iter().any(|group| group.has_name()),
        page: (filter.page.min(pages), pages),
        has_no_channel: !view.has_channel,
        headline,
        filter,
        groups,
        version,
    };
    Ok(html(200, &page))
}

/// `GET /wall`: large, without anything to click.
pub fn wall(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    let viewpoint = &visit.viewpoint;
    let (view, version) = context.live.view()?;
    let visible: Vec<&MachineView> = view.visible(viewpoint).collect();
    let headline = Headline::of(visible.iter().copied(), viewpoint);
    let (groups, _) = Grouping::of(&visible, false).page(1, usize::MAX, viewpoint);
    let mut board = Board::of(&view, viewpoint);
    board.can_act = false;
    let page = WallPage {
        frame: Frame::new(viewpoint, Section::Fleet, headline.title()),
        headline,
        board,
        groups,
        version,
    };
    Ok(html(200, &page))
}
