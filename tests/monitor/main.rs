//! The real heartbeat-monitor, with real daemons, receivers, commands, signals and requests.

#[path = "../support/mod.rs"]
mod support;

mod account;
mod acknowledge;
mod api;
mod broker;
mod camera_alerts;
mod clock;
mod command_line;
mod condition_settings;
mod damaged;
mod device_enrolment;
mod dns;
mod enrolment;
mod examples;
mod failover;
mod fleet_command;
mod formats;
mod health;
mod hostile;
mod https;
mod incidents;
mod install_script;
mod killed;
mod live;
mod machine_page;
mod maintenance_page;
mod mqtt;
mod notifications;
mod packages;
mod people_page;
mod permissions;
mod proxies;
mod proxy_login;
mod reload;
mod reports;
mod requests;
mod rig;
mod sign_in;
mod status_page;
mod stop;
mod tokens;
mod two_monitors;
mod users;
mod watchdog;
