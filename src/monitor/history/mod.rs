//! The past of a machine: means of a minute, later of a quarter of an hour, later of an hour.
//!
//! Quarters and hours also keep the least and the greatest minute mean of the figures that are charted with a band.
//! A bucket without a beat is a gap and stays one. What is older than the minutes are kept is in the
//! coarser resolutions; on PostgreSQL in the minutes, too, until their partition is dropped.
//!
//! | file | what it owns |
//! |---|---|
//! | `resolution` | minutes, quarters, hours; means |
//! | `packed` | the bytes of a row |
//! | `rows` | the table `history` |
//! | `ageing` | what is old becomes coarser, and is removed |
//! | `ranges` | the table `history_range` |
//! | `query` | points for a chart |

mod ageing;
pub mod packed;
pub mod query;
mod ranges;
pub mod resolution;
pub mod rows;
