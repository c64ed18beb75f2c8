//! Which Telegram bots put a button below their messages: those whose presses this monitor receives.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by what sends messages and what receives presses. The default is for a process that receives none.
#[derive(Clone, Default)]
pub struct ButtonState(Option<Arc<Mutex<HashSet<String>>>>);

impl ButtonState {
    /// Every bot has buttons until it is switched off.
    pub fn received() -> ButtonState {
        ButtonState(Some(Arc::default()))
    }

    pub fn are_on(&self, token: &str) -> bool {
        self.0.as_ref().is_some_and(|off| !locked(off).contains(token))
    }

    /// True if they were on.
    pub fn switch_off(&self, token: &str) -> bool {
        self.0.as_ref().is_some_and(|off| locked(off).insert(token.to_owned()))
    }
}

/// Does not show tokens.
impl std::fmt::Debug for ButtonState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ButtonState(received: {})", self.0.is_some())
    }
}

fn locked(off: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    off.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_is_switched_off_once_and_for_all_who_share_the_state() {
        let buttons = ButtonState::received();
        let other = buttons.clone();
        assert!(other.are_on("1:a") && other.are_on("2:b"));
        assert_eq!([buttons.switch_off("1:a"), buttons.switch_off("1:a")], [true, false]);
        assert!(!other.are_on("1:a") && other.are_on("2:b"));
        assert!(!ButtonState::default().are_on("1:a"), "nobody receives presses");
        assert!(!format!("{buttons:?}").contains("1:a"));
    }
}
