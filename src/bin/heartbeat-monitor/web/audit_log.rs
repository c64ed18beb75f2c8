//! `/settings/audit`: who changed what, when, from where. For owners.

use super::context::PageContext;
use super::form::Form;
use super::frame::{Frame, Section};
use super::page::html;
use super::refusal::PageRefusal;
use super::viewpoint::Viewpoint;
use super::visit::Visit;
use askama::Template;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::audit::{AuditRecord, COMMAND_LINE};
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::store::page::Page;

/// Records of one page.
const RECORDS: u32 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    zone: String,
    records: Vec<AuditRow>,
    /// The next page begins before this number.
    older: Option<i64>,
}

struct AuditRow {
    at: String,
    actor: String,
    address: String,
    action: String,
    subject: String,
    detail: String,
}

/// `GET /settings/audit`
pub fn page(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let before = Form::of_query(visit.request)?.filled("before").and_then(|text| text.parse().ok());
    let records = context.shared.store.audit(Page { before, after: None }, RECORDS + 1)?;
    let has_older = records.len() > RECORDS as usize;
    let shown = &records[..records.len().min(RECORDS as usize)];
    Ok(html(
        200,
        &AuditPage {
            frame: Frame::new(&visit.viewpoint, Section::Settings, "Audit log"),
            zone: visit.viewpoint.clock.to_string(),
            records: shown.iter().map(|record| row(record, &visit.viewpoint)).collect(),
            older: shown.last().filter(|_| has_older).map(|record| record.id),
        },
    ))
}

fn row(record: &AuditRecord, viewpoint: &Viewpoint) -> AuditRow {
    AuditRow {
        at: viewpoint.clock.time_of_day(record.at, viewpoint.now),
        actor: record.actor.clone(),
        address: match &record.address {
            Some(address) => address.clone(),
            None if record.actor == COMMAND_LINE => "this server".into(),
            None => "unknown".into(),
        },
        action: record.action.clone(),
        subject: record.subject.clone().unwrap_or_default(),
        detail: record.detail.clone().unwrap_or_default(),
    }
}
