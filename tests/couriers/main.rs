//! Sweeper, outbox and couriers against real receivers: ones that fail, hang, refuse, redirect, and come back; and
//! against being killed.

mod addresses;
mod blocking;
mod failing;
mod figures;
mod killed;
mod people;
mod post;
mod programs;
mod rig;
mod services;
mod support;
mod webhook;
