//! LunaSentri's agent: `POST /agent/metrics`, with its key in `X-API-Key` or as a bearer token.
//!
//! Its server answers 202 without a body, and its agent takes 200 as well.

use super::Malformed;
use super::figures::{PERCENT, percent};
use super::read::{self, Fields, figure, nested, skip, text};
use crate::monitor::beat::{Beat, BeatKind, Sample};
use serde::de::MapAccess;
use std::borrow::Cow;

/// # Errors
/// Not a JSON object.
pub fn parse(text: &str) -> Result<Beat<'_>, Malformed> {
    let Metrics { hostname, sample } = read::object::<Metrics>(text)?;
    Ok(Beat { kind: BeatKind::Live, interval: None, device: None, hostname, sample, payload: text })
}

#[derive(Default)]
struct Metrics<'de> {
    hostname: Option<Cow<'de, str>>,
    sample: Sample,
}

impl<'de> Fields<'de> for Metrics<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
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
    fn take<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "hostname" => self.hostname = text(value)?,
            _ => skip(value)?,
        }
        Ok(())
    }
}
