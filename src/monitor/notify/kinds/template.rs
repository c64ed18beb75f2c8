//! The template of a webhook's body: text with `{{ field }}`, whose values are escaped by the content type.
//!
//! There are no conditions and no loops: a value that is absent is empty. So a template is checked completely when it is
//! added, and no name can change what it says.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// Names of the options.
pub const TEMPLATE: &str = "template";
pub const CONTENT_TYPE: &str = "content_type";

pub const DEFAULT_CONTENT_TYPE: &str = "application/json";

/// Longest template, in bytes.
const LONGEST: usize = 16 * 1024;

/// What a template can name: paths into the JSON of a webhook, documented in docs/channels.md.
pub const FIELDS: [&str; 20] = [
    "event",
    "title",
    "message",
    "link",
    "delivery",
    "machine.id",
    "machine.name",
    "machine.hostname",
    "machine.description",
    "machine.status",
    "machine.last_seen",
    "machine.recovered_at",
    "condition.condition",
    "condition.subject",
    "condition.label",
    "condition.value",
    "condition.threshold",
    "condition.since",
    "severity",
    "acknowledge_url",
];

/// How a value is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EscapedAs {
    /// Inside a JSON string.
    Json,
    /// A value of a form.
    Form,
    /// HTML and XML, also inside an attribute.
    Markup,
    Text,
}

impl EscapedAs {
    /// By the content type without its parameters.
    fn of(content_type: &str) -> Option<EscapedAs> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Some(EscapedAs::Json),
            "application/x-www-form-urlencoded" => Some(EscapedAs::Form),
            "text/html" | "text/xml" | "application/xml" => Some(EscapedAs::Markup),
            "text/plain" => Some(EscapedAs::Text),
            other if other.ends_with("+json") => Some(EscapedAs::Json),
            _ => None,
        }
    }

    fn write(self, value: &str, body: &mut String) {
        match self {
            EscapedAs::Json => {
                let quoted = Value::from(value).to_string();
                body.push_str(quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default());
            }
            EscapedAs::Form => body.extend(utf8_percent_encode(value, NON_ALPHANUMERIC)),
            EscapedAs::Markup => value.chars().for_each(|c| match c {
                '&' => body.push_str("&amp;"),
                '<' => body.push_str("&lt;"),
                '>' => body.push_str("&gt;"),
                '"' => body.push_str("&quot;"),
                '\'' => body.push_str("&#39;"),
                c => body.push(c),
            }),
            EscapedAs::Text => body.push_str(value),
        }
    }
}

/// Checks the content type, which becomes a header.
pub fn check_content_type(content_type: &str) -> Result<(), String> {
    let is_plain = content_type.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    match is_plain && EscapedAs::of(content_type).is_some() {
        true => Ok(()),
        false => Err(format!(
            "\"{}\": the content type must be application/json (or one that ends with +json), \
             application/x-www-form-urlencoded, text/plain, text/html, text/xml or application/xml",
            content_type.escape_debug()
        )),
    }
}

/// Checks a template: its fields, and that it is JSON whatever their values are if it is to be JSON.
pub fn check_template(template: &str, content_type: &str) -> Result<(), String> {
    if template.len() > LONGEST {
        return Err(format!("the template has more than {LONGEST} bytes"));
    }
    let is_json = EscapedAs::of(content_type) == Some(EscapedAs::Json);
    for values in [hostile(), Value::Null] {
        let body = render(template, content_type, &values)?;
        let parsed = if is_json { serde_json::from_str::<Value>(&body).map(drop) } else { Ok(()) };
        parsed.map_err(|error| {
            format!(
                "the template is not JSON for every value ({error}): put quotes around each {{{{ field }}}}"
            )
        })?;
    }
    Ok(())
}

/// A value for each field, as the worst names have it.
fn hostile() -> Value {
    let evil = "\"\\\n\u{8}</script>&{{title}}\u{1F534}";
    let of = |fields: &[&str]| {
        fields.iter().map(|field| ((*field).to_owned(), Value::from(evil))).collect::<Value>()
    };
    let mut values = of(&["event", "title", "message", "link", "severity", "acknowledge_url"]);
    values["delivery"] = json!(-1);
    values["machine"] = of(&["name", "hostname", "description", "status", "last_seen", "recovered_at"]);
    values["machine"]["id"] = json!(1);
    values["condition"] = of(&["condition", "subject", "label", "since"]);
    values["condition"]["value"] = json!(-1.5);
    values["condition"]["threshold"] = json!(80.0);
    values
}

