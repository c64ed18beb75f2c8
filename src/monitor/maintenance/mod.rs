//! Maintenance that recurs each week.
//!
//! | file | what it owns |
//! |---|---|
//! | `weekly` | when the windows of a week begin and end, by a clock that is changed twice a year |
//! | `plans` | the plans, and the windows that they become |

pub mod plans;
pub mod weekly;
