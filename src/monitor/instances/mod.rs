//! The monitors of one database. With SQLite there is one, and nothing here is written.
//!
//! | file | what it owns |
//! |---|---|
//! | `table` | which monitors there are, and which of them are alive |
//! | `duty` | what only one of them does at a time |
//! | `limits` | after which silence others take over |
//! | `member` | this monitor as one of several |
//! | `words` | what people are told of a monitor |

pub mod duty;
pub mod limits;
pub mod member;
pub mod table;
pub mod words;
