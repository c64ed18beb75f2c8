//! `heartbeat-monitor user ...`: users of the pages.

use crate::clock::Moment;
use crate::duration::ago;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::accounts::invitations::link_of;
use crate::monitor::accounts::roles::UserChange;
use crate::monitor::accounts::users::{User, limits_of};
use crate::monitor::accounts::visitor::{AccessScope, Role};
use crate::monitor::config::PublicUrl;
use crate::monitor::registry::token::Token;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::table::{or_dash, table};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; prints a link with which they set their password, once and within an hour
    Add {
        /// Name with which they sign in
        name: String,
        /// What they may do
        #[arg(long, value_parser = role())]
        role: Role,
        #[command(flatten)]
        limits: MachineLimits,
    },
    /// Print a link with which a user sets a new password; the old one works until then
    Password {
        /// Name, as listed
        name: String,
    },
    /// Change role or limits, or turn the second factor off; a new role signs the user out
    Set {
        /// Name, as listed
        name: String,
        /// What they may do
        #[arg(long, value_parser = role())]
        role: Option<Role>,
        #[command(flatten)]
        limits: MachineLimits,
        /// All machines (clears --group and --tag)
        #[arg(long, conflicts_with_all = ["group", "tag"])]
        all_machines: bool,
        /// Turn the second factor off, for a user who has lost the phone and the recovery codes
        #[arg(long)]
        no_second_factor: bool,
    },
    /// List all users
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// List the browsers in which a user is signed in, or sign them out
    Sessions {
        /// Name, as listed
        name: String,
        /// Sign the user out everywhere
        #[arg(long)]
        end: bool,
    },
    /// Delete a user and sign them out
    Remove {
        /// Name, as listed
        name: String,
    },
}

/// Machines that a viewer or an operator sees.
#[derive(Debug, Default, Args)]
pub struct MachineLimits {
    /// Only machines of these groups, separated by commas. With --tag, either match is enough
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    group: Vec<String>,
    /// Only machines with one of these tags
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    tag: Vec<String>,
}

impl MachineLimits {
    /// `None` if there are none.
    fn scope(self) -> Option<AccessScope> {
        let is_limited = !(self.group.is_empty() && self.tag.is_empty());
        is_limited.then_some(AccessScope::Limited { groups: self.group, tags: self.tag })
    }
}

fn role() -> impl TypedValueParser<Value = Role> {
    let values = Role::ALL.map(|role| PossibleValue::new(role.name()).help(role.meaning()));
    PossibleValuesParser::new(values).try_map(|name| Role::from_name(&name).ok_or("not a role"))
}

/// Returns the output.
pub fn run(
    command: UserCommand,
    database: &DatabaseLocation,
    public_url: Option<&PublicUrl>,
    now: Moment,
) -> Result<String, Refused> {
    let (store, actor) = (Store::open_beside(database, now)?, Actor::command_line());
    match command {
        UserCommand::Add { name, role, limits } => {
            let scope = limits.scope().unwrap_or(AccessScope::All);
            store.add_user(&actor, &name, role, &scope, now)?;
            let link = store.invite(&actor, &name, now)?;
            Ok(format!("user \"{name}\" added; {}", link_text(&link, public_url)))
        }
        UserCommand::Password { name } => {
            let link = store.invite(&actor, &name, now)?;
            Ok(format!("a new password for \"{name}\"; {}", link_text(&link, public_url)))
        }
        UserCommand::Set { name, role, limits, all_machines, no_second_factor } => {
            let scope = if all_machines { Some(AccessScope::All) } else { limits.scope() };
            let change = UserChange { role, scope };
            set(&store, &actor, &name, &change, no_second_factor, now)
        }
        UserCommand::List { json: true } => {
            Ok(Value::Array(store.users()?.iter().map(as_json).collect()).to_string())
        }
        UserCommand::List { json: false } => list(&store),
        UserCommand::Sessions { name, end } => sessions(&store, &actor, &name, end, now),
        UserCommand::Remove { name } => {
            store.remove_user(&actor, &name, now)?;
            Ok(format!("user \"{name}\" removed"))
        }
    }
}

/// The link, alone on the last line.
fn link_text(token: &Token, public_url: Option<&PublicUrl>) -> String {
    let fill = match public_url {
        Some(_) => "",
        None => " (replace ADDRESS with the monitor's address, or set [web] public_url)",
    };
    let link = link_of(token, public_url);
    format!("send this link, valid for one hour and one use{fill}:\n{link}")
}

fn set(
    store: &Store,
    actor: &Actor,
    name: &str,
    change: &UserChange,
    no_second_factor: bool,
    now: Moment,
) -> Result<String, Refused> {
    let has_change = *change != UserChange::default();
    if !has_change && !no_second_factor {
        return Err(Refused::because("nothing to change; see heartbeat-monitor user set --help"));
    }
    if has_change {
        store.change_user(actor, name, change, now)?;
    }
    if no_second_factor {
        store.clear_totp(actor, store.user_called(name)?.id, now)?;
    }
    Ok(format!("user \"{name}\" changed"))
}

