//! A signed-in user: what they may do, and for which machines.

/// A user's id, as in `web_user.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserId(pub i64);

/// What a user may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Also acknowledges, comments, pauses, edits maintenance and tests channels.
    Operator,
    /// Everything.
    Owner,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Owner];

    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Owner => "owner",
        }
    }

    /// One line for people who choose a role.
    pub fn meaning(self) -> &'static str {
        match self {
            Role::Viewer => "reads",
            Role::Operator => "also acknowledges, comments, pauses, edits maintenance and tests channels",
            Role::Owner => "everything, also users, machines and channels",
        }
    }

    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// The machines that a user may see. It applies to every list, count, search, update and error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessScope {
    All,
    /// Machines of one of these groups or with one of these tags.
    Limited {
        groups: Vec<String>,
        tags: Vec<String>,
    },
}

impl AccessScope {
    pub fn includes(&self, group: Option<&str>, tags: &[String]) -> bool {
        match self {
            AccessScope::All => true,
            AccessScope::Limited { groups, tags: wanted } => {
                group.is_some_and(|group| groups.iter().any(|name| name == group))
                    || tags.iter().any(|tag| wanted.contains(tag))
            }
        }
    }
}

/// A signed-in user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    pub id: UserId,
    pub name: String,
    pub role: Role,
    pub scope: AccessScope,
    /// Name of the IANA time zone; `None`: UTC.
    pub time_zone: Option<String>,
}

impl Visitor {
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_includes_the_ones_before_it() {
        let visitor = |role| Visitor {
            id: UserId(1),
            name: "ada".into(),
            role,
            scope: AccessScope::All,
            time_zone: None,
        };
        for (number, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(Role::from_name(role.name()), Some(role));
            let allowed = Role::ALL.into_iter().filter(|needed| visitor(role).may(*needed)).count();
            assert_eq!(allowed, number + 1, "{role:?}");
        }
        assert_eq!(Role::from_name("Owner"), None);
    }

    #[test]
    fn a_limited_scope_includes_machines_by_group_or_tag_only() {
        let scope = AccessScope::Limited { groups: vec!["barn".into()], tags: vec!["camera".into()] };
        let tags = |tag: &str| vec![tag.to_owned()];
        assert!(scope.includes(Some("barn"), &[]));
        assert!(scope.includes(None, &tags("camera")));
        assert!(!scope.includes(Some("mill"), &tags("gate")));
        assert!(!scope.includes(None, &[]));
        assert!(AccessScope::All.includes(None, &[]));
    }
}
