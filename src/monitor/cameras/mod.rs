//! Availability of cameras, by MAC address: minutes up and down per camera and day (UTC), for a year.
//!
//! Heartbeats report cameras; minutes are counted in memory and written with the machine's other unsaved data. A camera that
//! is not reported for 30 days is forgotten with its history.
//!
//! | file | what it owns |
//! |---|---|
//! | `minutes` | what is counted in memory |
//! | `table` | the tables `camera` and `camera_day` |
//! | `age` | what is removed from them |

pub mod age;
pub mod minutes;
pub mod table;
