//! The settings of conditions: the catalogue's defaults, and what people changed for the whole fleet, a group, a tag or a
//! machine.

use crate::monitor::conditions::catalogue::{CATALOGUE, CONDITIONS, Condition, Entry};
use std::sync::Arc;
use std::time::Duration;

/// The settings of one condition on one machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    pub is_on: bool,
    /// Of a condition with a number.
    pub threshold: Option<f32>,
    pub hold: Duration,
}

impl Setting {
    pub fn of(entry: &Entry) -> Setting {
        Setting { is_on: true, threshold: entry.limit.map(|limit| limit.threshold), hold: entry.hold }
    }
}

/// The settings of all conditions on one machine. Machines with the same settings share one.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings([Setting; CONDITIONS]);

impl Default for Settings {
    fn default() -> Settings {
        Settings(CATALOGUE.each_ref().map(Setting::of))
    }
}

impl Settings {
    pub fn get(&self, condition: Condition) -> Setting {
        self.0[condition as usize]
    }

    pub fn set(&mut self, condition: Condition, setting: Setting) {
        self.0[condition as usize] = setting;
    }
}

/// The settings of a machine, shared.
pub type SharedSettings = Arc<Settings>;
