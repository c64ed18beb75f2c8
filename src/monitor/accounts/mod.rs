//! Users of the pages: who they are, what they may do, how they sign in, and what they changed.
//!
//! | file | what it owns |
//! |---|---|
//! | `visitor` | a signed-in user: role and scope |
//! | `users` | the table of users and their scopes |
//! | `roles` | changes of a user's role and limits |
//! | `sessions` | the table of sessions: who is signed in, with which browser |
//! | `invitations` | links with which a user sets a password |
//! | `proofs` | stored passwords, second factors and recovery codes |
//! | `password` | hashes, and the thread that computes them |
//! | `pending` | sign-ins that wait for the second factor |
//! | `totp` | codes of the second factor, recovery codes, QR codes |
//! | `attempts` | how often a password or a code may be tried |
//! | `device_cookie` | recognises browsers that have signed in before |
//! | `audit` | the log of changes |

pub mod attempts;
pub mod audit;
pub mod device_cookie;
pub mod invitations;
pub mod password;
pub mod pending;
pub mod proofs;
pub mod roles;
pub mod sessions;
pub mod totp;
pub mod users;
pub mod visitor;
