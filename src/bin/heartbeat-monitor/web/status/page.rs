//! The page of a group: one line for each machine.

use super::bar::{BarPart, HEIGHT, bar, label, percent};
use super::board::StatusBoard;
use crate::web::frame::Frame;
use crate::web::page::html;
use askama::Template;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::status_pages::shown::{ShownMachine, ShownState};
use heartbeat_daemon::monitor::status_pages::uptime::{DAYS, Uptime, UptimeRecords};
use heartbeat_daemon::monitor::store::{Store, StoreError};
use heartbeat_daemon::monitor::zone::Clock;
use std::time::Duration;

#[derive(Template)]
#[template(path = "status.html")]
struct StatusTemplate<'a> {
    frame: Frame,
    group: &'a str,
    sentence: String,
    is_bad: bool,
    is_secret: bool,
    lines: Vec<StatusLine<'a>>,
    /// Number of the shown page and of all pages.
    page: (usize, usize),
    /// Time of the server, in UTC.
    at: String,
}

struct StatusLine<'a> {
    label: &'a str,
    /// The mark's shape.
    class: &'static str,
    state: String,
    bar: Vec<BarPart>,
    bar_label: String,
    percent: Option<String>,
}

/// Page `number` of a group.
pub fn render(
    store: &Store,
    board: &StatusBoard,
    number: usize,
    kept: Duration,
) -> Result<Response, StoreError> {
    let machines = board.part(number);
    let records = store.uptime_records(machines, kept, board.at)?;
    let lines = machines.iter().zip(&records).map(|(machine, records)| line(machine, records, board.at));
    let (sentence, is_bad) = (board.counts.sentence(), board.counts.down > 0);
    let title = format!("{}{}: {sentence}", if is_bad { "(!) " } else { "" }, board.page.group);
    Ok(html(
        200,
        &StatusTemplate {
            frame: Frame::without_user("../", &title),
            group: &board.page.group,
            sentence,
            is_bad,
            is_secret: board.page.is_secret,
            lines: lines.collect(),
            page: (number, board.pages()),
            at: Clock::UTC.time_of_day(board.at, board.at),
        },
    ))
}

fn line<'a>(machine: &'a ShownMachine, records: &UptimeRecords, now: Moment) -> StatusLine<'a> {
    let uptime = Uptime::of(records, now);
    let (class, state) = match machine.state {
        ShownState::Down(since) => ("bad", format!("Down since {} UTC", Clock::UTC.time_of_day(since, now))),
        ShownState::Up => ("fine", "Up".into()),
        ShownState::Maintenance => ("quiet", "Maintenance".into()),
        ShownState::Unknown => ("new", "Unknown".into()),
    };
    StatusLine {
        label: &machine.label,
        class,
        state,
        bar: bar(&uptime),
        bar_label: label(&uptime),
        percent: percent(&uptime),
    }
}
