use super::*;
use crate::config::Period;
use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

#[test]
fn an_entry_stands_at_its_number_and_names_are_unique() {
    let names: HashSet<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), CONDITIONS);
    for (index, entry) in CATALOGUE.iter().enumerate() {
        assert_eq!(entry.condition as usize, index, "{}", entry.name);
        assert_eq!(Condition::from_name(entry.name), Some(entry.condition));
        assert!(Topic::from_name(entry.name).is_none_or(|topic| topic == entry.topic), "{}", entry.name);
    }
    assert_eq!(Condition::from_name("offline"), None);
}

#[test]
fn an_incident_ends_on_the_good_side_of_its_threshold() {
    for entry in CATALOGUE.iter().filter_map(|entry| entry.limit) {
        let (least, most) = entry.range;
        assert!((least..=most).contains(&entry.threshold));
        assert!(entry.is_reached(entry.threshold, entry.threshold));
        assert!(!entry.is_reached(entry.ends_at(entry.threshold), entry.threshold));
    }
}

/// The part of docs/conditions.md that follows from the catalogue.
fn document() -> String {
    let mut text = String::from(
        "| condition | topic | an incident begins if | hold time | and ends if it is | reason |\n|---|---|---|---|---|---|\n",
    );
    for entry in &CATALOGUE {
        let CatalogueEntry { name, topic, meaning, reason, .. } = entry;
        let (begin, end) = entry.limit.as_ref().map_or((String::new(), "over".to_owned()), limits);
        let hold = length(entry.hold).unwrap_or_else(|| "-".into());
        let end = length(entry.clear).map_or_else(|| end.clone(), |clear| format!("{end} for {clear}"));
        writeln!(text, "| `{name}` | {topic} | {meaning}{begin} | {hold} | {end} | {reason} |")
            .expect("text");
    }
    text.push_str("\n| topic | about | default |\n|---|---|---|\n");
    for topic in Topic::ALL {
        let state = if Topic::default_choice().contains(&topic) { "on" } else { "off" };
        writeln!(text, "| `{topic}` | {} | {state} |", topic.meaning()).expect("text");
    }
    text
}

/// `: 80 °C or more`, and `below 75 °C`.
fn limits(limit: &Limit) -> (String, String) {
    let (begin, end) = match limit.side {
        Side::Above => ("more", "below"),
        Side::Below => ("less", "above"),
    };
    let (threshold, ends_at) =
        (limit.with_unit(limit.threshold), limit.with_unit(limit.ends_at(limit.threshold)));
    (format!(": {threshold} or {begin}"), format!("{end} {ends_at}"))
}

fn length(duration: Duration) -> Option<String> {
    (!duration.is_zero()).then(|| Period(duration).to_string())
}

const BEGIN: &str =
    "<!-- begin of the generated part: HEARTBEAT_WRITE=1 cargo test --features monitor --lib catalogue -->\n";
const END: &str = "<!-- end of the generated part -->\n";

#[test]
fn the_documentation_is_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conditions.md");
    let found = fs::read_to_string(&path).expect("docs/conditions.md");
    let (before, rest) = found.split_once(BEGIN).expect("the mark at the begin");
    let (_, after) = rest.split_once(END).expect("the mark at the end");
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", document());
    if std::env::var_os("HEARTBEAT_WRITE").is_some() {
        fs::write(&path, &expected).expect("written");
    } else {
        assert!(
            found == expected,
            "docs/conditions.md is not what the catalogue says; write it with \
             HEARTBEAT_WRITE=1 cargo test --features monitor --lib catalogue"
        );
    }
}

#[test]
fn each_reason_is_a_sentence_that_fits_into_a_table() {
    for entry in &CATALOGUE {
        assert!(entry.reason.ends_with('.') && !entry.reason.contains('|'), "{}", entry.name);
        assert!(!entry.meaning.ends_with('.') && !entry.meaning.contains('|'), "{}", entry.name);
    }
}
