//! Dependencies of the responses.

use crate::clock::Moment;
use crate::http::Counters;
use crate::http::networks::IpNetwork;
use crate::latest::Latest;
use crate::monitor::config::Config;
use crate::monitor::health::Health;
use crate::monitor::ingest;
use crate::monitor::mqtt::counters::MqttCounters;
use crate::monitor::notify::couriers;
use crate::monitor::rate_limit::{NetworkLimit, Rate};
use crate::monitor::recorder::{RecorderContext, RecorderEvent};
use crate::monitor::transport::Transport;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::time::Duration;

/// Dependencies of the responses, shared by the workers.
pub struct ApiContext {
    pub shared: RecorderContext,
    pub health: Arc<Health>,
    /// The recorder's queue.
    pub orders: Sender<RecorderEvent>,
    pub ingest: Arc<ingest::counters::IngestCounters>,
    pub couriers: Arc<couriers::DeliveryCounters>,
    pub mqtt: Arc<MqttCounters>,
    pub counters: Arc<Counters>,
    pub settings: Arc<Latest<ApiSettings>>,
    /// Enrolments that failed.
    pub enrolments: NetworkLimit,
    pub started: Moment,
}

/// A key cannot be guessed; but each failure costs a look into the database.
pub const FAILED_ENROLMENTS: Rate = Rate { burst: 60, interval: Duration::from_secs(10) };

/// The settings that a reload can change.
#[derive(Debug)]
pub struct ApiSettings {
    /// The threshold of machines without their own.
    pub threshold: Duration,
    pub trusted_proxies: Vec<IpNetwork>,
    /// Whether a key may be sent here.
    pub transport: Transport,
    /// Machines up to which `/metrics/machines` responds.
    pub metrics_machines: usize,
}

impl ApiSettings {
    pub fn of(config: &Config) -> ApiSettings {
        ApiSettings {
            threshold: config.detection.offline_threshold,
            trusted_proxies: config.http.trusted_proxies.clone(),
            transport: Transport::of(config),
            metrics_machines: config.metrics_machines,
        }
    }
}
