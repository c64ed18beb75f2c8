//! `heartbeat-monitor status-page ...`: pages of groups for people without an account.

use crate::clock::Moment;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::config::WebConfig;
use crate::monitor::status_pages::labels::StatusLabel;
use crate::monitor::status_pages::pages::{StatusPage, Visibility, public_link, secret_link};
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::table::{or_dash, table};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Labels that are listed.
const MOST_LABELS: u32 = 100_000;

#[derive(Debug, Subcommand)]
pub enum StatusPageCommand {
    /// List all groups with their pages, and all labels
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Switch the page of a group on, or change its address; an earlier secret link becomes invalid
    Set {
        /// Group, as listed
        group: String,
        #[command(flatten)]
        access: Access,
    },
    /// Switch the page of a group off
    Off {
        /// Group, as listed
        group: String,
    },
    /// Set what a machine is called on its group's page; by default it is the group and a number, never its name
    Label {
        /// Name or id of the machine
        machine: String,
        /// Shown to everyone who can open the page; "" returns to the group and a number
        text: String,
    },
}

/// Who can open a page.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
pub struct Access {
    /// Everyone, at an address with the group's name
    #[arg(long)]
    public: bool,
    /// Who has the link; it is printed alone on the last line, only once
    #[arg(long)]
    secret_link: bool,
}

/// Returns the output.
///
/// # Errors
/// The command was refused or the database failed; nothing was changed.
pub fn run(
    command: StatusPageCommand,
    database: &DatabaseLocation,
    web: &WebConfig,
    now: Moment,
) -> Result<String, Refused> {
    let (store, actor) = (Store::open_beside(database, now)?, Actor::command_line());
    match command {
        StatusPageCommand::List { json } => {
            let (pages, labels) = (store.status_pages()?, store.status_labels(MOST_LABELS)?);
            Ok(if json { as_json(&pages, &labels, web) } else { list(&pages, &labels, web) })
        }
        StatusPageCommand::Set { group, access } if access.secret_link => {
            let secret = store.make_status_page_secret(&actor, &group, now)?;
            let link = secret_link(&secret, web.public_url.as_ref());
            Ok(format!(
                "the page of the group \"{group}\" has this secret link, which is shown once; earlier addresses are \
                 invalid{}:\n{link}",
                notes(web)
            ))
        }
        StatusPageCommand::Set { group, .. } => {
            let slug = store.make_status_page_public(&actor, &group, now)?;
            let link = public_link(&slug, web.public_url.as_ref());
            Ok(format!("the page of the group \"{group}\" is public{}:\n{link}", notes(web)))
        }
        StatusPageCommand::Off { group } => Ok(match store.switch_status_page_off(&actor, &group, now)? {
            true => format!("the page of the group \"{group}\" is off"),
            false => format!("the page of the group \"{group}\" was off already"),
        }),
        StatusPageCommand::Label { machine, text } => {
            let name = store.set_status_label(&actor, &machine, &text, now)?;
            Ok(match text.is_empty() {
                true => format!("\"{name}\" is shown under its group and a number"),
                false => format!("\"{name}\" is shown as \"{text}\""),
            })
        }
    }
}

/// What is missing until people can open a link.
fn notes(web: &WebConfig) -> String {
    let address = "replace ADDRESS with the monitor's address, or set [web] public_url";
    let pages = "no page is served until [web] enabled is true";
    let notes = [(web.public_url.is_none(), address), (!web.enabled, pages)];
    let notes: Vec<_> = notes.iter().filter(|(applies, _)| *applies).map(|(_, note)| *note).collect();
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}

/// The address, as far as it is known.
fn address(page: &StatusPage, web: &WebConfig) -> Option<String> {
    match &page.visibility {
        Visibility::Public(slug) => Some(public_link(slug, web.public_url.as_ref())),
        Visibility::SecretLink(_) | Visibility::Off => None,
    }
}

fn list(pages: &[StatusPage], labels: &[StatusLabel], web: &WebConfig) -> String {
    if pages.is_empty() {
        return "no groups; make one with heartbeat-monitor machine set NAME --group GROUP".into();
    }
    let rows: Vec<_> = pages
        .iter()
        .map(|page| {
            let shown = page.visibility.name().to_owned();
            let address = address(page, web);
            [page.group.clone(), page.machines.to_string(), shown, or_dash(address.as_deref())]
        })
        .collect();
    let pages = table(["GROUP", "MACHINES", "PAGE", "ADDRESS"], &rows);
    if labels.is_empty() {
        return pages;
    }
    let rows: Vec<_> = labels
        .iter()
        .map(|label| [label.name.clone(), or_dash(label.group.as_deref()), label.label.clone()])
        .collect();
    format!("{pages}\n\n{}", table(["MACHINE", "GROUP", "LABEL"], &rows))
}

