//! What the monitor tells over HTTP: the read API, its figures, and whether it works.
//!
//! | file | what it owns |
//! |---|---|
//! | `route` | which paths there are |
//! | `query` | what stands behind the question mark |
//! | `client` | who asks, behind proxies |
//! | `lists` | machines, events and deliveries as JSON |
//! | `exposition` | the text that Prometheus reads |

pub mod client;
mod exposition;
mod lists;
mod query;
pub mod route;
