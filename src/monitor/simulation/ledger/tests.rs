use super::*;

/// Threshold 3 s, check interval 1 s, slack 1 s.
const DEADLINES: AlertDeadlines = AlertDeadlines {
    threshold: Duration::from_secs(3),
    check_interval: Duration::from_secs(1),
    slack: Duration::from_secs(1),
};
const END: Duration = Duration::from_secs(60);

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Silent from second 10, and back at second 20.
fn outage(machine: u32) -> CausedOutage {
    CausedOutage {
        machine,
        heard: at(10.0),
        silent: at(10.5),
        resumed: Some(at(20.0)),
        acknowledged: Some(at(20.1)),
    }
}

fn alert(id: i64, machine: u32, kind: AlertKind, seconds: f64) -> ReceivedAlert {
    ReceivedAlert { id, machine, kind, at: at(seconds) }
}

fn offline(id: i64, seconds: f64) -> ReceivedAlert {
    alert(id, 1, AlertKind::Offline, seconds)
}

fn online(id: i64, seconds: f64) -> ReceivedAlert {
    alert(id, 1, AlertKind::Online, seconds)
}

/// The faults of machine 1 with its one outage, shortened to their first three words.
fn faults(alerts: &[ReceivedAlert]) -> Vec<String> {
    faults_of(&[outage(1)], alerts, END)
}

fn faults_of(outages: &[CausedOutage], alerts: &[ReceivedAlert], end: Duration) -> Vec<String> {
    let verdict = judge(outages, alerts, &DEADLINES, end);
    let text = |fault: &AlertFault| fault.to_string().split(':').next().unwrap_or_default().to_owned();
    verdict.faults.iter().map(text).collect()
}

#[test]
fn an_outage_with_one_message_for_each_change_is_as_it_should_be() {
    let verdict = judge(&[outage(1)], &[offline(1, 13.5), online(2, 20.05)], &DEADLINES, END);
    assert_eq!((verdict.outages, verdict.offline, verdict.online), (1, 1, 1));
    assert_eq!((verdict.offline_delay, verdict.online_delay), (at(0.5), Duration::ZERO));
    assert!(verdict.faults.is_empty());
}

#[test]
fn no_outage_and_no_message_is_as_it_should_be() {
    assert_eq!(judge(&[], &[], &DEADLINES, END), Verdict::default());
}

#[test]
fn a_message_that_does_not_come_is_missing() {
    assert_eq!(faults(&[]), ["missing simulated-1 offline", "missing simulated-1 online"]);
    assert_eq!(faults(&[offline(1, 14.0)]), ["missing simulated-1 online"]);
}

#[test]
fn a_second_message_is_doubled_and_a_repeated_delivery_is_not() {
    let all = [offline(1, 14.0), offline(2, 14.5), online(3, 20.5), online(4, 20.9)];
    assert_eq!(faults(&all), ["doubled simulated-1 offline", "doubled simulated-1 online"]);
    let again = [offline(1, 14.0), offline(1, 19.0), online(3, 20.5), online(3, 59.0)];
    let verdict = judge(&[outage(1)], &again, &DEADLINES, END);
    assert_eq!((verdict.repeated, verdict.faults.len()), (2, 0));
}

#[test]
fn a_message_about_another_machine_is_false_and_does_not_count_for_this_one() {
    let all = [alert(1, 2, AlertKind::Offline, 14.0), alert(2, 2, AlertKind::Online, 20.5)];
    assert_eq!(
        faults(&all),
        [
            "missing simulated-1 offline",
            "missing simulated-1 online",
            "false simulated-2 offline",
            "false simulated-2 online"
        ]
    );
}

#[test]
fn a_return_without_an_outage_before_it_is_false() {
    assert_eq!(faults(&[online(1, 20.5)]), ["false simulated-1 online", "missing simulated-1 offline"]);
    assert_eq!(
        faults(&[online(1, 15.0), offline(2, 14.0), online(3, 20.5)]),
        ["false simulated-1 online"],
        "while it is silent"
    );
    assert_eq!(
        faults(&[online(1, 20.5), offline(2, 21.0)]),
        ["false simulated-1 online", "false simulated-1 offline", "missing simulated-1 offline"]
    );
}

#[test]
fn a_message_before_the_outage_or_before_the_threshold_is_false() {
    let rest = [offline(8, 14.0), online(9, 20.5)];
    for early in [2.0, 9.9, 10.2, 12.9] {
        let all = [&[offline(1, early)], &rest[..]].concat();
        assert_eq!(faults(&all), ["false simulated-1 offline"], "{early}");
    }
}

#[test]
fn a_message_after_its_deadline_is_late() {
    assert_eq!(faults(&[offline(1, 15.5), online(2, 21.1)]), Vec::<String>::new());
    assert_eq!(
        faults(&[offline(1, 15.6), online(2, 21.2)]),
        ["late simulated-1 offline", "late simulated-1 online"]
    );
    assert_eq!(
        faults(&[offline(1, 20.5), online(2, 20.6)]),
        ["late simulated-1 offline"],
        "when it was back already"
    );
}

#[test]
fn another_outage_of_the_same_machine_has_messages_of_its_own() {
    let later = CausedOutage {
        heard: at(40.0),
        silent: at(40.5),
        resumed: Some(at(50.0)),
        acknowledged: Some(at(50.1)),
        ..outage(1)
    };
    let both = [later, outage(1)];
    let first = [online(2, 20.2), offline(1, 14.0)];
    let second = [offline(3, 44.0), online(4, 50.2)];
    assert_eq!(faults_of(&both, &[&second[..], &first].concat(), END), Vec::<String>::new());
    assert_eq!(faults_of(&both, &first, END), ["missing simulated-1 offline", "missing simulated-1 online"]);
    let between = [&first[..], &[offline(7, 30.0)], &second].concat();
    assert_eq!(faults_of(&both, &between, END), ["false simulated-1 offline"]);
}

#[test]
fn a_message_is_not_missing_before_its_deadline() {
    let begun = CausedOutage { resumed: None, acknowledged: None, ..outage(1) };
    assert_eq!(faults_of(&[begun], &[], at(15.4)), Vec::<String>::new());
    assert_eq!(judge(&[begun], &[], &DEADLINES, at(15.4)).pending, 1);
    assert_eq!(judge(&[outage(1)], &[offline(1, 14.0)], &DEADLINES, at(21.0)).pending, 1);
    assert_eq!(faults_of(&[begun], &[], at(15.5)), ["missing simulated-1 offline"]);
    let resumed = CausedOutage { acknowledged: None, ..outage(1) };
    assert_eq!(faults_of(&[resumed], &[offline(1, 14.0)], END), Vec::<String>::new());
    assert_eq!(faults_of(&[resumed], &[offline(1, 14.0), online(2, 25.0)], END), Vec::<String>::new());
}

#[test]
fn flapping_is_false() {
    let all = [offline(1, 14.0), online(2, 20.5), alert(3, 1, AlertKind::Flapping, 30.0)];
    assert_eq!(faults(&all), ["false simulated-1 flapping"]);
}
