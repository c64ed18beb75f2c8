//! Users of the pages: who they are, what they may do, how they sign in, and what they changed.
//!
//! | file | what it owns |
//! |---|---|
//! | `visitor` | a signed-in user: role and scope |
//! | `audit` | the log of changes |

pub mod audit;
pub mod visitor;
