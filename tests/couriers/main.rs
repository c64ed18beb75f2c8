//! Sweeper, outbox and couriers against real receivers: ones that fail, hang, refuse, redirect, and come back; and
//! against being killed.

mod addresses;
mod failing;
mod killed;
mod people;
mod rig;
mod support;
mod webhook;
