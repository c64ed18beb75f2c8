//! The fields of a user's role and limits.

use crate::web::form::Form;
use crate::web::refusal::PageRefusal;
use heartbeat_daemon::monitor::accounts::visitor::{AccessScope, Role};

/// The fields as they are shown.
pub struct Permits {
    pub roles: Vec<RoleChoice>,
    pub groups: String,
    pub tags: String,
}

pub struct RoleChoice {
    pub name: &'static str,
    pub meaning: &'static str,
    pub is_chosen: bool,
}

impl Permits {
    pub fn of(role: Role, scope: &AccessScope) -> Permits {
        let choice = |shown: Role| RoleChoice {
            name: shown.name(),
            meaning: shown.meaning(),
            is_chosen: shown == role,
        };
        let (groups, tags) = match scope {
            AccessScope::All => (String::new(), String::new()),
            AccessScope::Limited { groups, tags } => (groups.join(", "), tags.join(", ")),
        };
        Permits { roles: Role::ALL.map(choice).into(), groups, tags }
    }

    /// # Errors
    /// [`PageRefusal::Invalid`]: no role was chosen.
    pub fn read(form: &Form) -> Result<(Role, AccessScope), PageRefusal> {
        let role = Role::from_name(form.text("role"));
        let role = role.ok_or_else(|| PageRefusal::Invalid("Choose a role.".into()))?;
        let (groups, tags) = (form.names("groups"), form.names("tags"));
        let scope = match groups.is_empty() && tags.is_empty() {
            true => AccessScope::All,
            false => AccessScope::Limited { groups, tags },
        };
        Ok((role, scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_as_they_are_entered() {
        let scope =
            AccessScope::Limited { groups: vec!["barn".into(), "mill".into()], tags: vec!["camera".into()] };
        let shown = Permits::of(Role::Operator, &scope);
        assert_eq!((shown.groups.as_str(), shown.tags.as_str()), ("barn, mill", "camera"));
        let chosen: Vec<_> = shown.roles.iter().filter(|role| role.is_chosen).map(|role| role.name).collect();
        assert_eq!(chosen, ["operator"]);
    }
}
