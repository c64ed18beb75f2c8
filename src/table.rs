//! Columns for a terminal; programs read `--json` instead.

/// Rows below their titles. Each column is as wide as its widest cell, counted in characters without ANSI colours; the
/// last column is not padded.
pub fn table<const COLUMNS: usize>(titles: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let titles = titles.map(str::to_owned);
    let mut widths = [0; COLUMNS];
    for row in std::iter::once(&titles).chain(rows) {
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = (*column).max(width(cell));
        }
    }
    let lines = std::iter::once(&titles).chain(rows).map(|row| {
        let cells = row.iter().zip(widths);
        let padded = cells.map(|(cell, column)| format!("{cell}{:1$}  ", "", column - width(cell)));
        padded.collect::<String>().trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Characters that take space on the terminal: all but colours (`ESC [ .. m`).
fn width(cell: &str) -> usize {
    let mut in_colour = false;
    let shown = cell.chars().filter(|c| {
        let was_in_colour = in_colour;
        in_colour = *c == '\x1b' || in_colour && *c != 'm';
        !in_colour && !was_in_colour
    });
    shown.count()
}

/// A cell whose value may be missing.
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
    fn a_colour_has_no_width() {
        let rows = [["\x1b[32mup\x1b[0m".into(), "eth0".into()], ["m\x1b[31md".into(), "wlan0".into()]];
        assert_eq!(table(["", "NAME"], &rows), "    NAME\n\x1b[32mup\x1b[0m  eth0\nm\x1b[31md  wlan0");
    }
}
