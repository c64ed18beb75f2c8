//! Strict query-string parsing: unknown or repeated parameters are errors, so that a misspelt filter never shows the whole
//! fleet.

use crate::clock::Moment;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// Parameters by name; reading one removes it, and those left at the end are unknown.
#[derive(Debug)]
pub struct Query(BTreeMap<String, String>);

/// One sentence, answered with 400.
pub type QueryFault = String;

/// Rows of a page without `limit`.
const PAGE: u32 = 100;
/// A response with this many machines has about 300 KB.
const LARGEST_PAGE: u32 = 1_000;

impl Query {
    pub fn parse(query: Option<&str>) -> Result<Query, QueryFault> {
        let mut parameters = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if let Some(twice) = parameters.insert(name.clone(), value) {
                drop(twice);
                return Err(format!("parameter {name:?} was given twice"));
            }
        }
        Ok(Query(parameters))
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A row id, such as a page's `next`.
    pub fn id(&mut self, name: &str) -> Result<Option<i64>, QueryFault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let id: Option<i64> = text.parse().ok().filter(|id| *id >= 0);
        id.map(Some).ok_or_else(|| format!("{name} must be a whole number from 0"))
    }

    pub fn limit(&mut self) -> Result<u32, QueryFault> {
        let Some(text) = self.text("limit") else { return Ok(PAGE) };
        let limit = text.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit));
        limit.ok_or_else(|| format!("limit must be a whole number from 1 to {LARGEST_PAGE}"))
    }

    /// Seconds since 1970, or RFC 3339.
    pub fn moment(&mut self, name: &str) -> Result<Option<Moment>, QueryFault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let seconds = text.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000));
        let moment = seconds
            .filter(|at| *at >= 0)
            .map(Moment) // A plus in a query means a space.
            .or_else(|| Moment::from_rfc_3339(&text.replace(' ', "+")));
        let wanted = || format!("{name} must be seconds since 1970, or a time such as 2026-01-21T14:30:00Z");
        moment.map(Some).ok_or_else(wanted)
    }

    /// A whole number of `unit`.
    pub fn number(
        &mut self,
        name: &str,
        unit: &str,
        allowed: std::ops::RangeInclusive<u32>,
    ) -> Result<Option<u32>, QueryFault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| allowed.contains(number));
        let wanted = || {
            format!("{name} must be a whole number of {unit} from {} to {}", allowed.start(), allowed.end())
        };
        number.map(Some).ok_or_else(wanted)
    }

    /// One of these words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, QueryFault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text);
        let wanted = || {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("{name} must be one of {}", words.join(", "))
        };
        found.map(|(_, meaning)| Some(*meaning)).ok_or_else(wanted)
    }

    pub fn end(self) -> Result<(), QueryFault> {
        match self.0.into_keys().next() {
            Some(name) => Err(format!("unknown parameter {name:?}")),
            None => Ok(()),
        }
    }
}

fn decoded(text: &str) -> Result<String, QueryFault> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| "the query is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(Some(text)).expect(text)
    }

    #[test]
    fn parameters_are_decoded_and_accepted_once() {
        let mut parameters = query("group=barn%20%26+yard&limit=5&after=7&");
        assert_eq!(parameters.text("group").as_deref(), Some("barn & yard"));
        assert_eq!(parameters.limit(), Ok(5));
        assert_eq!(parameters.id("after"), Ok(Some(7)));
        assert_eq!(parameters.id("after"), Ok(None));
        assert_eq!(parameters.end(), Ok(()));
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        assert_eq!(query("statsu=offline").end(), Err("unknown parameter \"statsu\"".into()));
        assert!(Query::parse(Some("a=1&a=2")).is_err());
        assert!(Query::parse(Some("a=%ff")).is_err());
    }

    #[test]
    fn numbers_and_times_out_of_range_are_refused() {
        for text in ["limit=0", "limit=1001", "limit=-1", "limit=ten", "limit="] {
            query(text).limit().expect_err(text);
        }
        for text in ["after=-1", "after=x", "after=9223372036854775808"] {
            query(text).id("after").expect_err(text);
        }
        for text in ["from=yesterday", "from=-1", "from=9223372036854775807", "from=2026-13-01T00:00:00Z"] {
            query(text).moment("from").expect_err(text);
        }
    }

    #[test]
    fn a_time_is_seconds_or_rfc_3339() {
        for text in ["from=1763756400", "from=2025-11-21T20:20:00Z", "from=2025-11-21T21:20:00%2B01:00"] {
            assert_eq!(query(text).moment("from"), Ok(Some(Moment(1_763_756_400_000))), "{text}");
        }
    }
}
