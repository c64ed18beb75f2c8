//! The two cookies: of the session, and of a browser that has signed in before.
//!
//! `[web] public_url` alone decides about `Secure` and `Path`. Without it neither is set, and browsers take the path from the
//! address of the page: so the pages that set cookies have no slash in their path below the root.

use crate::web::visit::SESSION_COOKIE;
use heartbeat_daemon::monitor::accounts::sessions::LIFETIME;
use heartbeat_daemon::monitor::config::PublicUrl;
use std::time::Duration;

/// Name of the signed cookie of a browser that has signed in before.
pub const DEVICE_COOKIE: &str = "heartbeat_device";

/// The longest time for which browsers keep a cookie.
const DEVICE_LIFETIME: Duration = Duration::from_secs(400 * 86_400);

/// Signs the browser in.
pub fn session(token: &str, public_url: Option<&PublicUrl>) -> String {
    cookie(SESSION_COOKIE, token, LIFETIME, public_url)
}

/// Signs the browser out.
pub fn no_session(public_url: Option<&PublicUrl>) -> String {
    cookie(SESSION_COOKIE, "", Duration::ZERO, public_url)
}

/// Lets the browser be recognised at the next sign-in.
pub fn device(value: &str, public_url: Option<&PublicUrl>) -> String {
    cookie(DEVICE_COOKIE, value, DEVICE_LIFETIME, public_url)
}

fn cookie(name: &str, value: &str, lifetime: Duration, public_url: Option<&PublicUrl>) -> String {
    let seconds = lifetime.as_secs();
    let mut text = format!("{name}={value}; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    if let Some(url) = public_url {
        text += &format!("; Path={}", url.path);
        if url.is_https() {
            text += "; Secure";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secure_and_path_come_from_the_public_url_only() {
        let url = |origin: &str, path: &str| PublicUrl { origin: origin.into(), path: path.into() };
        let start = "heartbeat_session=hbs_x; Max-Age=2592000; HttpOnly; SameSite=Lax";
        assert_eq!(session("hbs_x", None), start);
        assert_eq!(session("hbs_x", Some(&url("http://a", "/"))), format!("{start}; Path=/"));
        assert_eq!(
            session("hbs_x", Some(&url("https://a", "/x/y/"))),
            format!("{start}; Path=/x/y/; Secure")
        );
    }

    #[test]
    fn the_cookie_of_a_session_is_deleted_at_sign_out_and_that_of_the_browser_stays() {
        assert_eq!(no_session(None), "heartbeat_session=; Max-Age=0; HttpOnly; SameSite=Lax");
        assert!(device("1.x", None).starts_with("heartbeat_device=1.x; Max-Age=34560000;"));
    }
}
