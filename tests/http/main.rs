//! The HTTP front over real sockets, with a handler of a few lines.

mod deadlines;
mod protocol;
mod site;
mod stop;
