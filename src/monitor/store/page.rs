//! Lists that are read a page at a time.

/// A page of a growing list: the newest first, or from `after` on the oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    pub before: Option<i64>,
    pub after: Option<i64>,
}

/// The condition and the order of the query.
pub fn paged(id: &str, page: Page) -> (String, String) {
    let order = if page.after.is_some() { "" } else { " DESC" };
    let (after, before) = (page.after.unwrap_or(-1), page.before.unwrap_or(i64::MAX));
    (format!("{id} > {after} AND {id} < {before}"), format!("ORDER BY {id}{order}"))
}
