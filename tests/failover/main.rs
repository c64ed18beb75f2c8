//! The real heartbeat-daemon with three uplinks in network namespaces, and what happens to uplinks.
//!
//! Times are held against what is promised, and some more for a busy machine; the figures themselves are printed by
//! `cargo bench --bench failover`.
//!
//! | what happens | test |
//! |---|---|
//! | a cable is pulled | `carrier::a_pulled_cable_moves_the_heartbeat_at_once_and_back_after_the_hold_*` |
//! | the router's own uplink is dead, the carrier stays | `upstream::a_router_that_loses_its_own_uplink_costs_a_heartbeat_less_than_a_second_*` |
//! | the gateway falls silent, the carrier stays | `upstream::a_silent_gateway_is_dead_within_nine_tenths_of_a_second` |
//! | a standby's access point reboots | `carrier::a_standby_that_reboots_is_reported_and_changes_nothing_else` |
//! | the active access point reboots | `carrier::an_active_access_point_that_reboots_leaves_no_network_and_then_recovers_at_once` |
//! | the lease is lost | `carrier::a_lost_lease_moves_the_heartbeat_at_once_although_the_carrier_stays` |
//! | a captive portal | `upstream::a_captive_portal_is_marked_and_nothing_fails_back_to_it` |
//! | a link flaps | `carrier::a_flapping_cable_makes_fewer_heartbeats_than_flaps_and_one_failback_a_hold` |
//! | all are down, one comes back | `carrier::all_uplinks_down_and_one_back_sends_within_a_second` |
//! | no NetworkManager | `routes::auto_takes_routes_where_it_may_and_needs_no_network_manager` |
//! | killed during a failover | `routes::a_route_that_a_killed_daemon_left_is_gone_after_the_next_start`, `routes::the_cleanup_command_*` |
//! | a carrier without an address | `carrier::a_carrier_without_an_address_is_no_reason_to_leave_wifi` |
//! | IPv6 only | `surroundings::without_ipv4_heartbeats_and_failover_work_over_ipv6_*` |
//! | the clock steps by a year; a suspend | `surroundings::a_wall_clock_that_steps_*`, `surroundings::a_daemon_that_stood_still_*` |
//! | the server is down, the links are fine | `upstream::a_server_that_is_down_*` |
//! | netlink overruns | `surroundings::a_flood_of_netlink_events_loses_no_change`, `surroundings::four_hundred_addresses_*` |
//! | another program takes our route away | `routes::a_route_of_ours_that_goes_with_an_address_is_added_again_once`; NetworkManager itself: `tests/system/networkmanager` |
//! | a strict rp_filter | `surroundings::a_strict_reverse_path_filter_is_warned_of_and_routes_work_in_spite_of_it` |
//! | one subnet on two uplinks | `surroundings::on_one_subnet_the_uplink_that_is_said_is_the_uplink_that_is_used` |
//! | the kernel's default route leads over an interface that is not an uplink | `kernels_choice::*unlisted*`, `kernels_choice::a_vpn_*`, `kernels_choice::*https*` |
//! | a specific route to the server; a server on the own LAN | `kernels_choice::a_specific_route_*`, `kernels_choice::*lan*` |
//! | an override, a lock, an access point of our own | `modes` |
//! | a POST is on its way when its uplink dies | `in_flight` |
//! | an uplink accepts connections and lets no heartbeat through | `passage` |
//! | the server has several addresses, and some are dead or silent | `addresses` |

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod bed;
mod carrier;
mod in_flight;
mod kernels_choice;
mod modes;
mod passage;
mod rig;
mod routes;
mod surroundings;
mod upstream;
