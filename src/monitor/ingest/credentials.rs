//! Finds the token in a request, in all places that the clients of the replaced systems use.

use super::streamer::parameter;
use crate::http::Request;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Longer than our tokens; a longer one is refused without hashing it.
const MAX_TOKEN: usize = 256;

/// The token from `Authorization: Bearer`, else from the Meeting API's or LunaSentri's header, else from `?token=`, for
/// clients that can only change a URL.
pub fn token(request: &Request) -> Option<Cow<'_, str>> {
    let header =
        request.bearer().or_else(|| request.header("X-Token-Code")).or_else(|| request.header("X-API-Key"));
    let token = match header {
        Some(token) => Cow::Borrowed(token.trim()),
        None => percent_decode_str(parameter(request.query()?, "token")?).decode_utf8().ok()?,
    };
    (1..=MAX_TOKEN).contains(&token.len()).then_some(token)
}
