//! How the pages look: contrast in both colour schemes, a phone's width, and pictures.

use crate::bed::{DESK, Desk, PHONE};
use crate::scene::{PAGES, Scene};
use crate::support::axe::Axe;
use crate::support::browser::{Browser as Client, PASSWORD};
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::accounts::totp::TotpSecret;
use serde_json::Value;

/// The texts of the page that are shown on a ground from which they differ by less than 4.5:1 (WCAG 2.2, 1.4.3).
const FAINT_TEXTS: &str = include_str!("contrast.js");

/// What is wider than the screen, other than within an element that scrolls.
const WIDE: &str = r#"(() => {
  if (document.documentElement.scrollWidth <= innerWidth) return [];
  const wide = [...document.querySelectorAll("body *")].filter((it) => it.getBoundingClientRect().right > innerWidth + 1);
  return wide.map((it) => `${it.tagName}.${it.className.baseVal ?? it.className} ${it.textContent.trim().slice(0, 40)}`).slice(0, 5);
})()"#;

/// Opens each page in both colour schemes and on a phone, and calls `look` with the page's name and the kind of screen.
pub fn each_look(scene: &mut Scene, mut look: impl FnMut(&mut Desk, &str, &str)) {
    for (screen, width, scheme) in
        [("light", DESK, "light"), ("dark", DESK, "dark"), ("phone", PHONE, "light")]
    {
        scene.bed.desk.resize(width);
        scene.bed.desk.prefers(scheme);
        for (name, path) in PAGES {
            scene.beat();
            scene.bed.open(path);
            look(&mut scene.bed.desk, name, screen);
        }
        scene.bed.open("/machines/add");
        scene.bed.desk.fill("name", &format!("barn-{screen}"));
        scene.bed.desk.follow("button.main");
        look(&mut scene.bed.desk, "added-machine", screen);
        scene.bed.open("/machines/5");
        scene.bed.desk.follow("form[action$=token] button");
        look(&mut scene.bed.desk, "new-token", screen);
        scene.bed.open("/channels?kind=telegram&recipient=Farm+team");
        look(&mut scene.bed.desk, "new-channel", screen);
        scene.bed.desk.fill("secret", "123456:ABC-DEF_ghi");
        scene.bed.desk.follow("[formaction$=chats]");
        look(&mut scene.bed.desk, "find-chat", screen);
        second_factor(scene, screen, &mut look);
        // Pages for everyone.
        scene.bed.desk.forget_cookies();
        let welcome = scene.welcome.clone();
        for (name, path) in [("sign-in", "/login"), ("welcome", &*welcome)] {
            scene.bed.open(path);
            look(&mut scene.bed.desk, name, screen);
        }
        scene.bed.sign_in();
    }
}

/// Everything that a user with a second factor sees, as another user: it ends all sessions.
fn second_factor(scene: &mut Scene, screen: &str, look: &mut impl FnMut(&mut Desk, &str, &str)) {
    let name = format!("eve-{screen}");
    let user = Client::signed_up(&scene.bed.monitor, &name, "owner", &[]);
    let session = user.cookie("heartbeat_session").expect("a session");
    scene.bed.desk.set_cookie(&scene.bed.monitor.url("/"), "heartbeat_session", session);
    scene.bed.open("/account");
    let desk = &mut scene.bed.desk;
    desk.follow("form:has([value=totp]) button");
    look(desk, "second-factor", screen);
    let secret = desk.value("document.querySelector('[name=secret]').value");
    let secret = TotpSecret::from_base32(secret.as_str().expect("a secret")).expect("a secret");
    desk.fill("code", &secret.code_at(Moment::now()));
    desk.fill("current", PASSWORD);
    desk.follow("form:has([name=code]) button");
    look(desk, "recovery-codes", screen);
    desk.follow("a.act");
    desk.follow(".who button");
    desk.fill("name", &name);
    desk.fill("password", PASSWORD);
    desk.follow("button.main");
    look(desk, "sign-in-code", screen);
}

#[test]
fn every_text_has_contrast_in_both_schemes_and_no_page_is_wider_than_a_phone() {
    let Some(mut scene) = Scene::start() else { return };
    let mut wrong = Vec::new();
    each_look(&mut scene, |desk, name, screen| {
        desk.picture(&format!("{name}-{screen}"));
        let mut found = |what: Value| {
            let found = what.as_array().expect("a list").clone();
            wrong.extend(found.into_iter().map(|text| format!("{name}, {screen}: {text}")));
        };
        desk.value("document.querySelectorAll('details').forEach((it) => { it.open = true })");
        found(desk.value(FAINT_TEXTS));
        found(desk.value(WIDE));
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    scene.bed.desk.complaints.retain(|complaint| !complaint.contains("404"));
    scene.bed.desk.has_not_complained();
}

#[test]
fn axe_finds_nothing_on_any_page_in_both_schemes() {
    let Some(axe) = Axe::load() else { return };
    let Some(mut scene) = Scene::start() else { return };
    let mut wrong = Vec::new();
    each_look(&mut scene, |desk, name, screen| {
        desk.value("document.querySelectorAll('details').forEach((it) => { it.open = true })");
        let found = axe.violations(desk);
        wrong.extend(found.into_iter().map(|text| format!("{name}, {screen}: {text}")));
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