/// The body: the template with the fields of `values`.
///
/// # Errors
/// The template or the content type is not valid.
pub fn render(template: &str, content_type: &str, values: &Value) -> Result<String, String> {
    check_content_type(content_type)?;
    let escaped = EscapedAs::of(content_type).unwrap_or(EscapedAs::Text);
    let mut body = String::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once("{{") {
        body.push_str(text);
        let line = || template[..template.len() - after.len()].lines().count();
        let (field, after) = after
            .split_once("}}")
            .ok_or_else(|| format!("line {} of the template: \"{{{{\" without \"}}}}\"", line()))?;
        let field = field.trim();
        if !FIELDS.contains(&field) {
            let known = FIELDS.join(", ");
            let field = field.escape_debug();
            return Err(format!(
                "line {} of the template: unknown field \"{field}\"; known are {known}",
                line()
            ));
        }
        escaped.write(&value_of(field, values), &mut body);
        rest = after;
    }
    body.push_str(rest);
    Ok(body)
}

/// As text in one line, except the message; empty if it is absent.
fn value_of(field: &str, values: &Value) -> String {
    match values.pointer(&format!("/{}", field.replace('.', "/"))) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => {
            let is_kept = |c: char| !c.is_control() || (c == '\n' && field == "message");
            text.chars().map(|c| if is_kept(c) { c } else { ' ' }).collect()
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "\"}, \"admin\": true, \"x\": \"\\\r\n<script>&a=b{{link}}";

    fn rendered(template: &str, content_type: &str) -> String {
        let values = json!({ "title": EVIL, "message": "a\nb", "machine": { "id": 7, "name": EVIL } });
        render(template, content_type, &values).expect("a body")
    }

    #[test]
    fn a_hostile_name_is_one_value_in_every_content_type() {
        let json = rendered(r#"{"text": "{{title}}", "id": {{ machine.id }}}"#, "application/json");
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["text"], EVIL.replace("\r\n", "  "));
        assert_eq!((&json["id"], json.get("admin")), (&json!(7), None));
        let form =
            rendered("a={{title}}&id={{machine.id}}", "application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(form.matches(['&', '=']).count(), 3, "{form}");
        let markup = rendered("<p title=\"{{title}}\">{{machine.name}}</p>", "text/html");
        assert_eq!(markup.matches(['<', '>', '"']).count(), 6, "{markup}");
        let text = rendered("{{machine.name}}\n{{message}}", "text/plain");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("{{link}}"), "a value is no template: {text}");
    }

    #[test]
    fn every_field_is_known_and_an_absent_one_is_empty() {
        for field in FIELDS {
            let template = format!("[{{{{ {field} }}}}]");
            assert_eq!(render(&template, "text/plain", &Value::Null).as_deref(), Ok("[]"));
            assert_ne!(render(&template, "text/plain", &hostile()).as_deref(), Ok("[]"), "{field}");
        }
    }

    #[test]
    fn a_template_that_cannot_work_is_refused_with_its_line() {
        for (template, content_type, problem) in [
            ("a\n{{ machine.nam }}", "text/plain", "line 2 of the template: unknown field \"machine.nam\""),
            ("a\n\n{{ title", "text/plain", "line 3 of the template: \"{{\" without \"}}\""),
            ("{{}}", "text/plain", "unknown field \"\""),
            (r#"{"a": {{title}}}"#, "application/json", "is not JSON for every value"),
            // Absent for outages.
            (r#"{"a": {{condition.value}}}"#, "application/json", "is not JSON for every value"),
            (r#"{"a": "{{title}}""#, "application/cloudevents+json", "is not JSON for every value"),
            ("{{title}}", "image/png", "the content type must be"),
            ("{{title}}", "text/plain\r\nX: y", "the content type must be"),
            (&"x".repeat(LONGEST + 1), "text/plain", "more than 16384 bytes"),
        ] {
            let error = check_template(template, content_type).expect_err(problem);
            assert!(error.contains(problem), "{error}");
        }
        check_template(r#"{"a": "{{ title }}", "n": "{{condition.value}}"}"#, "application/json")
            .expect("valid");
        check_template("no field", "text/plain").expect("valid");
    }
}
