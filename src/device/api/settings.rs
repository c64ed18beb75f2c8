//! `/api/settings`: the six camera settings under PumaGuard's names.

use super::call::{Call, Handled};
use super::cameras::CameraView;
use crate::device::camera_settings::{CameraSettings, SettingsError};
use crate::device::config;
use crate::http::{Peer, Response};
use serde_json::{Map, Value, json};

pub fn show(call: &Call) -> Handled {
    let mut view = call.settings.cameras().view();
    let cameras: Vec<CameraView> = call.context.cameras.list().iter().map(CameraView::of).collect();
    view.insert("cameras".to_owned(), json!(cameras));
    Response::json(200, &Value::Object(view)).into()
}

pub fn change(call: &Call) -> Handled {
    match call.json::<Map<String, Value>>() {
        Ok(changes) => apply(call, |settings| settings.change(&changes)),
        Err(refusal) => refusal.into(),
    }
}

pub fn reset(call: &Call) -> Handled {
    apply(call, CameraSettings::reset)
}

fn apply(
    call: &Call,
    change: impl FnOnce(&mut CameraSettings) -> Result<(config::Cameras, Vec<String>), SettingsError>,
) -> Handled {
    let mut settings = call.settings.cameras();
    let (cameras, changes) = match change(&mut settings) {
        Ok(changed) => changed,
        Err(SettingsError::Invalid(why)) => return Response::error(400, &why).into(),
        Err(SettingsError::Unwritable(why)) => return Response::error(500, &why).into(),
    };
    let origin = match call.request.peer() {
        Peer::Unix => "the socket file".to_owned(),
        Peer::Tcp(address) => format!("{} with the API token", address.ip()),
    };
    changes.iter().for_each(|change| log::info!("camera settings: {change}, by {origin}"));
    if !changes.is_empty() {
        call.context.cameras.reload(cameras);
    }
    Response::json(200, &json!({ "success": true, "message": "Settings updated and saved" })).into()
}
