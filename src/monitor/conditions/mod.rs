//! Conditions: what a heartbeat says about a machine besides that it is alive, and when that is an incident.
//!
//! | file | what it owns |
//! |---|---|
//! | `catalogue` | **the table of all conditions**, with their defaults |
//! | `facts` | what one heartbeat says about them |
//! | `recent` | what is remembered of earlier heartbeats: boots, uplinks, the growth of a recording; pure |
//! | `readings` | from facts to a reading for each condition and subject; pure |
//! | `judge` | hold time and hysteresis: when a condition begins and ends; pure |
//! | `settings` | what people changed: thresholds, hold times, off |
//! | `table` | the settings in the database |
//! | `tracked`, `held`, `subject` | the conditions of one machine that hold, in memory; one of them; what it is about |
//! | `words` | conditions and their settings in words |

pub mod catalogue;
pub mod facts;
pub mod held;
pub mod judge;
pub mod readings;
pub mod recent;
pub mod settings;
pub mod subject;
pub mod table;
pub mod tracked;
pub mod words;
