use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: ChannelCommand,
}

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { dir: tempfile::tempdir().expect("a directory") }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    fn try_to(&self, arguments: &[&str]) -> Result<String, String> {
        let words = std::iter::once("channel").chain(arguments.iter().copied());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let database = self.dir.path().join("monitor.db");
        run(line.command, &database, &Settings::default(), Moment(1_769_000_000_000))
            .map_err(|e| e.to_string())
    }

    fn say(&self, arguments: &[&str]) -> String {
        self.try_to(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }
}

#[test]
fn channels_of_every_kind_are_added_listed_and_removed_and_no_secret_is_shown() {
    let desk = Desk::new();
    let secret = desk.file("secret", "s3cret-in-a-file\n");
    let token = desk.file("bot", "123:ABC\n");
    desk.say(&["add", "webhook", "https://example.org/hook?key=hidden", "--secret-file", &secret]);
    desk.say(&["add", "telegram", "-1001234", "--bot-token-file", &token]);
    desk.say(&["add", "email", "ops@example.org"]);
    desk.say(&["add", "ntfy", "https://ntfy.sh/barn", "--token-file", &token]);
    for list in [desk.say(&["list"]), desk.say(&["list", "--json"])] {
        assert!(list.contains("-1001234") && list.contains("ops@example.org") && list.contains("everybody"));
        assert!(!list.contains("s3cret") && !list.contains("ABC") && !list.contains("hidden"), "{list}");
    }
    desk.say(&["disable", "2"]);
    assert!(desk.say(&["list"]).contains("disabled"));
    desk.say(&["enable", "2"]);
    assert!(!desk.say(&["list"]).contains("disabled"));
    for id in ["1", "2", "3", "4"] {
        desk.say(&["remove", id]);
    }
    assert!(desk.say(&["list"]).starts_with("no channels"));
}

#[test]
fn a_secret_that_is_made_here_stands_alone_on_the_last_line() {
    let desk = Desk::new();
    let said = desk.say(&["add", "webhook", "https://example.org/"]);
    let secret = said.lines().last().expect("a line");
    assert!(secret.len() >= 40 && !secret.contains(' '), "{said}");
    let store = Store::open_beside(&desk.dir.path().join("monitor.db"), Moment(0)).expect("a database");
    assert_eq!(store.channel(ChannelId(1)).expect("it").secret.as_deref(), Some(secret));
}

#[test]
fn no_option_takes_a_secret_itself() {
    let desk = Desk::new();
    assert!(desk.try_to(&["add", "webhook", "https://example.org/", "--secret", "x"]).is_err());
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    let desk = Desk::new();
    let empty = desk.file("empty", "\n");
    let cases: &[(&[&str], &str)] = &[
        (&["add", "webhook", "ftp://example.org/"], "must begin with https://"),
        (&["add", "webhook", "example.org"], "must begin with https://"),
        (&["add", "webhook", "https://user:pw@example.org/"], "user or password"),
        (&["add", "webhook", "https://example.org:99999/"], "from 1 to 65535"),
        (&["add", "webhook", "https://[2001:db8::1]:0/"], "from 1 to 65535"),
        (&["add", "webhook", "https://example.org/\n"], "\\n\": is not a URL"),
        (&["add", "ntfy", "https://ntfy.sh/"], "names no topic"),
        (&["add", "webhook", "https://example.org/", "--secret-file", &empty], "must hold one line"),
        (&["add", "webhook", "https://example.org/", "--secret-file", "/nonexistent"], "cannot be read"),
        (&["add", "telegram", "barn", "--bot-token-file", "/nonexistent"], "not a chat id"),
        (&["add", "telegram", "1", "--bot-token-file", "/nonexistent"], "cannot be read"),
        (&["add", "email", "nobody"], "not a mail address"),
        (&["add", "email", "a@b", "--recipient", "nobody"], "no recipient"),
        (&["test", "9"], "no channel 9"),
        (&["remove", "9"], "no channel 9"),
    ];
    for (arguments, said) in cases {
        let error = desk.try_to(arguments).expect_err(said);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    desk.say(&["add", "email", "a@b"]);
    assert!(desk.try_to(&["add", "email", "a@b"]).is_err_and(|error| error.contains("already")));
}

#[test]
fn a_test_that_does_not_arrive_says_why() {
    let desk = Desk::new();
    desk.say(&["add", "email", "a@example.org"]);
    let error = desk.try_to(&["test", "1"]).expect_err("there is no mail server");
    assert_eq!(error, "email channel 1: no mail server is configured: [smtp] is missing");
    desk.say(&["add", "webhook", "http://127.0.0.1:9/"]);
    let error = desk.try_to(&["test", "2"]).expect_err("it is private");
    assert!(error.contains("allow_private_webhooks"), "{error}");
}
