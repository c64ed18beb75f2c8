//! `/api/last-hour`: the samples that the page draws. The page asks once a minute, so `/api/status` stays small.

use super::call::{Call, Handled};
use crate::device::heartbeat::last_hour::MinuteSample;
use crate::device::heartbeat::payload::rounded;
use crate::http::Response;
use serde::Serialize;
use serde_json::json;

/// One minute in which there was a heartbeat; the values are those of its latest one.
#[derive(Debug, Serialize)]
struct MinuteView<'a> {
    /// Whole minutes since then, 0 to 59.
    ago_min: u64,
    sent: u64,
    acknowledged: u64,
    uplink: Option<&'a str>,
    cpu: Option<f64>,
    mem: Option<f64>,
    temp: Option<f64>,
    signal_dbm: Option<i32>,
}

impl<'a> MinuteView<'a> {
    fn of((ago_min, sample): (u64, &'a MinuteSample)) -> MinuteView<'a> {
        let tenths = |value: Option<f32>| value.map(|value| rounded(f64::from(value), 1));
        MinuteView {
            ago_min,
            sent: sample.sent,
            acknowledged: sample.acknowledged,
            uplink: sample.uplink.as_deref(),
            cpu: tenths(sample.cpu),
            mem: tenths(sample.mem),
            temp: tenths(sample.temp),
            signal_dbm: sample.signal_dbm,
        }
    }
}

pub fn last_hour(call: &Call) -> Handled {
    let now = call.now.monotonic;
    let hour = call.context.heartbeat_status.last_hour();
    let minutes: Vec<MinuteView> = hour.at(now).map(MinuteView::of).collect();
    Response::json(200, &json!({ "covered_s": hour.covered(now).as_secs(), "minutes": minutes })).into()
}
