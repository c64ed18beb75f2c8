//! Patterns of hostnames: `*` stands for any text, and case does not matter, as in DNS.

/// Whether the whole of `name` is what `pattern` describes.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    // Where the last star stands, and what it stood for: only that one has to be tried again, so that a hostile name
    // costs the product of both lengths at most.
    let (mut star, mut tried) = (None, 0);
    let (mut p, mut n) = (0, 0);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                (star, tried) = (Some(p), n);
                p += 1;
            }
            Some(c) if c.eq_ignore_ascii_case(&name[n]) => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some(at) => {
                    tried += 1;
                    (p, n) = (at + 1, tried);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_text_and_case_is_ignored() {
        for (pattern, name, is_match) in [
            ("cam-*", "cam-gate", true),
            ("cam-*", "CAM-", true),
            ("cam-*", "webcam-1", false),
            ("*cam*", "webcam-1", true),
            ("*cam*", "can", false),
            ("gate", "Gate", true),
            ("gate", "gate2", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_and_name_match_quickly() {
        let name = "a".repeat(63);
        assert!(!matches(&"*a".repeat(31).replace("*a*a", "*a*a*b"), &name));
    }
}
