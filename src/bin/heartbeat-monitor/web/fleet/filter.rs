//! Search and filters of the fleet page, in its address: they survive a reload and can be sent to others.

use super::view::MachineView;
use crate::web::form::Form;
use crate::web::refusal::PageRefusal;
use crate::web::severity::MachineHealth;
use crate::web::visit::Visit;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// `None` and empty: everything.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FleetFilter {
    /// Words, all of which must occur in a machine's names, group, tags or cameras.
    pub search: String,
    pub group: String,
    pub tag: String,
    /// Only machines that need a person.
    pub only_problems: bool,
    /// Rolled up by tag instead of by group.
    pub by_tag: bool,
    /// From 1.
    pub page: usize,
}

/// Longer searches are cut.
const LONGEST_SEARCH: usize = 200;

impl FleetFilter {
    pub fn read(visit: &Visit<'_>) -> Result<FleetFilter, PageRefusal> {
        let query = Form::of_query(visit.request)?;
        Ok(FleetFilter {
            search: query.text("q").chars().take(LONGEST_SEARCH).collect(),
            group: query.text("group").into(),
            tag: query.text("tag").into(),
            only_problems: query.text("show") == "problems",
            by_tag: query.text("by") == "tag",
            page: query.text("page").parse().ok().filter(|page| *page > 0).unwrap_or(1),
        })
    }

    pub fn matches(&self, view: &MachineView) -> bool {
        let machine = &view.machine;
        (self.group.is_empty() || machine.group.as_deref() == Some(self.group.as_str()))
            && (self.tag.is_empty() || machine.tags.contains(&self.tag))
            && (!self.only_problems || view.health() >= MachineHealth::Degraded)
            && self.finds(view)
    }

    fn finds(&self, view: &MachineView) -> bool {
        if self.search.is_empty() {
            return true;
        }
        let machine = &view.machine;
        let texts = [
            Some(&machine.name),
            machine.hostname.as_ref(),
            machine.group.as_ref(),
            machine.description.as_ref(),
        ];
        let cameras = view.reported.cameras.iter().map(|(name, _)| name);
        let texts: Vec<String> = texts
            .into_iter()
            .flatten()
            .chain(&machine.tags)
            .chain(cameras)
            .map(|text| text.to_lowercase())
            .collect();
        let words = self.search.to_lowercase();
        words.split_whitespace().all(|word| texts.iter().any(|text| text.contains(word)))
    }

    pub fn is_active(&self) -> bool {
        !self.search.is_empty() || !self.group.is_empty() || !self.tag.is_empty() || self.only_problems
    }

    /// The query of this search's page `page`.
    pub fn query(&self, page: usize) -> String {
        let show = if self.only_problems { "problems" } else { "" };
        let by = if self.by_tag { "tag" } else { "" };
        let fields = [
            ("q", self.search.as_str()),
            ("group", &self.group),
            ("tag", &self.tag),
            ("show", show),
            ("by", by),
        ];
        let mut query = format!("?page={page}");
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_page_has_every_filter() {
        let filter = FleetFilter {
            search: "tor & <b>".into(),
            group: "Böden".into(),
            tag: "a=b".into(),
            only_problems: true,
            by_tag: true,
            page: 2,
        };
        assert_eq!(
            filter.query(3),
            "?page=3&q=tor%20%26%20%3Cb%3E&group=B%C3%B6den&tag=a%3Db&show=problems&by=tag"
        );
        assert_eq!(FleetFilter::default().query(1), "?page=1");
    }
}
