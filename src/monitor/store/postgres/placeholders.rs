//! `?1` in a statement's text becomes `$1`, which PostgreSQL reads.

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

/// Question marks in quotes and comments stay.
fn translate(sql: &str) -> String {
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
    fn only_numbered_question_marks_outside_of_quotes_and_comments_change() {
        for (sql, expected) in [
            ("SELECT ?1, ?12 WHERE a = ?2", "SELECT $1, $12 WHERE a = $2"),
            ("SELECT 'is it ?1', \"?2\", ?3", "SELECT 'is it ?1', \"?2\", $3"),
            ("SELECT 'it''s ?1' || ?2", "SELECT 'it''s ?1' || $2"),
            ("SELECT 1 -- or ?1\n+ ?2 - ?3", "SELECT 1 -- or ?1\n+ $2 - $3"),
            ("SELECT '?1", "SELECT '?1"),
            ("SELECT a ? b -- ?1", "SELECT a ? b -- ?1"),
            ("é ?1 'é'", "é $1 'é'"),
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
