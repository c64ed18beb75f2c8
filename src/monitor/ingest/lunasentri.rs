//! LunaSentri's agent: `POST /agent/metrics`, with its key in `X-API-Key` or as a bearer token.
//!
//! Its server answers 202 without a body; its agent accepts 200 too.

use super::figures::{PERCENT, percent};
use super::malformed::Malformed;
use super::read::{self, Fields, figure, nested, skip, text};
use crate::monitor::beat::{Beat, BeatKind, Sample};
use crate::monitor::conditions::facts::Facts;
use crate::monitor::machine::DeviceServer;
use serde::de::MapAccess;
use std::borrow::Cow;

pub fn parse(text: &str) -> Result<Beat<'_>, Malformed> {
    let AgentMetrics { hostname, sample } = read::object::<AgentMetrics>(text)?;
    Ok(Beat {
        kind: BeatKind::Live,
        reason: None,
        server: DeviceServer::Only,
        interval: None,
        device: None,
        hostname,
        sample,
        facts: Facts::default(),
        payload: text,
    })
}

#[derive(Default)]
struct AgentMetrics<'de> {
    hostname: Option<Cow<'de, str>>,
    sample: Sample,
}

impl<'de> Fields<'de> for AgentMetrics<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "cpu_pct" => self.sample.cpu = percent(figure(value, PERCENT)?),
            "mem_used_pct" => self.sample.mem = percent(figure(value, PERCENT)?),
            "disk_used_pct" => self.sample.disk = percent(figure(value, PERCENT)?),
            "system_info" => self.hostname = nested::<SystemInfo, A>(value)?.hostname,
            _ => skip(value)?,
        }
        Ok(())
    }
}

/// Sent once an hour.
#[derive(Default)]
struct SystemInfo<'de> {
    hostname: Option<Cow<'de, str>>,
}

impl<'de> Fields<'de> for SystemInfo<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "hostname" => self.hostname = text(value)?,
            _ => skip(value)?,
        }
        Ok(())
    }
}
