//! Cuts a text to a receiver's limit, in the unit that the receiver counts.

/// The unit in which a receiver counts a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextUnit {
    /// Unicode scalar values.
    Characters,
    /// UTF-16 code units: a character outside the basic plane counts twice.
    Utf16,
    /// Bytes of UTF-8.
    Bytes,
    /// Bytes inside a JSON string, with its escapes.
    JsonBytes,
}

/// The longest text that a receiver accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimit {
    pub most: usize,
    pub unit: TextUnit,
}

/// Writes one character so that the receiver shows it as it is, and not as markup.
pub type Escape = fn(char, &mut String);

/// For receivers of plain text.
pub fn plain(c: char, text: &mut String) {
    text.push(c);
}

/// Marks the place where a text was cut.
const CUT: &str = "\n\u{2026}";

impl TextUnit {
    pub fn length(self, text: &str) -> usize {
        match self {
            TextUnit::Characters => text.chars().count(),
            TextUnit::Utf16 => text.encode_utf16().count(),
            TextUnit::Bytes => text.len(),
            TextUnit::JsonBytes => text.chars().map(json_length).sum(),
        }
    }
}

fn json_length(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

/// The escaped text and then `end` as it is, within the limit. The text is cut if both are too long together, and the end
/// is left out if it is too long alone.
pub fn fit(text: &str, end: &str, limit: TextLimit, escape: Escape) -> String {
    let TextLimit { most, unit } = limit;
    let mut whole = String::with_capacity(text.len() + end.len());
    text.chars().for_each(|c| escape(c, &mut whole));
    if unit.length(&whole) + unit.length(end) <= most {
        return whole + end;
    }
    let ends = [format!("{CUT}{end}"), CUT.to_owned()];
    let end = ends.iter().find(|end| unit.length(end) <= most).map_or("", String::as_str);
    let (mut cut, mut one) = (String::new(), String::new());
    let mut left = most - unit.length(end);
    for c in text.chars() {
        one.clear();
        // A whole escape sequence or nothing of it.
        escape(c, &mut one);
        let Some(rest) = left.checked_sub(unit.length(&one)) else { break };
        left = rest;
        cut.push_str(&one);
    }
    cut + end
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "\nhttps://x/";

    fn doubled(c: char, text: &mut String) {
        text.extend([c, c]);
    }

    #[test]
    fn a_text_is_cut_at_the_limit_of_its_unit_and_keeps_its_end() {
        let text = "\u{1F534}\u{fc}\"".repeat(100);
        for (unit, most) in [
            (TextUnit::Characters, 300 + LINK.len()),
            (TextUnit::Utf16, 400 + LINK.len()),
            (TextUnit::Bytes, 700 + LINK.len()),
            (TextUnit::JsonBytes, 800 + LINK.len() + 1),
        ] {
            let fitted = |most| fit(&text, LINK, TextLimit { most, unit }, plain);
            assert_eq!(fitted(most), format!("{text}{LINK}"), "{unit:?}");
            for most in [most - 1, most / 2, 40] {
                let cut = fitted(most);
                assert!(cut.ends_with(&format!("{CUT}{LINK}")), "{unit:?}: {cut}");
                let length = unit.length(&cut);
                assert!(length <= most && length + 5 > most, "{unit:?}: {length} of {most}");
            }
        }
    }

    #[test]
    fn an_escape_sequence_is_not_cut_and_counts() {
        for most in 0..40 {
            let cut = fit(&"ab".repeat(50), "", TextLimit { most, unit: TextUnit::Characters }, doubled);
            let kept = cut.strip_suffix(CUT).unwrap_or(&cut);
            assert!(kept.len() % 2 == 0 && cut.chars().count() <= most, "{cut}");
        }
    }

    #[test]
    fn an_end_that_does_not_fit_is_left_out() {
        let limit = TextLimit { most: 8, unit: TextUnit::Characters };
        assert_eq!(fit("0123456789", LINK, limit, plain), format!("012345{CUT}"));
        assert_eq!(fit("01", "", TextLimit { most: 1, unit: TextUnit::Bytes }, plain), "0");
    }

    #[test]
    fn json_bytes_are_those_of_the_encoder() {
        let text = "\"\\\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}\u{fc}\u{1F534}/<";
        let encoded = serde_json::to_string(text).expect("a string");
        assert_eq!(TextUnit::JsonBytes.length(text), encoded.len() - 2);
    }
}
