//! Where a webhook may not lead.

use crate::rig::Rig;
use crate::support::server::{Reply, Server};
use heartbeat_daemon::monitor::notify::NotifySettings;

#[test]
fn a_webhook_does_not_reach_into_our_own_network_in_any_spelling() {
    let server = Server::always(Reply::ok());
    let port = server.address().port();
    let mut rig = Rig::with(9, NotifySettings::default());
    let hosts =
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1", "127.1"];
    let channels: Vec<i64> =
        hosts.iter().map(|host| rig.channel("webhook", &format!("http://{host}:{port}/"))).collect();
    rig.channel("ntfy", &server.url("/topic"));
    rig.lose([1]);
    for (id, host) in (1..).zip(channels.iter().zip(hosts)) {
        rig.eventually_row(id, host.1, |row| row.attempts == 1 && row.channel == *host.0);
        let why = rig.row(id).error.expect("a reason");
        let refused = why.contains("allow_private_webhooks")
            || why.contains("host not found")
            || why.contains("lookup");
        assert!(refused, "{}: {why}", host.1);
    }
    assert_eq!(server.connections(), 0);
}
