use super::*;
use crate::monitor::conditions::facts::Facts;

const MACHINE: MachineId = MachineId(7);
const BEGIN: Moment = Moment(1_769_000_040_000);

fn beat(cpu: Option<f32>, payload: &str) -> Beat<'_> {
    let sample = Sample { cpu, ..Sample::default() };
    Beat {
        kind: BeatKind::Live,
        reason: None,
        server: crate::monitor::machine::DeviceServer::Only,
        interval: None,
        device: None,
        hostname: None,
        sample,
        facts: Facts::default(),
        payload,
    }
}

fn seconds(count: u64) -> Moment {
    BEGIN.plus(Duration::from_secs(count))
}

fn all(_: MachineId) -> bool {
    true
}

#[test]
fn the_recorder_is_notified_once_of_a_returning_machine() {
    let fleet = Fleet::default();
    let live = beat(None, "{}");
    assert_eq!(fleet.beat(MACHINE, &live, BEGIN), BeatEffect::Back);
    assert_eq!(fleet.beat(MACHINE, &live, BEGIN), BeatEffect::Nothing, "it knows already");
    fleet.believe(MACHINE, Belief::Away);
    assert_eq!(fleet.beat(MACHINE, &live, BEGIN), BeatEffect::Back, "it did not succeed");
    fleet.believe(MACHINE, Belief::Online);
    assert_eq!(fleet.beat(MACHINE, &live, BEGIN), BeatEffect::Nothing);
    let shutdown = Beat { kind: BeatKind::Shutdown, ..live.clone() };
    assert_eq!(fleet.beat(MACHINE, &shutdown, BEGIN), BeatEffect::Shutdown);
    assert_eq!(fleet.beat(MACHINE, &live, BEGIN), BeatEffect::Back);
}

#[test]
fn changes_are_drained_once_and_again_after_a_failed_write() {
    let fleet = Fleet::default();
    for machine in [9, 1, 5] {
        fleet.beat(MachineId(machine), &beat(None, "{}"), BEGIN);
    }
    let taken = fleet.drain_changed();
    assert_eq!(taken, [1, 5, 9].map(|machine| (MachineId(machine), BEGIN)), "neighbours together");
    assert_eq!(fleet.drain_changed(), []);
    fleet.not_written(&taken);
    fleet.beat(MachineId(5), &beat(None, "{}"), seconds(5));
    assert_eq!(fleet.drain_changed()[1], (MachineId(5), seconds(5)));
}

#[test]
fn a_minute_is_the_mean_of_its_beats_and_what_was_never_measured_is_absent() {
    let fleet = Fleet::default();
    for (second, cpu) in [(0, Some(10.0)), (5, None), (10, Some(20.0)), (60, Some(50.0))] {
        fleet.beat(MACHINE, &beat(cpu, "{}"), seconds(second));
    }
    let minutes: Vec<_> = fleet.minutes(MACHINE).iter().map(|(_, packed)| packed.sample()).collect();
    assert_eq!(minutes.iter().map(|sample| sample.cpu).collect::<Vec<_>>(), [Some(15.0), Some(50.0)]);
    assert_eq!(minutes[0].mem, None);
    let unsaved = fleet.drain_unsaved(seconds(60), all);
    assert_eq!(unsaved[0].minutes.len(), 1, "the second one is not over");
    assert_eq!(fleet.drain_unsaved(seconds(121), all)[0].minutes.len(), 1);
    assert_eq!(fleet.drain_unsaved(seconds(300), all), []);
}

#[test]
fn an_invalid_hostname_is_dropped() {
    let fleet = Fleet::default();
    for name in ["barn\nBcc: all", "b\u{202e}nrab", "a b", "", &"x".repeat(254)] {
        let hostname = Some(name.into());
        fleet.beat(MACHINE, &Beat { hostname, ..beat(Some(1.0), "{}") }, BEGIN);
    }
    assert_eq!(fleet.drain_unsaved(seconds(300), all)[0].hostname, None);
    fleet.beat(MACHINE, &Beat { hostname: Some("barn-cam".into()), ..beat(Some(1.0), "{}") }, BEGIN);
    assert_eq!(fleet.drain_unsaved(seconds(600), all)[0].hostname.as_deref(), Some("barn-cam"));
}

#[test]
fn a_payload_that_is_too_long_is_not_kept_and_its_figures_are() {
    let fleet = Fleet::default();
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_PAYLOAD));
    fleet.beat(MACHINE, &beat(Some(3.0), &long), BEGIN);
    let newest = fleet.newest(MACHINE).expect("heard");
    assert_eq!((newest.payload, newest.sample.cpu), (None, Some(3.0)));
    fleet.beat(MACHINE, &beat(None, "{}"), BEGIN);
    assert_eq!(fleet.newest(MACHINE).expect("heard").payload.as_deref(), Some("{}"));
}

#[test]
fn what_cannot_be_saved_is_kept_in_order_and_bounded() {
    let fleet = Fleet::default();
    for minute in 0..200 {
        fleet.beat(MACHINE, &beat(Some(minute as f32 / 2.0), "{}"), seconds(minute * 60));
        let unsaved = fleet.drain_unsaved(seconds(minute * 60), all);
        fleet.not_saved(unsaved);
    }
    let unsaved = fleet.drain_unsaved(seconds(200 * 60), all).remove(0);
    assert_eq!(unsaved.payload.as_deref(), Some("{}"));
    let numbers: Vec<i64> = unsaved.minutes.iter().map(|(number, _)| *number - BEGIN.0 / 60_000).collect();
    assert_eq!(numbers, (80..200).collect::<Vec<i64>>(), "the oldest are gone");
}

#[test]
fn beats_from_many_threads_all_count() {
    let fleet = Fleet::default();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let fleet = &fleet;
            scope.spawn(move || {
                for machine in 0..1000 {
                    fleet.beat(MachineId(machine), &beat(Some(thread as f32), "{}"), BEGIN);
                }
            });
        }
    });
    assert_eq!((fleet.len(), fleet.drain_changed().len()), (1000, 1000));
    assert_eq!(fleet.minutes(MACHINE)[0].1.sample().cpu, Some(1.5), "the mean of all four");
}
