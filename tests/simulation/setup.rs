//! The database before the monitor starts for the first time, made as the commands make it.

use crate::world::{EscalationPlan, MachinePlan, QuietPlan, RecipientPlan};
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::conditions::catalogue::Condition;
use heartbeat_daemon::monitor::conditions::settings::{Scope, ScopedChange, SettingChange};
use heartbeat_daemon::monitor::machine::Description;
use heartbeat_daemon::monitor::notify::channel::{ChannelKind, ChannelOptions};
use heartbeat_daemon::monitor::notify::channels::NewChannel;
use heartbeat_daemon::monitor::notify::choices::Selection;
use heartbeat_daemon::monitor::notify::quiet_hours::QuietHours;
use heartbeat_daemon::monitor::notify::recipients::{Escalation, Preferences};
use heartbeat_daemon::monitor::notify::topic::Topic;
use heartbeat_daemon::monitor::store::Store;
use heartbeat_daemon::monitor::zone::{Clock, ZONES, Zone};
use std::path::Path;
use std::time::Duration;

pub fn open(path: &Path, now: Moment) -> Store {
    Store::open_beside(&path.to_owned().into(), now).expect("a database")
}

/// Adds the machines; returns their tokens.
pub fn machines(store: &Store, plans: &[MachinePlan], now: Moment) -> Vec<String> {
    let add = |plan: &MachinePlan| {
        let description = Description {
            name: plan.name.clone(),
            group: Some(plan.group.into()),
            threshold: plan.threshold,
            ..Description::default()
        };
        let (_, token) = store.add_machine(&description, now).expect("a machine");
        token.as_str().to_owned()
    };
    plans.iter().map(add).collect()
}

/// Switches the conditions off that share a topic with those that are simulated.
pub fn conditions(store: &Store, now: Moment) {
    let change = SettingChange { is_on: Some(false), ..SettingChange::default() };
    let change = ScopedChange { condition: Condition::Boots, scope: Scope::All, change };
    store.change_condition(&change, now).expect("a setting");
}

/// Adds the recipients and their channels; who has chosen a group without machines gets all machines.
pub fn recipients(store: &Store, machines: &[MachinePlan], plans: &mut [RecipientPlan], now: Moment) {
    for plan in &mut *plans {
        plan.group = plan.group.filter(|group| machines.iter().any(|machine| machine.group == *group));
        let selection = match plan.group {
            None => Selection::All,
            Some(group) => {
                Selection::Only { machines: Vec::new(), groups: vec![group.into()], tags: Vec::new() }
            }
        };
        let preferences = Preferences {
            events: Topic::ALL.into_iter().filter(|event| plan.events.contains(&event.name())).collect(),
            clock: None,
            quiet: plan.quiet.map(|quiet| QuietHours { from: quiet.from, to: quiet.to, clock: clock(quiet) }),
            min_outage: Duration::from_millis(plan.min_outage),
            remind_every: plan.remind_every.map(Duration::from_millis),
            escalation: None,
        };
        store.add_recipient(&plan.name, &selection, &preferences, now).expect("a recipient");
        for kind in &plan.channels {
            let channel = NewChannel {
                kind: ChannelKind::from_name(kind).expect("a kind"),
                target: format!("{}-{kind}", plan.name),
                secret: None,
                secret_file: None,
                token: None,
                options: ChannelOptions::default(),
            };
            store.add_channel(Some(&plan.name), &channel, now).expect("a channel");
        }
    }
    for plan in &*plans {
        if let Some(EscalationPlan { to, after }) = plan.escalation {
            let escalation = Escalation { to: plans[to].name.clone(), after: Duration::from_millis(after) };
            let change = |wants: &mut Preferences| wants.escalation = Some(escalation);
            store.change_recipient(&plan.name, None, now, change).expect("an escalation");
        }
    }
}

fn clock(quiet: QuietPlan) -> Clock {
    let berlin = || Zone::read(Path::new(ZONES), "Europe/Berlin").expect("tzdata");
    quiet.change.map_or(Clock::UTC, |_| Clock::Zone(berlin()))
}
