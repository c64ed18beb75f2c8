//! The past of a machine: means of a minute, later of a quarter of an hour, later of an hour.
//!
//! Means only: a minimum and a maximum would cost three times the space, and short excursions stand in the minutes of
//! the last two days. A bucket without a beat is a gap and stays one. What is older than the minutes are kept is in the
//! coarser resolutions alone; nothing is kept twice.
//!
//! | file | what it owns |
//! |---|---|
//! | `resolution` | minutes, quarters, hours; means |
//! | `packed` | the bytes of a row |
//! | `rows` | the table `history` |
//! | `query` | points for a chart |

pub mod packed;
pub mod query;
pub mod resolution;
pub mod rows;
