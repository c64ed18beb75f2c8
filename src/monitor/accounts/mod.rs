//! Users of the pages: who they are, what they may do, how they sign in, and what they changed.
//!
//! | file | what it owns |
//! |---|---|
//! | `visitor` | a signed-in user: role and scope |
//! | `users` | the table of users and their scopes |
//! | `roles` | changes of a user's role and limits |
//! | `sessions` | the table of sessions: who is signed in, with which browser |
//! | `audit` | the log of changes |

pub mod audit;
pub mod roles;
pub mod sessions;
pub mod users;
pub mod visitor;
