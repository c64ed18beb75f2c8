//! The state of a group as a small picture for other sites and for documents.

use super::board::StatusBoard;
use askama::Template;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::status_pages::shown::StateCounts;

const SVG: &str = "image/svg+xml";

/// Width of a character of 11 pixels, on average, in tenths of a pixel; the text is stretched to the sum.
const LATIN: usize = 65;
/// Of a character beyond the Latin, Greek and Cyrillic letters, most of which are as wide as they are high.
const WIDE: usize = 110;
/// At both ends of a text.
const MARGIN: usize = 6;

#[derive(Template)]
#[template(path = "badge.svg")]
struct Badge<'a> {
    name: &'a str,
    state: String,
    colour: &'static str,
    /// Widths of the texts, in pixels.
    name_width: usize,
    state_width: usize,
}

impl Badge<'_> {
    fn left(&self) -> usize {
        self.name_width + 2 * MARGIN
    }

    fn right(&self) -> usize {
        self.state_width + 2 * MARGIN
    }

    fn margin(&self) -> usize {
        MARGIN
    }
}

pub fn render(board: &StatusBoard) -> Response {
    let state = board.counts.brief();
    let name = &board.page.group;
    let badge = Badge {
        name_width: width(name),
        state_width: width(&state),
        colour: colour(board.counts),
        name,
        state,
    };
    match badge.render() {
        Ok(text) => Response::new(200).body(SVG, text.into_bytes()),
        Err(error) => {
            log::error!("cannot render a badge: {error}");
            Response::error(500, "this badge cannot be rendered")
        }
    }
}

/// White text on them has a contrast of more than 4.5.
fn colour(counts: StateCounts) -> &'static str {
    match counts {
        StateCounts { down: 1.., .. } => "#b3261e",
        StateCounts { up: 1.., .. } => "#3f6b4c",
        StateCounts { maintenance: 1.., .. } => "#8a5a00",
        _ => "#6b6862",
    }
}

/// In pixels.
fn width(text: &str) -> usize {
    text.chars().map(|letter| if letter < '\u{530}' { LATIN } else { WIDE }).sum::<usize>().div_ceil(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_wide_as_its_characters() {
        assert_eq!((width("barn"), width("牛舎"), width("")), (26, 22, 0));
    }

    #[test]
    fn the_colour_is_that_of_the_worst_state() {
        let counts = |down, up, maintenance, unknown| StateCounts { down, up, maintenance, unknown };
        for (counts, expected) in [
            (counts(1, 9, 9, 9), "#b3261e"),
            (counts(0, 1, 9, 9), "#3f6b4c"),
            (counts(0, 0, 1, 9), "#8a5a00"),
            (counts(0, 0, 0, 0), "#6b6862"),
        ] {
            assert_eq!(colour(counts), expected);
        }
    }
}
