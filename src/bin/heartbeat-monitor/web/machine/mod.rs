//! The page of one machine.
//!
//! | file | what it owns |
//! |---|---|
//! | `page` | the page |
//! | `span` | the time that the charts show |
//! | `chart` | a chart as SVG, with its table |
//! | `charts` | the charts of a machine, on one time line with its incidents |
//! | `payload` | what the latest heartbeat says: uplinks, and the whole of it |
//! | `forms` | pause, settings, token, removal |

mod chart;
mod charts;
pub mod forms;
pub mod page;
mod payload;
mod span;
