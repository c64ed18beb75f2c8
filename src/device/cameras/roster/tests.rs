use super::*;
use crate::config::Source;
use std::path::Path;

fn roster(text: &str) -> (Roster, Now) {
    let config = config::Config::from_source(&Source::new("test", text), &|_| None).expect(text);
    let now = Now::read();
    (Roster::new(config.cameras, Vec::new(), now), now)
}

fn mac(number: u16) -> Mac {
    let [high, low] = number.to_be_bytes();
    format!("02:00:00:00:{high:02x}:{low:02x}").parse().expect("a MAC")
}

fn no_neighbours() -> Neighbours {
    Neighbours::read(Path::new("/nowhere"))
}

fn started(roster: &mut Roster, now: Now) -> Vec<CameraCheck> {
    let mut checks = Vec::new();
    roster.start_due(now, no_neighbours, |check| checks.push(check));
    checks
}

#[test]
fn there_are_no_more_cameras_than_allowed() {
    let (mut roster, now) = roster("");
    for number in 0..=u16::try_from(MOST_CAMERAS).expect("few") {
        roster.add(NewCamera { mac: mac(number), hostname: None, ip: None }, CameraOrigin::Api, now);
    }
    assert_eq!((roster.cameras().count(), roster.full), (MOST_CAMERAS, true));
}

#[test]
fn cameras_are_removed_one_or_all_but_those_of_the_configuration_stay() {
    let (mut roster, now) = roster("[[cameras.camera]]\nmac = \"02:00:00:00:00:01\"");
    for number in [2, 3, 4] {
        roster.add(NewCamera { mac: mac(number), hostname: None, ip: None }, CameraOrigin::Api, now);
    }
    roster.drain_changes();
    let macs = |roster: &Roster| roster.cameras().map(|(mac, _)| mac).collect::<Vec<_>>();
    roster.remove(Some(mac(3)));
    assert_eq!(macs(&roster), [1, 2, 4].map(mac));
    assert!(roster.drain_changes().set, "the state file follows");
    roster.remove(Some(mac(1)));
    roster.remove(Some(mac(9)));
    assert!(!roster.drain_changes().set);
    roster.remove(None);
    assert_eq!(macs(&roster), [mac(1)]);
}

#[test]
fn invented_dhcp_clients_neither_fill_the_list_nor_displace_a_camera_that_answered() {
    let (mut roster, now) = roster("[cameras]\nhostname_patterns = [\"cam-*\"]");
    let event = |number: u16| DhcpEvent {
        action: DhcpAction::Add,
        mac: mac(number),
        ip: Some([192, 0, 2, 1].into()),
        hostname: Some("cam-gate".into()),
    };
    roster.apply_dhcp(event(1), now);
    let check = started(&mut roster, now).pop().expect("one");
    roster.finish(check.finish(Ok(Duration::ZERO)), now, no_neighbours);
    let added = NewCamera { mac: mac(2), hostname: None, ip: None };
    roster.add(added, CameraOrigin::Api, now);
    let most = u16::try_from(MOST_CAMERAS).expect("few");
    for number in 3..2 * most {
        roster.apply_dhcp(event(number), now);
    }
    roster.add(NewCamera { mac: mac(u16::MAX), hostname: None, ip: None }, CameraOrigin::Api, now);
    let macs: Vec<_> = roster.cameras().map(|(mac, _)| mac).collect();
    assert_eq!(macs.len(), MOST_CAMERAS);
    for kept in [1, 2, 2 * most - 1, u16::MAX] {
        assert!(macs.contains(&mac(kept)), "camera {kept} is listed");
    }
    assert!(!macs.contains(&mac(3)), "the oldest invented one is gone");
}

#[test]
fn a_result_from_an_old_address_is_dropped_and_the_camera_is_checked_again() {
    let (mut roster, now) = roster("");
    let at = |last| NewCamera { mac: mac(1), hostname: None, ip: Some([192, 0, 2, last].into()) };
    roster.add(at(1), CameraOrigin::Api, now);
    let check = started(&mut roster, now).pop().expect("one");
    roster.add(at(2), CameraOrigin::Api, now);
    assert!(started(&mut roster, now).is_empty(), "it is being checked");
    roster.finish(check.finish(Ok(Duration::ZERO)), now, no_neighbours);
    assert_eq!(roster.list(now)[0].status, Status::Unknown);
    assert_eq!(started(&mut roster, now).pop().map(|check| check.ip), Some([192, 0, 2, 2].into()));
}

#[test]
fn a_problem_of_this_machine_leaves_the_status_of_a_camera() {
    let (mut roster, now) = roster("");
    let ip = Some([192, 0, 2, 1].into());
    roster.add(NewCamera { mac: mac(1), hostname: None, ip }, CameraOrigin::Api, now);
    let check = started(&mut roster, now).pop().expect("one");
    roster.finish(check.finish(Ok(Duration::ZERO)), now, no_neighbours);
    for problem in [Problem::NotAllowed, Problem::IcmpForbidden, Problem::Own(std::io::ErrorKind::Other)] {
        roster.apply_result(CameraKey::Mac(mac(1)), Err(problem), now);
        let camera = roster.list(now).pop().expect("one");
        assert_eq!((camera.status, camera.reachable), (Status::Connected, None));
        assert_eq!(camera.problem, Some(problem.to_string()));
    }
    assert!(roster.drain_changes().reported.is_empty());
    roster.apply_result(CameraKey::Mac(mac(1)), Err(Problem::NoRoute), now);
    assert_eq!(roster.drain_changes().reported, [CameraKey::Mac(mac(1))]);
}

#[test]
fn a_check_of_all_does_not_start_a_running_check_twice() {
    let (mut roster, now) =
        roster("[[cameras.camera]]\naddress = \"192.0.2.1\"\nmac = \"02:00:00:00:00:01\"");
    assert_eq!(started(&mut roster, now).len(), 1);
    roster.make_all_due(now.monotonic);
    assert!(started(&mut roster, now).is_empty());
    assert_eq!(roster.due(), None, "nothing to wake up for but its result");
}
