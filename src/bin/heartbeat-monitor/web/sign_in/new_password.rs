//! The two fields of a new password.

use crate::web::form::Form;
use heartbeat_daemon::monitor::accounts::password;

/// The new password of the fields `password` and `again`.
///
/// # Errors
/// One sentence: they differ, or the password is too short or easy to guess.
pub fn read_new(form: &Form, user: &str) -> Result<String, String> {
    let new = form.exact("password");
    if new != form.exact("again") {
        return Err("The two passwords differ.".into());
    }
    password::check(new, user)?;
    Ok(new.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use heartbeat_daemon::http::in_memory::MemoryClient;

    fn read(body: &str) -> Result<String, String> {
        let length = body.len();
        let request = format!("POST /welcome HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        let exchange = MemoryClient::default().exchange(request.as_bytes()).expect("a request");
        read_new(&Form::of_body(&exchange.request).expect("a form"), "adalovelace")
    }

    #[test]
    fn a_new_password_is_entered_twice_and_is_good() {
        assert_eq!(
            read("password=+correct+horse&again=+correct+horse"),
            Ok(" correct horse".into()),
            "as typed"
        );
        assert_eq!(
            read("password=correct+horse&again=correct+hors"),
            Err("The two passwords differ.".into())
        );
        assert!(read("password=short&again=short").is_err());
        assert!(read("password=adalovelace&again=adalovelace").is_err());
        assert!(read("").is_err());
    }
}
