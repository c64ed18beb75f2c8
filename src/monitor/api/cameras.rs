//! The availability of a machine's cameras as JSON.

use super::query::{Query, QueryFault};
use crate::clock::Moment;
use crate::monitor::cameras::table::{CameraHistory, StoredDay};
use serde::Serialize;

/// Days if the request does not say.
const DEFAULT_DAYS: u32 = 30;
/// Days that are kept, and today.
const MOST_DAYS: u32 = 366;

#[derive(Debug, Serialize)]
pub struct CamerasView {
    /// By MAC address.
    pub items: Vec<CameraHistoryView>,
}

#[derive(Debug, Serialize)]
pub struct CameraHistoryView {
    pub mac: String,
    pub name: Option<String>,
    /// When it was last reported, to the minute.
    pub reported_at: Option<String>,
    /// Percent of the known minutes of `days`; `null` if there are none.
    pub up_percent: Option<f64>,
    /// Oldest first.
    pub days: Vec<CameraDayView>,
}

#[derive(Debug, Serialize)]
pub struct CameraDayView {
    /// `2026-01-21`, in UTC.
    pub day: Option<String>,
    pub up_minutes: u32,
    pub down_minutes: u32,
}

/// Reads `days`.
pub fn days(mut query: Query) -> Result<u16, QueryFault> {
    let days = query.number("days", "days", 1..=MOST_DAYS)?.unwrap_or(DEFAULT_DAYS);
    query.end()?;
    Ok(u16::try_from(days).unwrap_or(u16::MAX))
}

pub fn view(cameras: Vec<CameraHistory>) -> CamerasView {
    CamerasView { items: cameras.into_iter().map(camera).collect() }
}

fn camera(camera: CameraHistory) -> CameraHistoryView {
    CameraHistoryView {
        up_percent: camera.percent(),
        reported_at: camera.reported.rfc_3339(),
        mac: camera.mac,
        name: camera.name,
        days: camera.days.into_iter().map(day).collect(),
    }
}

fn day(day: StoredDay) -> CameraDayView {
    let begin = Moment::from_seconds(i64::from(day.day) * 86_400).rfc_3339();
    CameraDayView {
        day: begin.and_then(|begin| Some(begin.split_once('T')?.0.to_owned())),
        up_minutes: day.up,
        down_minutes: day.down,
    }
}
