//! Where cameras come from: the configuration, others, DHCP, the neighbour table.

use crate::lan::{Listener, Watching, config, entry, mac};
use crate::support::daemon::Setup;
use crate::support::eventually;
use crate::support::scratch::Scratch;
use heartbeat_daemon::device::cameras::{CameraOrigin, DhcpEvent, NewCamera, Status};
use std::fs;
use std::path::Path;

fn new(number: u16, hostname: Option<&str>, ip: Option<&str>) -> NewCamera {
    NewCamera::new(&mac(number).to_string(), hostname, ip).expect("a camera")
}

fn event(action: &str, number: u16, ip: &str, hostname: &str) -> DhcpEvent {
    DhcpEvent::new(action, &mac(number).to_string(), Some(ip), Some(hostname)).expect("an event")
}

#[test]
fn without_cameras_a_check_of_all_is_done_at_once() {
    assert!(Watching::start("").check().is_empty());
}

#[test]
fn an_added_camera_is_checked_and_kept() {
    let listener = Listener::accepting();
    let port = listener.address.port();
    let watching = Watching::start(&format!("tcp_port = {port}"));
    let ip = listener.address.ip().to_string();
    assert!(watching.cameras.add(new(1, Some("gate"), Some(&ip))));
    eventually("it is found", || {
        watching.cameras.list().first().is_some_and(|camera| camera.status == Status::Connected)
    });
    let camera = watching.camera(1);
    assert_eq!((camera.hostname.as_deref(), camera.origin), (Some("gate"), CameraOrigin::Api));
    eventually("it is saved", || watching.state_file().exists());
    let scratch = watching.stop();
    let again = Watching::start_in(&format!("tcp_port = {port}"), scratch, Path::new("/"));
    assert_eq!(again.cameras.list().len(), 1, "at once, before the first check");
    assert_eq!(again.camera(1).hostname.as_deref(), Some("gate"));
}

#[test]
fn dhcp_events_change_a_cameras_status_and_patterns_select_cameras() {
    let watching = Watching::start("enabled = false\nhostname_patterns = [\"cam-*\"]");
    let tell = |event| assert!(watching.cameras.dhcp(event));
    tell(event("add", 1, "192.0.2.1", "laptop"));
    tell(event("del", 2, "192.0.2.2", "cam-never-seen"));
    tell(event("add", 3, "192.0.2.3", "CAM-gate"));
    eventually("it is there", || watching.cameras.list().len() == 1);
    let camera = watching.camera(3);
    assert_eq!((camera.status, camera.origin), (Status::Connected, CameraOrigin::Dhcp));
    assert!(camera.last_seen.is_some());
    assert!(watching.triggers.is_empty(), "the first status is no change");
    tell(event("del", 3, "192.0.2.3", "CAM-gate"));
    watching.triggers.recv_timeout(crate::support::SOON).expect("it went");
    assert_eq!(watching.camera(3).status, Status::Disconnected);
    assert_eq!(watching.camera(3).last_seen, camera.last_seen, "moved by nothing but being there");
    tell(event("old", 3, "192.0.2.9", "cam-gate"));
    watching.triggers.recv_timeout(crate::support::SOON).expect("it came back");
    let camera = watching.camera(3);
    assert_eq!((camera.status, camera.ip), (Status::Connected, "192.0.2.9".parse().ok()));
}

#[test]
fn an_address_that_went_to_another_camera_is_not_looked_at_for_the_first_one() {
    let watching = Watching::start("enabled = false");
    watching.cameras.add(new(1, None, Some("192.0.2.1")));
    watching.cameras.add(new(2, None, Some("192.0.2.1")));
    eventually("both", || watching.cameras.list().len() == 2);
    assert_eq!((watching.camera(1).ip, watching.camera(2).ip), (None, "192.0.2.1".parse().ok()));
}

#[test]
fn the_configuration_of_a_camera_takes_precedence() {
    let listener = Listener::accepting();
    let text = entry(1, listener.address, "hostname = \"gate\"");
    let watching = Watching::start(&format!("hostname_patterns = [\"*\"]\n{text}"));
    watching.cameras.dhcp(event("add", 1, "192.0.2.77", "espressif"));
    watching.check();
    let camera = watching.camera(1);
    assert_eq!((camera.hostname.as_deref(), camera.ip), (Some("gate"), Some(listener.address.ip())));
    assert_eq!((camera.origin, camera.port), (CameraOrigin::Config, listener.address.port()));
}

