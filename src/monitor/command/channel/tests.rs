use super::*;
use crate::monitor::command::parse::parse;
use crate::monitor::config::{SmtpConfig, SmtpSecurity};
use crate::monitor::machine::Description;
use crate::monitor::notify::choices::Selection;
use crate::monitor::notify::recipients::Preferences;
use crate::monitor::notify::target::check_service_reads;

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

    /// With a mail server, where nothing is sent to.
    fn try_to(&self, arguments: &[&str]) -> Result<String, String> {
        let smtp = SmtpConfig {
            host: "mail.invalid".into(),
            port: 25,
            security: SmtpSecurity::None,
            login: None,
            from: "heartbeat@example.org".into(),
            helo: None,
            ca_file: None,
        };
        self.try_with(&NotifySettings { smtp: Some(smtp), ..NotifySettings::default() }, arguments)
    }

    fn try_with(&self, settings: &NotifySettings, arguments: &[&str]) -> Result<String, String> {
        let command = parse(arguments)?;
        let database = self.dir.path().join("monitor.db");
        run(command, &database.into(), settings, Moment(1_769_000_000_000)).map_err(|e| e.to_string())
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.try_to(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }
}

#[test]
fn channels_of_every_kind_are_added_listed_and_removed_and_no_secret_is_shown() {
    let desk = Desk::new();
    let secret = desk.file("secret", "s3cret-in-a-file\n");
    let token = desk.file("bot", "123:ABC\n");
    desk.run(&["add", "webhook", "https://example.org/hook?key=hidden", "--secret-file", &secret]);
    desk.run(&["add", "telegram", "-1001234", "--bot-token-file", &token]);
    desk.run(&["add", "email", "ops@example.org"]);
    desk.run(&["add", "ntfy", "https://ntfy.sh/barn", "--token-file", &token]);
    for list in [desk.run(&["list"]), desk.run(&["list", "--json"])] {
        assert!(list.contains("-1001234") && list.contains("ops@example.org") && list.contains("everybody"));
        assert!(!list.contains("s3cret") && !list.contains("ABC") && !list.contains("hidden"), "{list}");
    }
    desk.run(&["disable", "2"]);
    assert!(desk.run(&["list"]).contains("disabled"));
    desk.run(&["enable", "2"]);
    assert!(!desk.run(&["list"]).contains("disabled"));
    for id in ["1", "2", "3", "4"] {
        desk.run(&["remove", id]);
    }
    assert!(desk.run(&["list"]).starts_with("no channels"));
}

#[test]
fn a_secret_url_is_read_from_a_file_and_a_channel_has_the_options_of_its_kind() {
    let desk = Desk::new();
    let url = desk.file("url", "https://hooks.slack.example/services/T0/B0/s3cret\n");
    let token = desk.file("bot", "123:ABC\n");
    desk.run(&["add", "slack", "#alerts", "--url-file", &url]);
    desk.run(&["add", "telegram", "-1", "--bot-token-file", &token, "--topic", "42", "--silent", "endings"]);
    let store =
        Store::open_beside(&desk.dir.path().join("monitor.db").into(), Moment(0)).expect("a database");
    let slack = store.channel(ChannelId(1)).expect("it");
    assert_eq!((slack.target.as_str(), slack.secret_file.as_deref()), ("#alerts", Some(url.as_str())));
    assert_eq!((slack.secret.as_ref(), slack.token.as_ref()), (None, None), "the secret stays in its file");
    let telegram = store.channel(ChannelId(2)).expect("it");
    assert_eq!(
        (telegram.options.get("topic"), telegram.options.get("silent")),
        (Some("42"), Some("endings"))
    );
    let listed = desk.run(&["list"]);
    assert!(listed.contains("#alerts") && !listed.contains("s3cret"), "{listed}");
}

