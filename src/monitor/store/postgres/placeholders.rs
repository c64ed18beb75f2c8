//! `?1` in a statement's text becomes `$1`, which PostgreSQL reads, and `json_each(?1)` what has the same rows there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Texts that are remembered: this program has some hundred, and a few that depend on a filter.
const MOST_TEXTS: usize = 1000;

/// Translated texts of one connection.
#[derive(Debug, Default)]
pub struct Placeholders {
    known: RefCell<HashMap<Box<str>, Arc<str>>>,
}

impl Placeholders {
    pub fn translated(&self, sql: &str) -> Arc<str> {
        let mut known = self.known.borrow_mut();
        if let Some(text) = known.get(sql) {
            return text.clone();
        }
        if known.len() >= MOST_TEXTS {
            known.clear();
        }
        let text: Arc<str> = translate(sql).into();
        known.insert(sql.into(), text.clone());
        text
    }
}

fn translate(sql: &str) -> String {
    let mut parts = sql.split("json_each(");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (parameter, rest) = part.split_once(')').unwrap_or((part, ""));
        text += &format!("jsonb_array_elements(CAST({parameter} AS JSONB)){rest}");
    }
    with_dollars(&text)
}

/// Question marks in quotes and comments stay.
fn with_dollars(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(['?', '\'', '"', '-']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let end = match from.as_bytes()[0] {
            b'?' => {
                text.push(if from[1..].starts_with(|next: char| next.is_ascii_digit()) { '$' } else { '?' });
                rest = &from[1..];
                continue;
            }
            b'-' if from.starts_with("--") => from.find('\n').unwrap_or(from.len()),
            b'-' => 1,
            // A doubled quote within is the end of one part and the begin of the next.
            quote => from[1..].find(char::from(quote)).map_or(from.len(), |end| end + 2),
        };
        text.push_str(&from[..end]);
        rest = &from[end..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parameters_outside_of_quotes_and_comments_and_rows_change() {
        for (sql, expected) in [
            ("SELECT ?1, ?12 WHERE a = ?2", "SELECT $1, $12 WHERE a = $2"),
            ("SELECT 'is it ?1', \"?2\", ?3", "SELECT 'is it ?1', \"?2\", $3"),
            ("SELECT 'it''s ?1' || ?2", "SELECT 'it''s ?1' || $2"),
            ("SELECT 1 -- or ?1\n+ ?2 - ?3", "SELECT 1 -- or ?1\n+ $2 - $3"),
            ("SELECT '?1", "SELECT '?1"),
            ("SELECT a ? b -- ?1", "SELECT a ? b -- ?1"),
            ("é ?1 'é'", "é $1 'é'"),
            (
                "SELECT value FROM json_each(?1), json_each(?2)",
                "SELECT value FROM jsonb_array_elements(CAST($1 AS JSONB)), jsonb_array_elements(CAST($2 AS JSONB))",
            ),
        ] {
            assert_eq!(translate(sql), expected);
        }
    }

    #[test]
    fn a_text_is_translated_once_and_the_memory_is_bounded() {
        let placeholders = Placeholders::default();
        let first = placeholders.translated("SELECT ?1");
        assert!(Arc::ptr_eq(&first, &placeholders.translated("SELECT ?1")));
        for number in 0..MOST_TEXTS * 2 {
            placeholders.translated(&format!("SELECT {number}"));
        }
        assert!(placeholders.known.borrow().len() <= MOST_TEXTS);
    }
}
