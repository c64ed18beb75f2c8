//! axe-core, which finds what keeps people from using a page: "tests/run browser" fetches it from npm, and it is never part
//! of this repository.

use super::devtools::Browser;
use super::skip::skip_without;
use serde_json::Value;
use std::fs;

/// Names the file `axe.min.js`.
const FILE: &str = "HEARTBEAT_TESTS_AXE";

/// Checks the open page against all rules, and lists what is wrong with it: rule, element, reason.
const RUN: &str = r#"axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary.replace(/\s+/g, " ")}`)))"#;

/// The program, as text.
pub struct Axe(String);

impl Axe {
    /// `None` where it was not fetched: the test is skipped.
    pub fn load() -> Option<Axe> {
        let Some(path) = std::env::var_os(FILE) else {
            skip_without(&format!("axe-core (\"tests/run browser\" fetches it and sets ${FILE})"));
            return None;
        };
        let program = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Some(Axe(format!("{program}; true")))
    }

    /// What is wrong with the open page.
    pub fn violations(&self, browser: &mut Browser) -> Vec<String> {
        browser.value(&self.0);
        let Value::Array(found) = browser.value(RUN) else { panic!("no list of violations") };
        found.iter().map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
    }
}
