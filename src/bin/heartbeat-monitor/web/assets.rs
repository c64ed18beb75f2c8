//! Style sheet, script and icons, embedded in the program.

use heartbeat_daemon::http::Response;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::OnceLock;

/// Name, content type and content.
const ASSETS: [(&str, &str, &[u8]); 6] = [
    ("style.css", "text/css; charset=utf-8", include_bytes!("assets/style.css")),
    ("page.js", "text/javascript; charset=utf-8", include_bytes!("assets/page.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
    ("icon-bad.svg", "image/svg+xml", include_bytes!("assets/icon-bad.svg")),
    ("icon-stale.svg", "image/svg+xml", include_bytes!("assets/icon-stale.svg")),
    ("manifest.json", "application/manifest+json", include_bytes!("assets/manifest.json")),
];

/// A part of the assets' address that changes with their content, so that browsers can keep them for a year.
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut hash = Sha256::new();
        for (_, _, content) in ASSETS {
            hash.update(content);
        }
        hash.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    })
}

/// `/assets/VERSION/NAME`. An old version gets the present content, because the page that asks for it is being replaced.
/// `None` for an unknown name.
pub fn respond(path: &str) -> Option<Response> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let (_, content_type, content) = ASSETS.into_iter().find(|(found, ..)| *found == name)?;
    let keep = match path == format!("/assets/{}/{name}", version()) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    Some(Response::new(200).header("Cache-Control", keep).body(content_type, content))
}