fn list(store: &Store) -> Result<String, Refused> {
    let users = store.users()?;
    if users.is_empty() {
        return Ok("no users; add one with heartbeat-monitor user add NAME --role owner".into());
    }
    let row = |user: &User| {
        [
            user.name.clone(),
            user.role.name().to_owned(),
            limits_of(&user.scope).unwrap_or_else(|| "all".into()),
            if user.has_password { "set" } else { "not set" }.to_owned(),
            if user.has_totp { "on" } else { "off" }.to_owned(),
        ]
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    Ok(table(["NAME", "ROLE", "MACHINES", "PASSWORD", "SECOND FACTOR"], &rows))
}

fn sessions(store: &Store, actor: &Actor, name: &str, end: bool, now: Moment) -> Result<String, Refused> {
    let user = store.user_called(name)?.id;
    if end {
        let ended = store.end_sessions(user, None)?;
        store.record_audit(actor, "user.sessions.end", Some(name), None, now)?;
        return Ok(format!("user \"{name}\" signed out of {ended} sessions"));
    }
    let sessions = store.sessions(user, now)?;
    if sessions.is_empty() {
        return Ok(format!("user \"{name}\" is not signed in"));
    }
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            [
                ago(Some(session.created_at), now),
                ago(Some(session.used_at), now),
                or_dash(session.address.as_deref()),
                or_dash(session.agent.as_deref()),
            ]
        })
        .collect();
    Ok(table(["SIGNED IN", "LAST USED", "ADDRESS", "BROWSER"], &rows))
}

fn as_json(user: &User) -> Value {
    let (groups, tags) = match &user.scope {
        AccessScope::All => (None, None),
        AccessScope::Limited { groups, tags } => (Some(groups), Some(tags)),
    };
    json!({
        "name": user.name,
        "role": user.role.name(),
        "groups": groups,
        "tags": tags,
        "has_password": user.has_password,
        "has_second_factor": user.has_totp,
        "time_zone": user.time_zone,
        "created_at": user.created_at.rfc_3339(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::command::parse::parse;

    fn try_to(dir: &tempfile::TempDir, arguments: &[&str]) -> Result<String, String> {
        let url = PublicUrl { origin: "https://heart.example".into(), path: "/x/".into() };
        let (command, database) = (parse(arguments)?, dir.path().join("monitor.db"));
        run(command, &database.into(), Some(&url), Moment(1)).map_err(|error| error.to_string())
    }

    fn output(dir: &tempfile::TempDir, arguments: &[&str]) -> String {
        try_to(dir, arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    #[test]
    fn the_link_is_absolute_with_a_public_url_and_to_be_filled_in_without() {
        let dir = tempfile::tempdir().expect("a directory");
        let said = output(&dir, &["add", "ada", "--role", "owner"]);
        assert!(
            said.lines().last().expect("a link").starts_with("https://heart.example/x/welcome?link=hbi_"),
            "{said}"
        );
        let command = parse(&["password", "ada"]).expect("parsed");
        let said = run(command, &dir.path().join("monitor.db").into(), None, Moment(1)).expect("a link");
        assert!(
            said.lines().last().expect("a link").starts_with("http://ADDRESS/welcome?link=hbi_"),
            "{said}"
        );
        try_to(&dir, &["password", "bob"]).expect_err("unknown");
    }

    #[test]
    fn a_list_shows_role_and_limits_and_no_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(output(&dir, &["list"]).starts_with("no users; add one with"));
        output(&dir, &["add", "ada", "--role", "owner"]);
        output(&dir, &["add", "bob", "--role", "viewer", "--group", "barn,mill", "--tag", "camera"]);
        let list = output(&dir, &["list"]);
        assert!(list.contains("bob   viewer  group barn, group mill, tag camera  not set   off"), "{list}");
        let listed: Value = serde_json::from_str(&output(&dir, &["list", "--json"])).expect("JSON");
        assert_eq!(listed[1]["groups"], json!(["barn", "mill"]));
        assert_eq!(listed[0]["groups"], Value::Null);
    }

    #[test]
    fn role_and_limits_change_and_an_owner_sees_all_machines() {
        let dir = tempfile::tempdir().expect("a directory");
        output(&dir, &["add", "bob", "--role", "viewer", "--group", "barn"]);
        let error = try_to(&dir, &["set", "bob", "--role", "owner"]).expect_err("limited");
        assert!(error.contains("cannot be limited"), "{error}");
        output(&dir, &["set", "bob", "--role", "owner", "--all-machines"]);
        assert!(output(&dir, &["list"]).contains("bob   owner  all"));
        try_to(&dir, &["set", "bob"]).expect_err("nothing to change");
        try_to(&dir, &["set", "bob", "--all-machines", "--group", "barn"]).expect_err("a contradiction");
        try_to(&dir, &["add", "eve", "--role", "admin"]).expect_err("not a role");
        try_to(&dir, &["add", "eve"]).expect_err("no role");
        output(&dir, &["remove", "bob"]);
        assert!(output(&dir, &["list"]).starts_with("no users"));
    }

    #[test]
    fn sessions_are_listed_and_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        output(&dir, &["add", "ada", "--role", "owner"]);
        assert_eq!(output(&dir, &["sessions", "ada"]), "user \"ada\" is not signed in");
        let store = Store::open_beside(&dir.path().join("monitor.db").into(), Moment(1)).expect("a database");
        let user = store.user_called("ada").expect("found").id;
        let session =
            crate::monitor::accounts::sessions::NewSession { user, address: None, agent: Some("Firefox") };
        store.add_session(&session, Moment(1)).expect("a session");
        assert!(output(&dir, &["sessions", "ada"]).contains("Firefox"));
        assert_eq!(output(&dir, &["sessions", "ada", "--end"]), "user \"ada\" signed out of 1 sessions");
        assert_eq!(output(&dir, &["sessions", "ada"]), "user \"ada\" is not signed in");
        let audit = store.audit(crate::monitor::store::page::Page::default(), 1).expect("listed");
        assert_eq!(
            (audit[0].actor.as_str(), audit[0].action.as_str()),
            ("command line", "user.sessions.end")
        );
    }
}
