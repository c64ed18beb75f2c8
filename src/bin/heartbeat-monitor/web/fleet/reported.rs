//! What the latest payload of a machine says about uplink, cameras and activities. The formats differ and devices can send
//! anything, so each field is read alone: one of the wrong type is unknown.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// `None`: unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    pub uplink: Option<String>,
    /// Name and whether it responds.
    pub cameras: Vec<(String, Option<bool>)>,
    pub is_streaming: Option<bool>,
    pub is_tracking: Option<bool>,
    pub is_recording: Option<bool>,
}

/// A field of the expected type, or anything else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Known(T),
    Other(#[allow(dead_code, reason = "only its presence is parsed")] IgnoredAny),
}

impl<T> Lenient<T> {
    fn known(self) -> Option<T> {
        match self {
            Lenient::Known(value) => Some(value),
            Lenient::Other(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Payload {
    connection: Option<Lenient<ConnectionPart>>,
    #[serde(default)]
    cameras: Option<Lenient<Vec<CameraPart>>>,
    streaming_active: Option<Lenient<bool>>,
    tracking_active: Option<Lenient<bool>>,
    recording_active: Option<Lenient<bool>>,
}

#[derive(Deserialize)]
struct ConnectionPart {
    active: Option<Lenient<String>>,
}

#[derive(Deserialize)]
struct CameraPart {
    mac: Option<Lenient<String>>,
    hostname: Option<Lenient<String>>,
    status: Option<Lenient<String>>,
}

impl Reported {
    pub fn parse(payload: &str) -> Reported {
        let Ok(payload) = serde_json::from_str::<Payload>(payload) else { return Reported::default() };
        let connection = payload.connection.and_then(Lenient::known);
        let cameras = payload.cameras.and_then(Lenient::known).unwrap_or_default();
        Reported {
            uplink: connection.and_then(|connection| connection.active).and_then(Lenient::known),
            cameras: cameras.into_iter().map(CameraPart::name_and_state).collect(),
            is_streaming: payload.streaming_active.and_then(Lenient::known),
            is_tracking: payload.tracking_active.and_then(Lenient::known),
            is_recording: payload.recording_active.and_then(Lenient::known),
        }
    }

    /// How many cameras respond, and how many there are; `None` without cameras.
    pub fn cameras(&self) -> Option<(usize, usize)> {
        let up = self.cameras.iter().filter(|(_, responds)| *responds == Some(true)).count();
        (!self.cameras.is_empty()).then_some((up, self.cameras.len()))
    }
}

impl CameraPart {
    fn name_and_state(self) -> (String, Option<bool>) {
        let name = self.hostname.and_then(Lenient::known).or_else(|| self.mac.and_then(Lenient::known));
        let responds = match self.status.and_then(Lenient::known).as_deref() {
            Some("connected") => Some(true),
            Some("disconnected") => Some(false),
            _ => None,
        };
        (name.unwrap_or_default(), responds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heartbeat_daemon::wire::SAMPLE;

    #[test]
    fn the_sample_of_the_wire_format_is_read() {
        let reported = Reported::parse(SAMPLE);
        assert_eq!(reported.uplink.as_deref(), Some("wlan0"));
        assert_eq!(reported.cameras(), Some((1, 2)));
        assert_eq!(reported.cameras[0], ("gate".into(), Some(true)));
        assert_eq!(reported.is_streaming, Some(true));
    }

    #[test]
    fn a_field_of_the_wrong_type_is_unknown_and_the_others_are_read() {
        let reported = Reported::parse(
            r#"{"connection": 7, "cameras": "none", "streaming_active": true, "tracking_active": "yes"}"#,
        );
        assert_eq!(reported, Reported { is_streaming: Some(true), ..Reported::default() });
        for text in ["", "[]", "null", "{", r#"{"connection": {"active": null}}"#] {
            assert_eq!(Reported::parse(text), Reported::default(), "{text}");
        }
    }
}
