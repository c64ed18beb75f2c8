//! Why a value is missing.

pub struct SourceReport;

pub fn render(_reports: &[SourceReport]) -> String {
    String::new()
}