#[test]
fn a_camera_that_leaves_the_configuration_leaves_the_list_and_others_stay() {
    let (one, two) = (Listener::accepting(), Listener::accepting());
    let text =
        format!("[cameras]\ninterval = \"1h\"\n{}{}", entry(1, one.address, ""), entry(2, two.address, ""));
    let watching = Watching::start(&text);
    watching.cameras.add(new(3, None, None));
    eventually("all three", || watching.check().len() == 3);
    let less = format!("[cameras]\ninterval = \"1h\"\n{}", entry(2, two.address, "failures = 7"));
    watching.cameras.reload(config(&less).cameras);
    eventually("two", || watching.cameras.list().len() == 2);
    let list = watching.check();
    assert_eq!(list.iter().map(|camera| camera.mac).collect::<Vec<_>>(), [mac(2), mac(3)]);
    assert_eq!(list[1].problem.as_deref(), Some("its address is not known"));
    assert_eq!(list[1].status, Status::Unknown);
}

#[test]
fn the_lease_file_adds_cameras_and_changes_addresses() {
    let camera = Listener::accepting();
    let scratch = Scratch::new();
    let file = scratch.file("leases", "");
    let (ip, port) = (camera.address.ip(), camera.address.port());
    let text = format!(
        "[cameras]\ninterval = \"1s\"\ntcp_port = {port}\nlease_file = {file:?}\nhostname_patterns = [\"cam*\"]"
    );
    let watching = Watching::start_in(&text, Scratch::new(), Path::new("/"));
    fs::write(&file, format!("1 {} 192.0.2.9 laptop *\n2 {} {ip} cam-gate *\n", mac(8), mac(9)))
        .expect("written");
    eventually("it is found", || {
        watching.cameras.list().first().is_some_and(|camera| camera.status == Status::Connected)
    });
    assert_eq!(watching.camera(9).hostname.as_deref(), Some("cam-gate"));
    let moved = Listener::at(crate::lan::address(), port, b"", std::time::Duration::ZERO);
    fs::write(&file, format!("3 {} {} cam-gate *\n", mac(9), moved.address.ip())).expect("written");
    eventually("it has moved", || watching.camera(9).ip == Some(moved.address.ip()));
}

#[test]
fn the_neighbour_table_maps_addresses_to_macs_and_back() {
    let (one, two) = (Listener::accepting(), Listener::accepting());
    let root = Scratch::new();
    fs::create_dir_all(root.path().join("proc/net")).expect("a directory");
    let line = |ip, mac| format!("{ip} 0x1 0x2 {mac} * eth0\n");
    let table = format!("head\n{}{}", line(one.address.ip(), mac(1)), line(two.address.ip(), mac(2)));
    fs::write(root.path().join("proc/net/arp"), table).expect("written");
    let only_address = format!(
        "[[cameras.camera]]\naddress = \"{}\"\ntcp_port = {}\nhostname = \"gate\"\n",
        one.address.ip(),
        one.address.port()
    );
    let only_mac = format!("[[cameras.camera]]\nmac = \"{}\"\ntcp_port = {}\n", mac(2), two.address.port());
    let watching = Watching::start_in(&format!("{only_address}{only_mac}"), Scratch::new(), root.path());
    let list = watching.check();
    let shown: Vec<_> = list.iter().map(|camera| (camera.mac, camera.ip, camera.status)).collect();
    let expected = [(mac(1), one.address.ip()), (mac(2), two.address.ip())];
    assert_eq!(shown, expected.map(|(mac, ip)| (mac, Some(ip), Status::Connected)));
    assert_eq!(list[0].hostname.as_deref(), Some("gate"));
    let scratch = watching.stop();
    // In a later run the address is enough to know it again, also without the table.
    let again = Watching::start_in(&only_address, scratch, Path::new("/nowhere"));
    assert_eq!(again.check().iter().map(|camera| camera.mac).collect::<Vec<_>>(), [mac(1)]);
}

#[test]
fn a_camera_with_unknown_mac_is_checked_but_not_listed_and_logged() {
    let camera = Listener::accepting();
    let port = camera.address.port();
    let entry = format!("[{{ address = \"{}\", tcp_port = {port} }}]", camera.address.ip());
    let daemon = Setup::new().toml("cameras.camera", &entry).start();
    let ip = camera.address.ip().to_string();
    daemon.wait_for_line("about it", |line| line.contains(&ip) && line.contains("set mac"));
}

#[test]
fn more_than_the_inbox_holds_is_refused_and_everything_else_arrives() {
    let watching = Watching::start("enabled = false");
    let taken = (0..2000).filter(|n| watching.cameras.add(new(*n, None, None))).count();
    assert!(taken >= 200, "{taken}");
    eventually("all that were taken", || watching.cameras.list().len() == taken);
}
