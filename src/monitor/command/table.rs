//! Columns for people; programs take `--json`.

use crate::clock::Moment;
use std::time::Duration;

/// Rows under their titles, each column as wide as its widest cell; the last one is not filled up.
pub fn table<const COLUMNS: usize>(titles: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let mut widths = titles.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let titles = titles.map(str::to_owned);
    let lines = std::iter::once(&titles).chain(rows).map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  "));
        cells.collect::<String>().trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// In the largest unit that says something: `12s`, `3m`, `26h`, `5d`.
pub fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// `26h ago`, or a dash.
pub fn ago(then: Option<Moment>, now: Moment) -> String {
    then.map_or_else(|| "-".into(), |then| format!("{} ago", rough(now.since(then))))
}

/// A cell of what may be missing.
pub fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_in_characters() {
        let rows = [["1".into(), "Хлев".into(), "x".into()], ["10".into(), "a".into(), String::new()]];
        assert_eq!(table(["ID", "NAME", "GROUP"], &rows), "ID  NAME  GROUP\n1   Хлев  x\n10  a");
        assert_eq!(table(["ID"], &[]), "ID");
    }

    #[test]
    fn an_age_is_said_in_one_unit() {
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (172_800, "2d")] {
            assert_eq!(rough(Duration::from_secs(seconds)), text);
        }
        assert_eq!(ago(None, Moment(0)), "-");
        assert_eq!(ago(Some(Moment(5_000)), Moment(0)), "0s ago", "the clock was set back");
    }
}
