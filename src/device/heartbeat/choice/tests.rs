use super::*;

const INTERVAL: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

/// Two servers and a clock.
struct Rig {
    choice: ServerChoice,
    now: Instant,
    /// Whether each takes heartbeats.
    takes: [bool; 3],
    miss: Miss,
    /// The servers that took each beat.
    took: Vec<usize>,
}

impl Rig {
    fn new(count: usize) -> Rig {
        let now = Instant::now();
        let choice = ServerChoice::new(INTERVAL, count, now);
        Rig { choice, now, takes: [true; 3], miss: Miss::Failed, took: Vec::new() }
    }

    /// One scheduled heartbeat with its immediate repetitions, and one check. Returns the server that took it.
    fn beat(&mut self) -> Option<usize> {
        let taken = (0..8).find_map(|_| self.send());
        if let Some(server) = self.choice.check_due(self.now) {
            let result = if self.takes[server] { Ok(()) } else { Err(self.miss) };
            self.choice.checked(server, result, self.now, 0.0);
        }
        self.now += INTERVAL;
        self.took.extend(taken);
        taken
    }

    /// `None` if it is not to be repeated now.
    fn send(&mut self) -> Option<usize> {
        self.choice.choose(false, self.now).ok()?;
        let server = self.choice.current();
        if self.takes[server] {
            self.choice.accepted();
            return Some(server);
        }
        let again = self.choice.missed(self.miss, false, self.now, 0.0);
        if again.is_none_or(|at| at > self.now) {
            self.now += Duration::from_millis(1);
        }
        None
    }
}

#[test]
fn the_next_server_takes_the_same_beat_whatever_the_first_does() {
    for miss in [Miss::Failed, Miss::Refused, Miss::Busy(SECOND * 60)] {
        let mut rig = Rig::new(2);
        assert_eq!(rig.beat(), Some(0));
        (rig.takes, rig.miss) = ([false, true, true], miss);
        for _ in 0..10 {
            assert_eq!(rig.beat(), Some(1), "{miss:?}");
        }
    }
}

#[test]
fn the_first_server_is_used_again_after_three_checks_that_last_for_the_hold_down() {
    let mut rig = Rig::new(2);
    rig.takes = [false, true, true];
    for _ in 0..20 {
        assert_eq!(rig.beat(), Some(1));
    }
    rig.takes[0] = true;
    let on_backup = (0..20).take_while(|_| rig.beat() == Some(1)).count();
    // A check of a dead server every 15 s, then three or more in 15 s.
    assert!((4..=7).contains(&on_backup), "{on_backup}");
    assert_eq!(rig.beat(), Some(0));
}

#[test]
fn a_first_server_that_flaps_is_left_alone_for_longer_each_time_and_no_beat_is_lost() {
    let mut rig = Rig::new(2);
    for beat in 0..720 {
        // Up for 20 s, down for 10 s.
        rig.takes[0] = beat % 6 < 4;
        assert!(rig.beat().is_some(), "beat {beat}");
    }
    let changes = rig.took.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes <= 2, "{changes} changes: 20 s are too short for three checks in 15 s after one");
}

#[test]
fn a_refused_token_of_the_backup_is_noticed_before_it_is_needed_and_checked_hourly_when_it_works() {
    let mut rig = Rig::new(2);
    assert_eq!(rig.choice.works(1), None);
    rig.beat();
    assert_eq!(rig.choice.works(1), Some(true), "checked with the first beat");
    let until = rig.now + STANDBY_CHECK / 2;
    while rig.now < until {
        assert_eq!(rig.choice.check_due(rig.now), None);
        rig.beat();
    }
    let later = rig.now + STANDBY_CHECK;
    assert_eq!(rig.choice.check_due(later), Some(1));
    assert!(!rig.choice.checked(1, Err(Miss::Refused), later, 0.0));
    assert_eq!(rig.choice.works(1), Some(false));
    assert_eq!(rig.choice.check_due(later + STANDBY_RECHECK), Some(1));
}

#[test]
fn each_server_has_its_own_pause_and_only_when_all_require_one_nothing_is_sent() {
    let mut rig = Rig::new(2);
    rig.choice.choose(false, rig.now).expect("the first");
    let pause = |seconds| Miss::Busy(SECOND * seconds);
    assert_eq!(rig.choice.missed(pause(60), false, rig.now, 0.0), Some(rig.now), "the other one at once");
    rig.choice.choose(false, rig.now).expect("the other one");
    assert_eq!(rig.choice.current(), 1);
    assert_eq!(rig.choice.missed(pause(20), false, rig.now, 0.0), None, "the next beat will do");
    assert_eq!(rig.choice.choose(true, rig.now + SECOND), Err(rig.now + SECOND * 20));
    rig.choice.choose(false, rig.now + SECOND * 20).expect("its pause is over");
    assert_eq!(rig.choice.current(), 1);
    assert_eq!(rig.choice.check_due(rig.now + SECOND * 59), None, "a check respects the pause as well");
}

#[test]
fn while_none_answers_all_are_tried_in_turn_and_an_urgent_heartbeat_goes_to_the_one_that_worked() {
    let mut rig = Rig::new(3);
    rig.takes = [false, true, true];
    assert_eq!(rig.beat(), Some(1));
    rig.takes = [false; 3];
    let mut tried = [0; 3];
    for _ in 0..60 {
        rig.choice.choose(false, rig.now).expect("no pause");
        tried[rig.choice.current()] += 1;
        let again = rig.choice.missed(Miss::Failed, false, rig.now, 0.0).expect("a retry");
        rig.now = again.max(rig.now + Duration::from_millis(10));
    }
    assert!(tried.iter().all(|count| *count >= 10), "{tried:?}");
    // All have just failed.
    for server in 0..3 {
        rig.choice.servers[server].due = Some(rig.now + SECOND);
    }
    rig.choice.choose(true, rig.now).expect("no pause");
    assert_eq!(rig.choice.current(), 1);
}

#[test]
fn a_result_for_a_server_that_is_used_meanwhile_or_does_not_exist_changes_nothing() {
    let mut rig = Rig::new(2);
    assert!(!rig.choice.checked(0, Err(Miss::Failed), rig.now, 0.0));
    assert!(!rig.choice.checked(7, Ok(()), rig.now, 0.0));
    assert_eq!((rig.choice.works(0), rig.choice.works(7)), (None, None));
}
