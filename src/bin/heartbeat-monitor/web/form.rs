//! Fields of a form (`application/x-www-form-urlencoded`) or of an address.

use super::refusal::PageRefusal;
use heartbeat_daemon::http::Request;
use percent_encoding::percent_decode_str;

/// Fields of one form; the largest one has a field for each condition.
const MOST_FIELDS: usize = 256;

/// The fields, in the order in which they were sent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// The body of a POST.
    ///
    /// # Errors
    /// [`PageRefusal::Invalid`]: not UTF-8, or too many fields.
    pub fn of_body(request: &Request) -> Result<Form, PageRefusal> {
        let body = std::str::from_utf8(request.body()).map_err(|_| not_text())?;
        Form::parse(body)
    }

    /// The part of the address behind the question mark.
    ///
    /// # Errors
    /// [`PageRefusal::Invalid`]: not UTF-8, or too many fields.
    pub fn of_query(request: &Request) -> Result<Form, PageRefusal> {
        Form::parse(request.query().unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Form, PageRefusal> {
        let pairs: Vec<&str> = text.split('&').filter(|pair| !pair.is_empty()).collect();
        if pairs.len() > MOST_FIELDS {
            return Err(PageRefusal::Invalid("The form has too many fields.".into()));
        }
        let fields = pairs.into_iter().map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        Ok(Form { fields: fields.collect::<Result<_, PageRefusal>>()? })
    }

    /// The first field of this name, without spaces around it; empty if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.exact(name).trim()
    }

    /// The first field of this name as it was entered, for passwords.
    pub fn exact(&self, name: &str) -> &str {
        self.fields.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// [`Form::text`]; `None` if it is empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The names in a field, separated by commas.
    pub fn names(&self, name: &str) -> Vec<String> {
        names(self.text(name))
    }

    /// All fields of this name: the checked boxes of a group.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn decoded(text: &str) -> Result<String, PageRefusal> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| not_text())?;
    // Browsers send line breaks of a text area as CR LF.
    Ok(decoded.replace("\r\n", "\n"))
}

fn not_text() -> PageRefusal {
    PageRefusal::Invalid("The form is not UTF-8.".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_as_browsers_encode_them() {
        let form = Form::parse("name=+barn+2%C3%A4&tag=a&tag=b&text=x%0D%0Ay&empty=&alone").expect("valid");
        assert_eq!(form.text("name"), "barn 2ä");
        assert_eq!(form.exact("name"), " barn 2ä");
        assert_eq!(form.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(form.text("text"), "x\ny");
        assert_eq!((form.filled("empty"), form.filled("none")), (None, None));
        assert_eq!(form.exact("alone"), "");
    }

    #[test]
    fn a_form_that_is_no_text_or_too_large_is_refused() {
        Form::parse("a=%ff").expect_err("not UTF-8");
        Form::parse(&"a=1&".repeat(257)).expect_err("too many");
    }

    #[test]
    fn names_are_separated_by_commas_and_empty_ones_do_not_count() {
        assert_eq!(names("barn, north field,,"), ["barn", "north field"]);
        assert_eq!(names(" , "), Vec::<String>::new());
    }
}
