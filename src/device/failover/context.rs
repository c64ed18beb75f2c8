//! The other parts of the daemon that the failover thread reads, controls and publishes to.

use super::status::PublishedStatus;
use crate::device::heartbeat::dial::{Dialer, Uplink};
use crate::device::trigger::Trigger;
use crate::latest::Latest;
use crate::resolver::NameResolver;
use crossbeam_channel::Sender;
use std::sync::Arc;

#[derive(Debug)]
pub struct FailoverContext {
    pub dialer: Arc<Dialer>,
    pub names: Arc<NameResolver>,
    pub trigger: Trigger,
    /// Uplinks over which a copy of the last heartbeat is to be tried.
    pub copies: Sender<Uplink>,
    /// `None` while failover is off.
    pub status: Arc<Latest<Option<PublishedStatus>>>,
}