#[test]
fn the_list_has_what_was_chosen_for_a_channel_and_of_a_template_only_that_there_is_one() {
    let desk = Desk::new();
    let token = desk.file("bot", "0123456789abcdefghijABCDEFGHIJ\n");
    let bot = desk.file("telegram", "123:ABC\n");
    let body = desk.file("body", "{\"key\": \"s3cret\", \"a\": \"{{title}}\"}");
    desk.run(&["add", "telegram", "-1", "--bot-token-file", &bot, "--topic", "42", "--silent", "endings"]);
    desk.run(&["add", "webhook", "https://example.org/hook", "--template-file", &body]);
    let api = ["--api", "https://pushover.example/x?key=s3cret"];
    let user = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG";
    desk.run(&[&["add", "pushover", user, "--token-file", &token][..], &api].concat());
    desk.run(&["add", "email", "ops@example.org"]);
    let listed = desk.run(&["list"]);
    for shown in ["topic 42, silent endings", " template ", "api https://pushover.example/x?..."] {
        assert!(listed.contains(shown), "{shown}: {listed}");
    }
    assert!(!listed.contains("s3cret"), "{listed}");
    let json: Value = serde_json::from_str(&desk.run(&["list", "--json"])).expect("JSON");
    assert_eq!(json[0]["options"], json!({ "topic": "42", "silent": "endings" }));
    assert_eq!((&json[1]["options"], &json[3]["options"]), (&json!({ "template": true }), &json!({})));
    assert_eq!(json[2]["options"]["api"], "https://pushover.example/x?...");
}

#[test]
fn a_template_is_copied_into_the_database_and_a_wrong_one_is_refused() {
    let desk = Desk::new();
    let url = "https://example.org/hook";
    for (template, more, problem) in [
        ("{\"a\": {{title}}}", &[][..], "is not JSON for every value"),
        ("{{ machine.nam }}", &["--content-type", "text/plain"], "unknown field \"machine.nam\""),
        ("{{ title", &["--content-type", "text/plain"], "line 1 of the template"),
        ("{{ title }}", &["--content-type", "image/png"], "the content type must be"),
    ] {
        let file = desk.file("body", template);
        let error = desk.try_to(&[&["add", "webhook", url, "--template-file", &file], more].concat());
        let error = error.expect_err(problem);
        assert!(error.contains(problem), "{error}");
    }
    let error =
        desk.try_to(&["add", "webhook", url, "--content-type", "text/plain"]).expect_err("no template");
    assert!(error.contains("needs a template"), "{error}");
    let error =
        desk.try_to(&["add", "webhook", url, "--template-file", "/nonexistent"]).expect_err("no file");
    assert!(error.contains("cannot read /nonexistent"), "{error}");
    assert!(desk.run(&["list"]).starts_with("no channels"), "nothing was added");
    let file = desk.file("body", "{\"a\": \"{{title}}\"}");
    desk.run(&["add", "webhook", url, "--template-file", &file]);
    let store =
        Store::open_beside(&desk.dir.path().join("monitor.db").into(), Moment(0)).expect("a database");
    let options = store.channel(ChannelId(1)).expect("it").options;
    assert_eq!(options.get("template"), Some("{\"a\": \"{{title}}\"}"));
}

#[test]
fn a_wrong_secret_url_is_refused_without_showing_it() {
    let desk = Desk::new();
    for (url, problem) in [
        ("hooks.slack.example/s3cret", "the webhook URL: "),
        ("https://u:s3cret@hooks.slack.example/", "the webhook URL: must not contain a user or password"),
        ("http://127.0.0.1:9/s3cret", "127.0.0.1 is not a public address"),
        ("", "must hold one line"),
    ] {
        let file = desk.file("url", url);
        let error = desk.try_to(&["add", "slack", "#alerts", "--url-file", &file]).expect_err(url);
        assert!(error.contains(problem) && !error.contains("s3cret"), "{url}: {error}");
    }
    let retired = desk.file("url", "https://farm.webhook.office.com/webhookb2/s3cret");
    let error = desk.try_to(&["add", "teams", "Alerts", "--url-file", &retired]).expect_err("a connector");
    assert!(error.contains("make a workflow") && !error.contains("s3cret"), "{error}");
    assert!(desk.run(&["list"]).starts_with("no channels"), "nothing was added");
}

