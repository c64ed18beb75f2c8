//! Checks what `fleet` was given, runs the simulation and shows its progress.

use super::figures::{AlertRecord, figures};
use super::options::{ConnectionUse, FleetCommand};
use crate::monitor::config::Config;
use crate::monitor::notify::channel::secret_in;
use crate::monitor::simulation::alerts::AlertReceiver;
use crate::monitor::simulation::ledger::{AlertDeadlines, judge};
use crate::monitor::simulation::outages::{OutageBounds, PlannedOutage};
use crate::monitor::simulation::target::FleetServer;
use crate::monitor::simulation::{Behaviour, Content, FleetSnapshot, Plan, Report, RunningFleet, SendRate};
use crate::startup::cannot;
use crossbeam_channel::RecvTimeoutError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// New connections in a second, unless --ramp says otherwise.
const MACHINES_A_SECOND: u32 = 1000;
/// The server notices new machines within a second.
const NOTICED: Duration = Duration::from_secs(2);
/// Descriptors for everything but the machines' connections.
const RESERVE: u64 = 64;
/// For the last message, which hardly ever takes the whole slack.
const LAST_MESSAGE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);

/// A simulation that can begin.
pub struct FleetSetup<'a> {
    command: &'a FleetCommand,
    servers: Vec<FleetServer>,
    outages: Vec<PlannedOutage>,
    deadlines: AlertDeadlines,
    alerts: Option<(SocketAddr, Vec<u8>)>,
}

impl FleetSetup<'_> {
    /// # Errors
    /// A sentence: something was wrong, or this machine has no room for the fleet.
    pub fn of<'a>(command: &'a FleetCommand, config: &Config) -> Result<FleetSetup<'a>, String> {
        let ca_file = command.ca_file.as_deref();
        let server = |url: &String| FleetServer::of(url, ca_file);
        let servers = command.url.iter().map(server).collect::<Result<Vec<_>, _>>()?;
        let deadlines = AlertDeadlines {
            threshold: config.detection.offline_threshold,
            check_interval: config.detection.check_interval,
            slack: command.slack.0,
        };
        let bounds = OutageBounds {
            machines: command.machines as usize,
            shortest: deadlines.shortest_outage(),
            // The last one ends a heartbeat and a message before the end.
            window: command
                .duration
                .0
                .saturating_sub(command.interval.0 * 2 + command.slack.0.min(LAST_MESSAGE)),
        };
        // Each of several simulations has outages of its own.
        let seed = command.seed.wrapping_add(u64::from(command.first) << 32);
        let outages = bounds.plan(command.outages as usize, seed)?;
        let secret = command.secret_file.as_ref().map(|file| secret_in(&file.to_string_lossy()));
        let alerts = command.alerts.zip(secret.transpose()?.map(String::into_bytes));
        make_room(command)?;
        Ok(FleetSetup { command, servers, outages, deadlines, alerts })
    }

    fn machines(&self) -> Range<u32> {
        self.command.first..self.command.first.saturating_add(self.command.machines)
    }

    fn ramp(&self) -> Duration {
        let command = self.command;
        let usual = Duration::from_secs(command.machines.div_ceil(MACHINES_A_SECOND).into());
        // Whole intervals spread the heartbeats evenly over an interval.
        let intervals = usual.div_duration_f64(command.interval.0).ceil().max(1.0) as u32;
        command.ramp.map_or(command.interval.0 * intervals, |ramp| ramp.0)
    }

    fn plan(&self, tokens: &[String]) -> Plan {
        let command = self.command;
        let content = command.replays.map_or(Content::Live, |batch| Content::Replays(batch as usize));
        let mut plan = Plan::with_servers(self.servers.clone(), tokens, content);
        plan.length = command.duration.0;
        plan.behaviour = Behaviour {
            first: command.first,
            is_new_each: command.connections == ConnectionUse::New,
            ramp: self.ramp(),
            churn: command.churn,
            seed: command.seed,
            outages: self.outages.clone(),
        };
        match command.unpaced {
            Some(connections) => plan.connections = connections as usize,
            None => plan.rate = SendRate::Every(command.interval.0),
        }
        plan
    }

    /// Runs the simulation. Returns the output, and whether all messages were as they should be.
    ///
    /// # Errors
    /// A sentence: it could not run.
    pub fn run(&self, tokens: &[String]) -> Result<(String, bool), String> {
        let warm_up = match self.command.unpaced {
            Some(_) => NOTICED,
            None => self.ramp() + self.command.interval.0 + NOTICED,
        };
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(cannot("handle signals"))?;
        let fleet = RunningFleet::start(&Arc::new(self.plan(tokens)), self.command.threads as usize, warm_up)
            .map_err(cannot("simulate the fleet"))?;
        let start = fleet.started();
        let receive =
            |(address, secret): &(SocketAddr, Vec<u8>)| AlertReceiver::start(*address, secret.clone(), start);
        let receiver = self.alerts.as_ref().map(receive).transpose()?;
        let mut record = AlertRecord::default();
        let is_stopped = self.watch(&fleet, receiver.as_ref(), &mut record, &mut signals);
        let report = if is_stopped { fleet.stop() } else { fleet.join() };
        let report = report.map_err(cannot("simulate the fleet"))?;
        if let Some(receiver) = &receiver {
            receiver.received().try_iter().for_each(|received| record.add(received, &self.machines()));
        }
        Ok(self.result(&report, receiver.is_some().then_some(&record), start.elapsed()))
    }

    /// Shows the progress until the fleet has ended; true if a signal came before.
    fn watch(
        &self,
        fleet: &RunningFleet,
        receiver: Option<&AlertReceiver>,
        record: &mut AlertRecord,
        signals: &mut Signals,
    ) -> bool {
        let mut latest = vec![FleetSnapshot::default(); self.command.threads as usize];
        let mut shown = Instant::now();
        loop {
            match fleet.progress().recv_timeout(LOOK) {
                Ok(snapshot) => latest[snapshot.thread] = snapshot,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            for received in receiver.iter().flat_map(|receiver| receiver.received().try_iter()) {
                record.add(received, &self.machines());
            }
            if signals.pending().next().is_some() {
                return true;
            }
            if shown.elapsed() >= Duration::from_secs(1) {
                shown = Instant::now();
                show(&latest, record, fleet.started().elapsed());
            }
        }
    }

    fn result(&self, report: &Report, record: Option<&AlertRecord>, end: Duration) -> (String, bool) {
        let verdict = record.map(|record| judge(&report.outages, &record.alerts, &self.deadlines, end));
        let is_good = verdict.as_ref().is_none_or(|verdict| verdict.faults.is_empty());
        (figures(self.command.machines, report, verdict.as_ref().zip(record)), is_good)
    }
}