fn as_json(pages: &[StatusPage], labels: &[StatusLabel], web: &WebConfig) -> String {
    let page = |page: &StatusPage| {
        json!({
            "group": page.group,
            "machines": page.machines,
            "page": page.visibility.name().replace(' ', "_"),
            "address": address(page, web),
        })
    };
    let label = |label: &StatusLabel| json!({ "id": label.machine.0, "name": label.name, "group": label.group, "label": label.label });
    let pages: Vec<Value> = pages.iter().map(page).collect();
    let labels: Vec<Value> = labels.iter().map(label).collect();
    json!({ "pages": pages, "labels": labels }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::command::parse::parse;
    use crate::monitor::config::PublicUrl;
    use crate::monitor::machine::Description;
    use crate::monitor::store::page::Page;

    fn database() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open_beside(&dir.path().join("monitor.db").into(), Moment(1)).expect("a database");
        for (name, group) in [("barn-cam", "barn"), ("mill-gate", "mill")] {
            let machine =
                Description { name: name.into(), group: Some(group.into()), ..Description::default() };
            store.add_machine(&machine, Moment(1)).expect("added");
        }
        dir
    }

    fn web() -> WebConfig {
        let public_url = PublicUrl { origin: "https://heart.example".into(), path: "/x/".into() };
        WebConfig { enabled: true, public_url: Some(public_url), ca_file: None, proxy_login: None }
    }

    fn run_with(dir: &tempfile::TempDir, web: &WebConfig, arguments: &[&str]) -> Result<String, String> {
        let command = parse(arguments)?;
        run(command, &dir.path().join("monitor.db").into(), web, Moment(1)).map_err(|error| error.to_string())
    }

    fn output(dir: &tempfile::TempDir, arguments: &[&str]) -> String {
        run_with(dir, &web(), arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    #[test]
    fn a_page_is_listed_with_its_address_and_a_secret_only_once() {
        let dir = database();
        assert!(output(&dir, &["list"]).contains("barn   1         off   -"));
        let said = output(&dir, &["set", "barn", "--public"]);
        assert_eq!(said.lines().last(), Some("https://heart.example/x/status/barn"));
        let said = output(&dir, &["set", "mill", "--secret-link"]);
        let link = said.lines().last().expect("a link");
        assert!(link.starts_with("https://heart.example/x/status/hbp_"), "{said}");
        let list = output(&dir, &["list"]);
        assert!(list.contains("barn   1         public       https://heart.example/x/status/barn"), "{list}");
        assert!(list.contains("mill   1         secret link  -"), "{list}");
        let listed: Value = serde_json::from_str(&output(&dir, &["list", "--json"])).expect("JSON");
        assert_eq!(listed["pages"][0]["address"], "https://heart.example/x/status/barn");
        assert_eq!(
            (&listed["pages"][1]["page"], &listed["pages"][1]["address"]),
            (&json!("secret_link"), &Value::Null)
        );
        assert_eq!(output(&dir, &["off", "barn"]), "the page of the group \"barn\" is off");
        assert_eq!(output(&dir, &["off", "barn"]), "the page of the group \"barn\" was off already");
    }

    #[test]
    fn a_page_is_public_or_has_a_secret_link_and_the_group_must_exist() {
        let dir = database();
        for arguments in [
            &["set", "barn"][..],
            &["set", "barn", "--public", "--secret-link"],
            &["set", "silo", "--public"],
            &["off", "silo"],
            &["label", "silo", "x"],
            &["label", "barn-cam"],
        ] {
            run_with(&dir, &web(), arguments).expect_err("refused");
        }
        assert!(!output(&dir, &["list"]).contains("public"));
    }

    #[test]
    fn labels_are_listed_and_cleared() {
        let dir = database();
        assert_eq!(output(&dir, &["label", "barn-cam", "North"]), "\"barn-cam\" is shown as \"North\"");
        assert!(output(&dir, &["list"]).contains("barn-cam  barn   North"));
        output(&dir, &["label", "1", ""]);
        assert!(!output(&dir, &["list"]).contains("North"));
    }

    #[test]
    fn what_is_missing_until_a_link_works_is_said() {
        let (dir, web) =
            (database(), WebConfig { enabled: false, public_url: None, ca_file: None, proxy_login: None });
        let said = run_with(&dir, &web, &["set", "barn", "--public"]).expect("public");
        assert!(said.contains("replace ADDRESS") && said.contains("[web] enabled"), "{said}");
        assert!(said.ends_with("\nhttp://ADDRESS/status/barn"), "{said}");
    }

    #[test]
    fn changes_are_in_the_audit_log_without_the_secret() {
        let dir = database();
        let said = output(&dir, &["set", "barn", "--secret-link"]);
        output(&dir, &["label", "barn-cam", "North"]);
        output(&dir, &["off", "barn"]);
        let store = Store::open_beside(&dir.path().join("monitor.db").into(), Moment(1)).expect("a database");
        let audit = store.audit(Page::default(), 9).expect("listed");
        let actions: Vec<_> = audit.iter().rev().map(|record| record.action.as_str()).collect();
        assert_eq!(actions, ["status_page.secret_link", "status_page.label", "status_page.off"]);
        let secret = said.rsplit('/').next().expect("a secret");
        assert!(
            !format!("{audit:?}").contains(secret)
                && audit.iter().all(|record| record.actor == "command line")
        );
    }
}
