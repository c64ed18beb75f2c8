//! Users on the pages: roles, limits, and who may change them.

use crate::support::browser::{Browser, PASSWORD, field};
use crate::support::monitor::{Answer, Plan};

fn location(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("Location").unwrap_or_default())
}

/// The link that a page shows.
#[track_caller]
fn link(page: &str) -> String {
    let link = page.split_once("<pre id=\"link\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    link.unwrap_or_else(|| panic!("no link: {page}")).0.to_owned()
}

/// The number of the user, by the list.
#[track_caller]
fn number(page: &str, name: &str) -> String {
    let links = page.split("settings/users/").filter_map(|rest| rest.split_once("\">"));
    let found = links.into_iter().find(|(_, rest)| rest.starts_with(&format!("{name}</a>")));
    found.unwrap_or_else(|| panic!("no {name}: {page}")).0.to_owned()
}

#[test]
fn an_owner_adds_a_user_who_signs_in_with_the_link() {
    let monitor = Plan::new().key("web.public_url", "https://heart.example/x/").start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let add = |ada: &mut Browser, current: &str| {
        let fields = [
            ("name", "bob"),
            ("role", "operator"),
            ("groups", "barn, mill"),
            ("tags", "camera"),
            ("current", current),
        ];
        ada.post("/settings/users", &fields)
    };
    assert_eq!(add(&mut ada, "wrong horse battery").status, 403);
    assert!(!ada.get("/settings/users").body.contains("bob"), "nothing was changed");
    let shown = link(&add(&mut ada, PASSWORD).body);
    let token = shown.strip_prefix("https://heart.example/x/welcome?link=").expect("absolute");
    let list = ada.get("/settings/users").body;
    assert!(list.contains("group barn, group mill, tag camera") && !list.contains(token), "{list}");
    let mut bob = Browser::new(&monitor);
    let fields = [("link", token), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(location(&bob.post("/welcome", &fields)), (303, "./"));
    assert_eq!(bob.get("/account").status, 200);
    assert_eq!(add(&mut ada, PASSWORD).status, 400, "the name is taken");
}

#[test]
fn only_owners_see_and_change_users() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let id = number(&ada.get("/settings/users").body, "ada");
    let user = format!("/settings/users/{id}");
    for role in ["viewer", "operator"] {
        let mut other = Browser::signed_up(&monitor, role, role, &[]);
        for path in ["/settings/users", &user, "/settings/users/99"] {
            assert_eq!(other.get(path).status, 403, "{role} {path}");
            for action in ["change", "link", "sign-out", "totp-off", "remove"] {
                let fields = [("action", action), ("role", "owner"), ("name", "eve"), ("current", PASSWORD)];
                assert_eq!(other.post(path, &fields).status, 403, "{role} {path} {action}");
            }
        }
    }
    let mut stranger = Browser::new(&monitor);
    assert_eq!(location(&stranger.get("/settings/users")), (303, "../login?next=settings/users"));
    assert_eq!(stranger.post(&user, &[("action", "remove"), ("current", PASSWORD)]).status, 303);
    assert_eq!(monitor.plan().says(&["user", "list"]).lines().count(), 4, "nothing was changed");
}

#[test]
fn role_limits_link_sign_out_and_removal_need_the_owners_password() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let mut bob = Browser::signed_up(&monitor, "bob", "viewer", &["--group", "barn"]);
    let path = format!("/settings/users/{}", number(&ada.get("/settings/users").body, "bob"));
    let page = ada.get(&path).body;
    assert_eq!(field(&page, "groups"), "barn");
    let act = |ada: &mut Browser, fields: &[(&str, &str)], password: &str| {
        let fields: Vec<_> = fields.iter().copied().chain([("current", password)]).collect();
        ada.post(&path, &fields)
    };
    let changes: [&[(&str, &str)]; 5] = [
        &[("action", "change"), ("role", "operator"), ("tags", "camera")],
        &[("action", "link")],
        &[("action", "sign-out")],
        &[("action", "totp-off")],
        &[("action", "remove")],
    ];
    for fields in changes {
        assert_eq!(act(&mut ada, fields, "wrong horse battery").status, 403, "{fields:?}");
    }
    assert_eq!(bob.get("/account").status, 200, "nothing was changed");
    assert_eq!(act(&mut ada, changes[0], PASSWORD).status, 303);
    assert!(ada.get(&path).body.contains("operator, limited to tag camera."));
    assert_eq!(bob.get("/account").status, 303, "a new role signs out");
    assert!(link(&act(&mut ada, changes[1], PASSWORD).body).starts_with("http://ADDRESS/welcome?link=hbi_"));
    assert_eq!(bob.sign_in("bob", PASSWORD).status, 303);
    assert_eq!(act(&mut ada, changes[2], PASSWORD).status, 303);
    assert_eq!(bob.get("/account").status, 303);
    let owner = [("action", "change"), ("role", "owner"), ("groups", "barn")];
    assert!(act(&mut ada, &owner, PASSWORD).body.contains("cannot be limited"));
    assert_eq!(act(&mut ada, &[("action", "other")], PASSWORD).status, 400);
    assert_eq!(location(&act(&mut ada, changes[4], PASSWORD)), (303, "../../settings/users?done=1"));
    assert_eq!(ada.get(&path).status, 404);
    assert_eq!(act(&mut ada, changes[1], PASSWORD).status, 404);
}

