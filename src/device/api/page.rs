//! The status page: one file with nothing from elsewhere, which asks `/api/status` for everything it shows.

use super::call::{Call, Handled};
use crate::http::Response;

const PAGE: &str = include_str!("page.html");

/// What a browser may do with the page. The hashes are those of its own style and script: whatever a name or an error
/// from outside might smuggle into it does not run.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; \
    style-src 'sha256-oAWjJnlu/CmDO+yuexLH5K7bM7QPBiGe2tBFfvUk69o='; \
    script-src 'sha256-vw8zw3DGi2lS5UPgds7pWHqxCX3rBA3Oif7Ctc8HGg8='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn page(_: &Call) -> Handled {
    Response::new(200)
        .body("text/html; charset=utf-8", PAGE.as_bytes())
        .header("Content-Security-Policy", POLICY)
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Referrer-Policy", "no-referrer")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    /// Of the only element of this name, as a browser counts it.
    fn hash(element: &str) -> String {
        let (_, rest) = PAGE.split_once(&format!("<{element}>")).expect("the element");
        let (content, _) = rest.split_once(&format!("</{element}>")).expect("its end");
        let suites = rustls::crypto::ring::default_provider().cipher_suites;
        let sha256 = suites.iter().find_map(|suite| {
            let suite = suite.tls13()?;
            (suite.common.hash_provider.output_len() == 32).then_some(suite.common.hash_provider)
        });
        let hash = sha256.expect("TLS 1.3 has a suite with SHA-256").hash(content.as_bytes());
        format!("'sha256-{}'", STANDARD.encode(hash))
    }

    #[test]
    fn the_policy_names_the_pages_own_style_and_script() {
        for element in ["style", "script"] {
            let hash = hash(element);
            assert!(POLICY.contains(&format!("{element}-src {hash}")), "{element} has {hash}");
        }
    }

    #[test]
    fn the_page_is_small_and_loads_nothing_from_other_hosts() {
        assert!(PAGE.len() < 16 * 1024, "{} bytes", PAGE.len());
        for elsewhere in ["http:", "https:", "src=", "href=\"/", "@import", "style=", "innerHTML", "onclick="]
        {
            assert!(!PAGE.contains(elsewhere), "{elsewhere}");
        }
    }
}
