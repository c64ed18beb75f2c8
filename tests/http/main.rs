//! The HTTP front over real sockets, with a handler of a few lines.

mod deadlines;
mod others;
mod protocol;
mod room;
mod site;
#[path = "../support/skip.rs"]
mod skip;
mod stop;
mod stress;