#[test]
fn each_kind_has_help_and_no_option_for_a_secret_itself() {
    for kind in crate::monitor::notify::channel::KINDS {
        let help = parse::<ChannelCommand>(&["add", kind.name(), "--help"]).expect_err("help");
        let known = crate::monitor::notify::kinds::descriptor(kind);
        for part in [known.target.value, "--recipient"] {
            assert!(help.contains(part), "{}: {help}", kind.name());
        }
        for secret in ["--token ", "--secret ", "--url ", "--key "] {
            assert!(!help.contains(secret), "{}: {help}", kind.name());
        }
    }
}

#[test]
fn a_channel_of_a_recipient_without_machines_is_listed_with_a_warning() {
    let desk = Desk::new();
    let store =
        Store::open_beside(&desk.dir.path().join("monitor.db").into(), Moment(0)).expect("a database");
    let barn = Description { name: "barn".into(), ..Description::default() };
    store.add_machine(&barn, Moment(0)).expect("added");
    let only = Selection::Only { machines: vec!["barn".into()], groups: Vec::new(), tags: Vec::new() };
    store.add_recipient("anna", &only, &Preferences::default(), Moment(0)).expect("added");
    desk.run(&["add", "--recipient", "anna", "email", "anna@example.org"]);
    assert!(!desk.run(&["list"]).contains("warning"));
    store.remove_machine("barn", Moment(0)).expect("removed");
    let list = desk.run(&["list"]);
    assert!(list.contains("warning: anna: no machine matches the choice, so nothing is sent"), "{list}");
    assert!(desk.run(&["list", "--json"]).contains("so nothing is sent"));
}

#[test]
fn a_generated_secret_is_alone_on_the_last_line() {
    let desk = Desk::new();
    let said = desk.run(&["add", "webhook", "https://example.org/"]);
    let secret = said.lines().last().expect("a line");
    assert!(secret.len() >= 40 && !secret.contains(' '), "{said}");
    let store =
        Store::open_beside(&desk.dir.path().join("monitor.db").into(), Moment(0)).expect("a database");
    assert_eq!(store.channel(ChannelId(1)).expect("it").secret.as_deref(), Some(secret));
}

