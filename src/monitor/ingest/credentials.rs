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
    let header =
        request.bearer().or_else(|| request.header("X-Token-Code")).or_else(|| request.header("X-API-Key"));
    let token = match header {
        Some(token) => Cow::Borrowed(token.trim()),
        None => percent_decode_str(parameter(request.query()?, "token")?).decode_utf8().ok()?,
    };
    (1..=MAX_TOKEN).contains(&token.len()).then_some(token)
}
