//! Prometheus' text exposition format, version 0.0.4.

use std::fmt::{Display, Write};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metric families in the order in which they are added.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    pub fn with_capacity(bytes: usize) -> Exposition {
        Exposition(String::with_capacity(bytes))
    }

    /// A gauge without labels; nothing if there is no value.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.family(name, help, "gauge");
            self.sample(name, &[], value);
        }
    }

    /// A gauge with one sample per value of `label`.
    pub fn gauges(&mut self, name: &str, help: &str, label: &str, samples: &[(&str, f64)]) {
        self.family(name, help, "gauge");
        for (text, value) in samples {
            self.sample(name, &[(label, text)], value);
        }
    }

    /// A counter without labels. Its name ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help, "counter");
        self.sample(name, &[], value);
    }

    /// A counter with one sample per value of `label`.
    pub fn counters(&mut self, name: &str, help: &str, label: &str, samples: &[(&str, u64)]) {
        self.family(name, help, "counter");
        for (text, value) in samples {
            self.sample(name, &[(label, text)], value);
        }
    }

    /// Name, help and type of the samples that follow.
    pub fn family(&mut self, name: &str, help: &str, kind: &str) {
        for part in ["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"] {
            self.0.push_str(part);
        }
    }

    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            self.push_escaped(text);
            self.0.push('"');
        }
        self.0.push_str(if labels.is_empty() { " " } else { "} " });
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{value}");
    }

    fn push_escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.gauge("up_since_seconds", "When it began.", 1_763_756_400.25);
        text.gauge("absent", "No value, no family.", None);
        text.counters("beats_total", "Heartbeats.", "format", &[("native", 3), ("a\"b\\c\n", 0)]);
        assert_eq!(
            text.into_text(),
            "# HELP up_since_seconds When it began.\n# TYPE up_since_seconds gauge\n\
             up_since_seconds 1763756400.25\n\
             # HELP beats_total Heartbeats.\n# TYPE beats_total counter\n\
             beats_total{format=\"native\"} 3\nbeats_total{format=\"a\\\"b\\\\c\\n\"} 0\n"
        );
    }

    #[test]
    fn a_label_may_hold_anything() {
        let mut text = Exposition::default();
        text.sample("x", &[("a", "q\"b\\\n"), ("b", "")], 1);
        assert_eq!(text.into_text(), "x{a=\"q\\\"b\\\\\\n\",b=\"\"} 1\n");
    }
}
