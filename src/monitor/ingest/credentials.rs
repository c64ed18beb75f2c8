//! The token in a request, wherever the original's clients put it.

use super::streamer::parameter;
use crate::http::Request;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Longer than any of ours; a longer one is not even hashed.
const MAX_TOKEN: usize = 256;

/// LunaSentri's and the Meeting API's own headers, `Authorization: Bearer` for everybody, and `?token=` for clients
/// that can only change a URL. The first that is there counts.
pub fn token(request: &Request) -> Option<Cow<'_, str>> {
    let bearer = || request.header("Authorization").and_then(bearer);
    let header = bearer().or_else(|| request.header("X-Token-Code")).or_else(|| request.header("X-API-Key"));
    let token = match header {
        Some(token) => Cow::Borrowed(token.trim()),
        None => percent_decode_str(parameter(request.query()?, "token")?).decode_utf8().ok()?,
    };
    (1..=MAX_TOKEN).contains(&token.len()).then_some(token)
}

/// RFC 9110 11.1: the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_one_in_any_case_and_other_schemes_are_none() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("Basic YTpi", None),
            ("Bearer", None),
            ("", None),
        ] {
            assert_eq!(bearer(value), token, "{value}");
        }
    }
}
