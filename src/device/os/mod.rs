//! The only code that touches the machine below plain files: descriptors kept open, programs with a time
//! limit, and what the kernel offers through sockets and ioctls.

pub mod clock;
pub mod default_route;
pub mod descriptors;
pub mod egress;
pub mod file;
mod instance_socket;
pub mod link_events;
pub mod links;
pub mod neighbours;
pub mod netlink;
pub mod nl80211;
pub mod pid_file;
pub mod privilege;
pub mod program;
pub mod routes;
pub mod rules;
pub mod tcp;
pub mod vcio;
pub mod wait;
