//! Protection against forms on other sites (CSRF): browsers say where a request comes from.

use super::refusal::PageRefusal;
use heartbeat_daemon::http::Request;
use heartbeat_daemon::monitor::config::PublicUrl;

/// Checks a request that changes something. `Sec-Fetch-Site` is the browser's own judgement; browsers send it to HTTPS and
/// loopback addresses. Otherwise `Origin` must be our public address. Without both, cookies with `SameSite` protect alone.
///
/// # Errors
/// [`PageRefusal::CrossSite`].
pub fn check(request: &Request, public_url: Option<&PublicUrl>) -> Result<(), PageRefusal> {
    let is_ours = is_own(request.header("Sec-Fetch-Site"), request.header("Origin"), public_url);
    if is_ours { Ok(()) } else { Err(PageRefusal::CrossSite) }
}

fn is_own(fetch_site: Option<&str>, origin: Option<&str>, public_url: Option<&PublicUrl>) -> bool {
    match (fetch_site, origin, public_url) {
        // "none": the person entered the address.
        (Some(site), ..) => matches!(site, "same-origin" | "none"),
        (None, Some(origin), Some(public_url)) => origin == public_url.origin,
        (None, _, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_refused() {
        let public = PublicUrl { origin: "https://heart.example".into(), path: "/x/".into() };
        for (site, origin, public_url, expected) in [
            (Some("same-origin"), None, None, true),
            (Some("none"), None, None, true),
            (Some("same-site"), Some("https://heart.example"), Some(&public), false),
            (Some("cross-site"), Some("https://heart.example"), Some(&public), false),
            (None, Some("https://heart.example"), Some(&public), true),
            (None, Some("http://heart.example"), Some(&public), false),
            (None, Some("https://evil.example"), Some(&public), false),
            (None, Some("null"), Some(&public), false),
            (None, None, Some(&public), true),
            (None, Some("https://evil.example"), None, true),
        ] {
            assert_eq!(is_own(site, origin, public_url), expected, "{site:?} {origin:?}");
        }
    }
}
