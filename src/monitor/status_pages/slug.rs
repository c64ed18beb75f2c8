//! A group's name in an address.

/// Instead of a name without letters and digits.
const NAMELESS: &str = "group";

/// Letters and digits in lower case; a hyphen for everything between them. Never contains an underscore, as secrets do.
pub fn slug(group: &str) -> String {
    let mut slug = String::new();
    let mut is_gap = false;
    for letter in group.chars().flat_map(char::to_lowercase) {
        match letter.is_alphanumeric() {
            true if is_gap && !slug.is_empty() => slug.extend(['-', letter]),
            true => slug.push(letter),
            false => {}
        }
        is_gap = !letter.is_alphanumeric();
    }
    if slug.is_empty() { NAMELESS.into() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_has_letters_and_digits_with_hyphens_between_them() {
        for (group, expected) in [
            ("barn", "barn"),
            ("North Field 2", "north-field-2"),
            ("  --Barn--  (old)/../x ", "barn-old-x"),
            ("Grange à foin", "grange-à-foin"),
            ("牛舎", "牛舎"),
            ("hbp_secret", "hbp-secret"),
            ("<script>", "script"),
            ("!?", "group"),
            ("", "group"),
        ] {
            assert_eq!(slug(group), expected, "{group}");
        }
    }
}