#[test]
fn the_last_owner_stays_one() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let path = format!("/settings/users/{}", number(&ada.get("/settings/users").body, "ada"));
    for fields in [&[("action", "remove")][..], &[("action", "change"), ("role", "viewer")]] {
        let fields: Vec<_> = fields.iter().copied().chain([("current", PASSWORD)]).collect();
        let refused = ada.post(&path, &fields);
        assert_eq!(refused.status, 400);
        assert!(refused.body.contains("no other owner could sign in"), "{}", refused.body);
    }
}

#[test]
fn a_name_is_shown_as_text_wherever_it_appears() {
    let monitor = Plan::new().start();
    let name = "<img src=x onerror=alert(1)>";
    let mut ada = Browser::signed_up(&monitor, name, "owner", &[]);
    let list = ada.get("/settings/users").body;
    let id =
        list.split_once("settings/users/").expect("a link").1.split_once('"').expect("its end").0.to_owned();
    let mut pages = vec![list, ada.get("/").body, ada.get("/account").body];
    pages.push(ada.get(&format!("/settings/users/{id}")).body);
    pages.push(ada.post("/account", &[("action", "totp")]).body);
    let fields = [("action", "link"), ("current", PASSWORD)];
    pages.push(ada.post(&format!("/settings/users/{id}"), &fields).body);
    for page in pages {
        assert!(!page.contains("<img src=x") && page.contains("&#60;img src=x"), "{page}");
    }
}

#[test]
fn the_audit_log_says_who_changed_what_from_where() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let path = format!("/settings/users/{}", number(&ada.get("/settings/users").body, "ada"));
    assert_eq!(Browser::new(&monitor).sign_in("ada", "wrong horse battery").status, 401);
    for _ in 0..60 {
        let link = [("action", "link"), ("current", PASSWORD)];
        assert_eq!(ada.post(&path, &link).status, 200);
        assert_eq!(ada.post("/account", &[("action", "end-others")]).status, 303);
    }
    let newest = ada.audit_log("");
    assert_eq!(newest.matches("<tr><td>").count(), 100);
    let row = "<td>ada</td><td>127.0.0.1</td><td>user.invite</td><td>ada</td>";
    assert_eq!(newest.matches(row).count(), 50, "{newest}");
    let older =
        newest.split_once("settings/audit?").expect("an older page").1.split_once('"').expect("its end").0;
    let oldest = ada.audit_log(&format!("?{older}"));
    for row in [
        "<td>command line</td><td>this server</td><td>user.add</td><td>ada</td><td>owner</td>",
        "<td>ada</td><td>127.0.0.1</td><td>user.password</td><td>ada</td>",
        "<td>ada</td><td>127.0.0.1</td><td>login</td><td>ada</td><td>with a link</td>",
        "<td>not signed in</td><td>127.0.0.1</td><td>login.failed</td><td>ada</td><td>a wrong password</td>",
    ] {
        assert!(oldest.contains(row), "{row} in {oldest}");
    }
    assert!(!oldest.contains("Older") && !oldest.contains("hbi_") && !oldest.contains(PASSWORD));
}

#[test]
fn changes_by_command_are_in_the_audit_log_too_and_lists_and_refused_ones_are_not() {
    let monitor = Plan::new().start();
    for command in [
        &["machine", "add", "gate"][..],
        &["machine", "pause", "gate", "--for", "2h"],
        &["recipient", "add", "farm"],
        &["condition", "off", "wifi"],
        &["enroll", "add", "--uses", "5"],
        &["token", "add", "grafana"],
        &["machine", "list"],
        &["recipient", "list"],
    ] {
        monitor.plan().says(command);
    }
    assert!(!monitor.plan().run(&["machine", "remove", "nothing"]).status.success());
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let log = ada.audit_log("");
    for (action, subject) in [
        ("machine.add", "gate"),
        ("machine.pause", "gate"),
        ("recipient.add", "farm"),
        ("condition.off", "wifi"),
        ("enroll.add", ""),
        ("token.add", "grafana"),
    ] {
        let row = format!("<td>command line</td><td>this server</td><td>{action}</td><td>{subject}</td>");
        assert_eq!(log.matches(&row).count(), 1, "{row} in {log}");
    }
    assert!(!log.contains("list") && !log.contains("machine.remove"), "{log}");
}

#[test]
fn the_settings_lead_to_what_the_role_permits() {
    let monitor = Plan::new().start();
    for (role, permitted) in [("viewer", 1), ("operator", 1), ("owner", 3)] {
        let mut browser = Browser::signed_up(&monitor, role, role, &[]);
        let page = browser.get("/settings").body;
        let links = page.split("<th scope=\"row\"><a href=\"./").skip(1);
        let paths: Vec<_> = links.map(|rest| rest.split_once('"').expect("its end").0.to_owned()).collect();
        assert!(paths.len() >= permitted, "{role}: {paths:?}");
        for path in paths {
            assert_eq!(browser.get(&format!("/{path}")).status, 200, "{role} {path}");
        }
    }
}
