//! What every page has around its content: title, navigation, sign-out.

use super::assets::version;
use super::viewpoint::Viewpoint;
use heartbeat_daemon::monitor::accounts::visitor::Role;

/// The navigation's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Fleet,
    Incidents,
    People,
    Settings,
    Account,
    None,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Section::Fleet => "fleet",
            Section::Incidents => "incidents",
            Section::People => "people",
            Section::Settings => "settings",
            Section::Account => "account",
            Section::None => "",
        }
    }
}

/// The variable parts of the layout.
pub struct Frame {
    /// The way to the root.
    pub root: &'static str,
    pub title: String,
    pub section: Section,
    /// Name of the user; `None`: not signed in.
    pub user: Option<String>,
    pub is_operator: bool,
    pub is_owner: bool,
    /// In the address of assets, which browsers may keep forever.
    pub version: &'static str,
}

impl Frame {
    pub fn new(viewpoint: &Viewpoint, section: Section, title: impl Into<String>) -> Frame {
        Frame {
            root: viewpoint.root,
            title: title.into(),
            section,
            user: Some(viewpoint.visitor.name.clone()),
            is_operator: viewpoint.visitor.may(Role::Operator),
            is_owner: viewpoint.visitor.may(Role::Owner),
            version: version(),
        }
    }

    /// For pages that are shown to everyone.
    pub fn without_user(root: &'static str, title: &str) -> Frame {
        Frame {
            root,
            title: title.into(),
            section: Section::None,
            user: None,
            is_operator: false,
            is_owner: false,
            version: version(),
        }
    }

    /// For `aria-current`.
    pub fn is(&self, section: &str) -> bool {
        self.section.name() == section
    }
}
