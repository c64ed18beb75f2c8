//! Status pages: what people without an account may see of a group. A page is off until an owner switches it on.
//!
//! A page shows a label, a state and the uptime of each machine. Nothing else may leave this module for it: an enrolled
//! machine's name is its host name.
//!
//! | file | what it owns |
//! |---|---|
//! | `pages` | the table `status_page`: which groups have a page, and under which address |
//! | `slug` | a group's name in an address |
//! | `labels` | the table `status_label`: what a machine is called on the page |
//! | `shown` | the machines of a group as they are shown, worst first |
//! | `uptime` | the share of each day for which a machine was up |
//! | `history` | the records of 90 days from which it is computed |

pub mod history;
pub mod labels;
pub mod pages;
pub mod shown;
mod slug;
pub mod uptime;