/// One line, in place of the one before on a terminal.
fn show(latest: &[FleetSnapshot], record: &AlertRecord, elapsed: Duration) {
    let sum = |of: fn(&FleetSnapshot) -> u64| latest.iter().map(of).sum::<u64>();
    let line = format!(
        "{} s: {} connections, {} heartbeats acknowledged, {} machines without, {} silent, {} messages",
        elapsed.as_secs(),
        sum(|part| part.connections as u64),
        sum(|part| part.acknowledged),
        sum(|part| part.disturbed as u64),
        sum(|part| part.outages as u64),
        record.alerts.len()
    );
    let mut output = std::io::stderr();
    // A closed standard error is no reason to stop.
    let _ = match output.is_terminal() {
        true => write!(output, "\r\x1b[K{line}"),
        false => writeln!(output, "{line}"),
    };
}

/// Raises the limit of open files as far as permitted.
///
/// # Errors
/// A sentence that names the limit: there is no room for so many connections.
fn make_room(command: &FleetCommand) -> Result<(), String> {
    let connections = u64::from(command.unpaced.unwrap_or(command.machines));
    let wanted = connections + RESERVE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if current.is_some_and(|current| current < allowed) {
        // On failure the limit stays, which is judged below.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    }
    match getrlimit(Resource::Nofile).current {
        Some(current) if current < wanted => Err(format!(
            "{connections} connections need {wanted} descriptors, and this process may open {current} files \
             (ulimit -n); run several simulations with --first"
        )),
        _ => Ok(()),
    }
}
