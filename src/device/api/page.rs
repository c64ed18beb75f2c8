//! The status page: one document with nothing from elsewhere. It asks `/api/status` every 5 s and `/api/last-hour` once a
//! minute for everything it shows; what the daemon reports is judged in `page/script.js`.

use super::call::{Call, Handled};
use crate::http::Response;

const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>",
    include_str!("page/style.css"),
    "</style>",
    include_str!("page/body.html"),
    "<script>",
    include_str!("page/script.js"),
    "</script></body></html>\n"
);

/// What a browser may do with the page. The hashes are those of its own style and script: whatever a name or an error
/// from outside might smuggle into it does not run.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; \
    style-src 'sha256-zZZ8XHva6WSqYrYTz9fGn4pVpbK7pECQDdc2r2BYMBg='; \
    script-src 'sha256-6pe7KY/9nueFkNCftTxzjCd9YNI2ZOh9QoaTpSlj9ok='; \
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
        // Of the binary, so of every device's memory.
        assert!(PAGE.len() < 36 * 1024, "{} bytes", PAGE.len());
        let page = PAGE.replace("http://www.w3.org/2000/svg", "the name of SVG, which nobody loads");
        for elsewhere in ["http:", "https:", "src=", "href=\"/", "@import", "style=", "innerHTML", "onclick="]
        {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }
}
