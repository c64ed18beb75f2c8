//! How long a fleet's messages take to a receiver that fails for a part of them:
//! `cargo test --features monitor --test couriers -- --ignored --nocapture figures`

use crate::rig::{DELIVERED, Rig};
use crate::support::server::{Reply, Server};
use std::thread;
use std::time::{Duration, Instant};

const MACHINES: i64 = 200;
const MESSAGES: usize = 800;

#[test]
#[ignore = "takes a minute"]
fn eight_hundred_messages_are_delivered_within_2_minutes_though_a_quarter_of_the_requests_fails() {
    measure(0, Duration::from_secs(120));
}

#[test]
#[ignore = "takes minutes"]
fn and_within_6_minutes_if_an_eighth_hangs_for_10_seconds_as_well() {
    measure(12, Duration::from_secs(360));
}

fn measure(hanging_percent: u8, limit: Duration) {
    let server = Server::start(move |_| match fastrand::u8(..100) {
        0..13 => Reply::status(500),
        13..25 => Reply::Reset,
        chance if chance < 25 + hanging_percent => Reply::Hang,
        _ => Reply::ok(),
    });
    let mut rig = Rig::new(MACHINES);
    rig.channel("webhook", &server.url("/"));
    let start = Instant::now();
    for _ in 0..2 {
        rig.lose(1..=MACHINES);
        rig.back(1..=MACHINES);
    }
    let delivered = || rig.rows().iter().filter(|row| row.state == DELIVERED).count();
    while delivered() < MESSAGES {
        assert!(start.elapsed() < limit, "{} of {MESSAGES} after {limit:?}", delivered());
        thread::sleep(Duration::from_millis(200));
    }
    let requests = server.arrivals().len() - server.connections();
    println!("{MESSAGES} messages, {hanging_percent} % hang: {:.0?}, {requests} requests", start.elapsed());
}
