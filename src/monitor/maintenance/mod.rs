//! Maintenance that recurs each week.
//!
//! | file | what it owns |
//! |---|---|
//! | `weekly` | when the windows of a week begin and end, by a clock that is changed twice a year |
//! | `plans` | the plans, and the windows that they become |
//! | `listed` | a plan in a list, with its machines and its next window |

pub mod listed;
pub mod plans;
pub mod weekly;