#[test]
fn no_option_accepts_a_secret() {
    let desk = Desk::new();
    assert!(desk.try_to(&["add", "webhook", "https://example.org/", "--secret", "x"]).is_err());
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    let desk = Desk::new();
    let (empty, token) = (desk.file("empty", "\n"), desk.file("token", "1:a\n"));
    let cases: &[(&[&str], &str)] = &[
        (&["add", "webhook", "ftp://example.org/"], "must begin with https://"),
        (&["add", "webhook", "example.org"], "must begin with https://"),
        (&["add", "webhook", "https://user:pw@example.org/"], "user or password"),
        (&["add", "webhook", "https://example.org:99999/"], "from 1 to 65535"),
        (&["add", "webhook", "https://[2001:db8::1]:0/"], "from 1 to 65535"),
        (&["add", "webhook", "https://example.org/\n"], "\\n\": not a URL"),
        (&["add", "ntfy", "https://ntfy.sh/"], "has no topic"),
        (&["add", "webhook", "https://example.org/", "--secret-file", &empty], "must hold one line"),
        (&["add", "webhook", "https://example.org/", "--secret-file", "/nonexistent"], "cannot read"),
        (&["add", "telegram", "barn", "--bot-token-file", "/nonexistent"], "not a chat id"),
        (&["add", "telegram", "1", "--bot-token-file", "/nonexistent"], "cannot read"),
        (&["add", "telegram", "1", "--bot-token-file", &empty, "--topic", "x"], "must hold one line"),
        (&["add", "telegram", "1", "--bot-token-file", &token, "--topic", "0"], "not the number of a topic"),
        (&["add", "telegram", "1", "--bot-token-file", &token, "--silent", "x"], "neither \"endings\" nor"),
        (&["add", "slack", "#alerts"], "--url-file"),
        (&["add", "slack", "", "--url-file", &token], "one line of 1 to 100 characters"),
        (
            &["add", "matrix", "#barn:example.org", "--server", "https://m", "--token-file", &token],
            "internal id",
        ),
        (&["add", "matrix", "!barn:example.org", "--token-file", &token], "--server"),
        (&["add", "matrix", "!barn:example.org", "--server", "m", "--token-file", &token], "must begin with"),
        (&["add", "pagerduty", "Farm", "--routing-key-file", &token], "has 32 letters and digits"),
        (&["add", "pushover", "short", "--token-file", &token], "not a user key"),
        (&["add", "email", "nobody"], "not a mail address"),
        (&["add", "email", "a@b", "--recipient", "nobody"], "no recipient"),
        (&["test", "9"], "no channel 9"),
        (&["remove", "9"], "no channel 9"),
    ];
    for (arguments, said) in cases {
        let error = desk.try_to(arguments).expect_err(said);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    desk.run(&["add", "email", "a@b"]);
    assert!(desk.try_to(&["add", "email", "a@b"]).is_err_and(|error| error.contains("already")));
}

#[test]
fn a_private_address_is_refused_in_every_spelling_unless_it_is_allowed() {
    let desk = Desk::new();
    let urls = [
        "http://127.0.0.1:9/hook",
        "http://10.0.0.7/hook",
        "http://[::1]/hook",
        "http://[::ffff:192.168.1.1]/hook",
        "http://localhost:9/hook",
        "http://127.1/hook",
    ];
    for url in urls {
        for kind in ["webhook", "ntfy"] {
            let error = desk.try_to(&["add", kind, url]).expect_err(url);
            assert!(error.contains("is not a public address"), "{error}");
            assert!(error.contains("allow_private_webhooks = true in [notify]"), "{error}");
        }
    }
    assert!(desk.run(&["list"]).starts_with("no channels"), "nothing was added");
    let allowing = NotifySettings { allow_private_webhooks: true, ..NotifySettings::default() };
    for url in urls {
        desk.try_with(&allowing, &["add", "webhook", url]).expect(url);
    }
}

/// Root alone can try what another user may read.
#[test]
fn a_secret_file_that_the_services_user_cannot_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let desk = Desk::new();
    let token = desk.file("bot", "123:ABC\n");
    let mode = |path: &str, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode(desk.dir.path().to_str().expect("UTF-8"), 0o755);
    mode(&token, 0o600);
    let error = check_service_reads(&token, Some("nobody")).expect_err("it is root's");
    assert!(error.contains(&token) && error.contains("as the service's user nobody"), "{error}");
    assert!(!error.contains("ABC"), "{error}");
    mode(&token, 0o644);
    assert_eq!(check_service_reads(&token, Some("nobody")), Ok(()));
    assert!(rustix::process::geteuid().is_root(), "this thread keeps its user");
}

#[test]
fn a_name_that_cannot_be_resolved_now_is_accepted() {
    Desk::new().run(&["add", "ntfy", "https://ntfy.invalid/topic"]);
}

#[test]
fn a_mail_channel_is_refused_while_no_mail_server_is_configured() {
    let desk = Desk::new();
    let error =
        desk.try_with(&NotifySettings::default(), &["add", "email", "a@example.org"]).expect_err("no [smtp]");
    assert_eq!(error, "no mail server is configured: set host and from in [smtp] first");
    assert!(desk.run(&["list"]).starts_with("no channels"), "nothing was added");
}

#[test]
fn a_failed_test_message_shows_the_reason() {
    let desk = Desk::new();
    desk.run(&["add", "email", "a@example.org"]);
    let error = desk.try_with(&NotifySettings::default(), &["test", "1"]).expect_err("[smtp] was removed");
    assert_eq!(error, "email channel 1: no mail server is configured in [smtp]");
    let allowing = NotifySettings { allow_private_webhooks: true, ..NotifySettings::default() };
    desk.try_with(&allowing, &["add", "webhook", "http://127.0.0.1:9/"]).expect("allowed");
    let error = desk.try_to(&["test", "2"]).expect_err("it is allowed no longer");
    assert!(error.contains("allow_private_webhooks"), "{error}");
}
