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
    Mac::parse(&format!("02:00:00:00:{high:02x}:{low:02x}")).expect("a MAC")
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
fn a_result_from_an_old_address_is_dropped_and_a_new_check_is_due() {
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

/// Runs all checks that are due within `seconds`, each ending at once with this result, and returns when they started.
fn checks_within(
    roster: &mut Roster,
    begin: Now,
    from: u64,
    to: u64,
    result: Result<Duration, Problem>,
) -> Vec<f64> {
    let mut times = Vec::new();
    while let Some(due) = roster.due().filter(|due| *due < begin.monotonic + Duration::from_secs(to)) {
        let now = Now { monotonic: due, ..begin };
        let since = due.saturating_duration_since(begin.monotonic);
        assert!(since >= Duration::from_secs(from), "{since:?}");
        for check in started(roster, now) {
            times.push(since.as_secs_f64());
            roster.finish(check.finish(result), now, no_neighbours);
        }
    }
    times
}

const ONE: &str = "[[cameras.camera]]\naddress = \"192.0.2.1\"\nmac = \"02:00:00:00:00:01\"\ninterval = ";

#[test]
fn a_first_failure_adds_checks_after_2_and_5_s_and_leaves_the_schedule() {
    for (interval, expected) in [
        ("1m", &[0.0, 2.0, 5.0, 60.0, 120.0][..]),
        ("5s", &[0.0, 2.0, 5.0, 10.0, 15.0]),
        ("3s", &[0.0, 2.0, 3.0, 6.0, 9.0]),
        ("2s", &[0.0, 2.0, 4.0, 6.0, 8.0]),
        ("1s", &[0.0, 1.0, 2.0, 3.0, 4.0]),
    ] {
        let (mut roster, now) = roster(&format!("{ONE}\"{interval}\""));
        let times = checks_within(&mut roster, now, 0, 130, Err(Problem::Refused));
        assert_eq!(times[..expected.len()], *expected, "{interval}");
    }
}

#[test]
fn a_success_ends_the_additional_checks_and_the_next_failure_is_a_first_one_again() {
    let (mut roster, now) = roster(&format!("{ONE}\"1m\""));
    assert_eq!(roster.list(now)[0].failed_checks, None, "never checked");
    assert_eq!(checks_within(&mut roster, now, 0, 1, Err(Problem::NoAnswer)), [0.0]);
    assert_eq!(roster.list(now)[0].failed_checks, Some(1));
    assert_eq!(checks_within(&mut roster, now, 1, 61, Ok(Duration::ZERO)), [2.0, 60.0]);
    assert_eq!(roster.list(now)[0].failed_checks, Some(0));
    assert_eq!(checks_within(&mut roster, now, 61, 180, Err(Problem::NoAnswer)), [120.0, 122.0, 125.0]);
    assert_eq!(roster.list(now)[0].failed_checks, Some(3));
}

#[test]
fn only_the_second_failure_in_a_row_is_news_beside_a_change_of_the_status() {
    let (mut roster, now) = roster(&format!("{ONE}\"1s\"\nfailures = 4"));
    let key = CameraKey::Mac(mac(1));
    let mut news = |result| {
        roster.apply_result(key, result, now);
        let changes = roster.drain_changes();
        (changes.second_failure, changes.reported.len())
    };
    let failure = Err(Problem::Refused);
    assert_eq!(news(Ok(Duration::ZERO)), (false, 0), "the first status");
    assert_eq!(news(failure), (false, 0));
    assert_eq!(news(Err(Problem::NotAllowed)), (false, 0), "this machine's fault does not count");
    assert_eq!(news(failure), (true, 0));
    assert_eq!(news(Err(Problem::NotAllowed)), (false, 0), "nor twice");
    assert_eq!(news(failure), (false, 0));
    assert_eq!(news(failure), (false, 1), "disconnected");
    assert_eq!(news(failure), (false, 0));
    assert_eq!(news(Ok(Duration::ZERO)), (false, 1));
}

#[test]
fn without_checks_of_its_own_the_daemon_adds_none() {
    let (mut roster, now) = roster(&format!("[cameras]\nenabled = false\n{ONE}\"1m\""));
    roster.make_all_due(now.monotonic);
    assert_eq!(checks_within(&mut roster, now, 0, 60, Err(Problem::Refused)), [0.0]);
    assert_eq!(roster.list(now)[0].failed_checks, Some(1));
}
