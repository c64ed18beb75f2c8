//! Figures in the text format that Prometheus reads, version 0.0.4.

use std::fmt::Write;

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Families of figures, one after the other.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, "", &[("", value)]);
    }

    /// The same for each value of one label.
    pub fn gauges(&mut self, name: &str, help: &str, label: &str, samples: &[(&str, f64)]) {
        self.family(name, help, "gauge");
        for (text, value) in samples {
            self.sample(name, &[(label, text)], *value);
        }
    }

    /// A number that only grows while the program runs. The name ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, "", &[("", value)]);
    }

    /// The same for each value of one label.
    pub fn counters(&mut self, name: &str, help: &str, label: &str, samples: &[(&str, u64)]) {
        self.family(name, help, "counter");
        for (text, value) in samples {
            // Exact up to 2^53.
            self.sample(name, &[(label, text)], *value as f64);
        }
    }

    /// Name, help and type of the samples that follow.
    pub fn family(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One sample; a label without a name is left out.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let named: Vec<String> = labels
            .iter()
            .filter(|(label, _)| !label.is_empty())
            .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)))
            .collect();
        let braces = if named.is_empty() { String::new() } else { format!("{{{}}}", named.join(",")) };
        let _ = writeln!(self.0, "{name}{braces} {value}");
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.gauge("up_since_seconds", "When it began.", 1_763_756_400.25);
        text.counters("beats_total", "Heartbeats.", "format", &[("native", 3), ("a\"b\\c\n", 0)]);
        assert_eq!(
            text.into_text(),
            "# HELP up_since_seconds When it began.\n# TYPE up_since_seconds gauge\n\
             up_since_seconds 1763756400.25\n\
             # HELP beats_total Heartbeats.\n# TYPE beats_total counter\n\
             beats_total{format=\"native\"} 3\nbeats_total{format=\"a\\\"b\\\\c\\n\"} 0\n"
        );
    }
}
