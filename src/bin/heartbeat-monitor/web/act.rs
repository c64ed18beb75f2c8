//! The buttons beside a problem.

use super::context::PageContext;
use super::page::see_other;
use super::refusal::PageRefusal;
use super::visit::Visit;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::incidents::table::IncidentId;
use heartbeat_daemon::monitor::machine::{Machine, MachineId};
use heartbeat_daemon::monitor::store::Refused;
use std::time::Duration;

/// Long enough for a repair; whoever needs longer sets a maintenance.
const MUTE: Duration = Duration::from_secs(2 * 3600);

/// `POST /machines/{id}/mute`
pub fn mute(context: &PageContext, visit: &Visit<'_>, id: MachineId) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    let machine = visible_machine(context, visit, id)?;
    let (store, now) = (&context.shared.store, visit.now.wall);
    store.pause_machine(&machine.name, MUTE, None, now)?;
    store.record_audit(&visit.actor(), "machine.pause", Some(&machine.name), Some("for 2 h"), now)?;
    context.changed();
    Ok(see_other(visit.viewpoint.root.into()))
}

/// `POST /machines/{id}/acknowledge`
pub fn acknowledge(context: &PageContext, visit: &Visit<'_>, id: MachineId) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    visible_machine(context, visit, id)?;
    let store = &context.shared.store;
    for incident in store.open_incidents(id)? {
        let acknowledged = store.acknowledge(IncidentId(incident.id), &visit.actor(), visit.now.wall);
        // Any other refusal: it has ended meanwhile, and needs nobody.
        if let Err(Refused::Store(error)) = acknowledged {
            return Err(error.into());
        }
    }
    context.changed();
    Ok(see_other("../../".into()))
}

/// A machine within the visitor's scope.
///
/// # Errors
/// [`PageRefusal::NotFound`] also for one outside, so that it stays unknown.
pub fn visible_machine(
    context: &PageContext,
    visit: &Visit<'_>,
    id: MachineId,
) -> Result<Machine, PageRefusal> {
    let machine = context.shared.store.machine(id, visit.now.wall)?.ok_or(PageRefusal::NotFound)?;
    if visit.viewpoint.sees(&machine) { Ok(machine) } else { Err(PageRefusal::NotFound) }
}
