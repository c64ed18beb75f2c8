use super::*;
use crate::monitor::beat::{Beat, BeatKind, Sample};
use crate::monitor::cameras::minutes::CameraDay;
use crate::monitor::conditions::facts::{CameraFacts, Facts};
use crate::monitor::fleet::Fleet;
use crate::monitor::machine::Description;
use crate::monitor::store::Scratch;
use crate::monitor::store::page::Page;
use std::time::Duration;

const BARN: MachineId = MachineId(1);
const BEGIN: Moment = Moment(1_769_000_040_000);
const MINUTE: Duration = Duration::from_secs(60);
const YEAR: u16 = 365;

fn store(machines: i64) -> Scratch {
    with_machines(Store::scratch(), machines)
}

fn with_machines(store: Scratch, machines: i64) -> Scratch {
    for number in 1..=machines {
        let description = Description { name: format!("m{number}"), ..Description::default() };
        store.add_machine(&description, BEGIN).expect("a machine");
    }
    store
}

fn mac(number: usize) -> Mac {
    Mac::parse(&format!("b8:27:eb:00:00:{number:02x}")).expect("an address")
}

fn today() -> u16 {
    day(minute(BEGIN))
}

fn new(number: usize, day: u16, up: u16, down: u16) -> CameraDay {
    let name = Some(format!("cam{number}").into());
    CameraDay { mac: mac(number), name, day, up, down, reported: u32::from(day) * DAY + 7 }
}

fn saved(store: &Store, machine: MachineId, days: Vec<CameraDay>) {
    let unsaved = UnsavedCameras { days, were_refused: false };
    store.write(|tx| save(tx, &[CamerasToSave { machine, unsaved: &unsaved, at: BEGIN }])).expect("saved");
}

/// Days before today, and their minutes, of the only camera.
fn stored(store: &Store) -> Vec<(u16, u32, u32)> {
    let cameras = store.camera_history(BARN, YEAR, BEGIN).expect("read");
    cameras[0].days.iter().map(|stored| (today() - stored.day, stored.up, stored.down)).collect()
}

#[test]
fn minutes_are_added_to_those_of_their_day_which_has_no_more_than_1440() {
    let store = store(1);
    saved(&store, BARN, vec![new(1, today() - 1, 3, 4), new(1, today(), 1, 0)]);
    saved(&store, BARN, vec![CameraDay { name: None, ..new(1, today(), 0, 2) }, new(1, today(), 0, 0)]);
    assert_eq!(stored(&store), [(1, 3, 4), (0, 1, 2)]);
    saved(&store, BARN, vec![new(1, today(), 1430, 100), new(1, today(), 100, 100)]);
    assert_eq!(stored(&store)[1], (0, 1431, 9));
    let camera = store.camera_history(BARN, 1, BEGIN).expect("read").remove(0);
    assert_eq!((camera.label(), camera.days.len()), ("cam1", 1), "today only");
    saved(&store, MachineId(7), vec![new(1, today(), 1, 1)]);
    assert_eq!(store.stored_cameras().expect("read").len(), 1, "a machine that was removed");
}

#[test]
fn only_a_camera_that_was_never_down_has_100_percent() {
    let percent = |up, down| {
        let days = vec![StoredDay { day: 1, up, down }, StoredDay { day: 2, up, down: 0 }];
        CameraHistory { mac: String::new(), name: None, reported: BEGIN, days }.percent()
    };
    assert_eq!(percent(0, 0), None);
    assert_eq!(percent(1440, 0), Some(100.0));
    assert_eq!(percent(14_000, 1), Some(99.9));
    assert_eq!(percent(0, 3), Some(0.0));
}

#[test]
fn beats_end_up_in_the_table_and_a_failed_write_keeps_the_minutes() {
    let (store, fleet) = (store(1), Fleet::default());
    let beat = |seconds: u64, cameras: usize| {
        let camera = |number| CameraFacts {
            mac: Some(mac(number).to_string().into()),
            hostname: Some("gate".into()),
            is_connected: Some(seconds % 120 < 60),
            failed_checks: None,
        };
        let facts = Facts { cameras: (0..cameras).map(camera).collect(), ..Facts::default() };
        let sample = Sample::default();
        let beat = Beat {
            kind: BeatKind::Live,
            reason: None,
            server: crate::monitor::machine::DeviceServer::Only,
            interval: None,
            device: None,
            hostname: None,
            sample,
            facts,
            payload: "{}",
        };
        fleet.beat(BARN, &beat, BEGIN.plus(Duration::from_secs(seconds)));
    };
    for second in (0..600).step_by(5) {
        beat(second, 1);
        if second % 45 == 0 {
            let unsaved = fleet.drain_unsaved(BEGIN.plus(Duration::from_secs(second)), |_| true);
            fleet.not_saved(unsaved);
        }
    }
    let unsaved = fleet.drain_unsaved(BEGIN.plus(MINUTE * 10), |_| true);
    store.save_beats(&[], &unsaved).expect("saved");
    assert_eq!(stored(&store), [(0, 5, 5)]);

    // A restart in a minute that was saved, and more cameras than are kept.
    let unsaved = fleet.drain_unsaved(BEGIN.plus(MINUTE * 10), |_| true);
    assert!(unsaved.iter().all(|unsaved| unsaved.cameras == UnsavedCameras::default()));
    let known = store.stored_cameras().expect("read").remove(&BARN).expect("of the machine");
    assert_eq!(known[0].reported, minute(BEGIN) + 9);
    fleet.load_cameras(BARN, known);
    for second in (595..720).step_by(5) {
        beat(second, 1);
    }
    let unsaved = fleet.drain_unsaved(BEGIN.plus(MINUTE * 12), |_| true);
    store.save_beats(&[], &unsaved).expect("saved");
    assert_eq!(stored(&store), [(0, 6, 6)]);
}

#[test]
fn too_many_cameras_are_one_event() {
    let store = store(1);
    let unsaved = UnsavedCameras { days: Vec::new(), were_refused: true };
    for machine in [BARN, MachineId(7)] {
        store
            .write(|tx| save(tx, &[CamerasToSave { machine, unsaved: &unsaved, at: BEGIN }]))
            .expect("saved");
    }
    let events = store.events(Page::default(), None, 10).expect("read");
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == TOO_MANY).count(), 1, "{kinds:?}");
}

#[test]
fn days_are_kept_for_a_year_and_cameras_for_30_days_after_the_last_report() {
    let store = store(2);
    saved(
        &store,
        BARN,
        vec![new(1, today() - 365, 1, 0), new(1, today() - 364, 2, 0), new(1, today() - 29, 3, 0)],
    );
    saved(&store, BARN, vec![new(2, today() - 31, 1, 0)]);
    saved(&store, MachineId(2), vec![new(2, today() - 31, 1, 0)]);
    let forgotten = store.age_cameras(1, 2, BEGIN).expect("aged");
    assert_eq!(
        forgotten.iter().map(|camera| (camera.machine, camera.mac)).collect::<Vec<_>>(),
        [(BARN, mac(2))]
    );
    let cameras = store.camera_history(BARN, 400, BEGIN).expect("read");
    assert_eq!(cameras.len(), 1);
    assert_eq!(cameras[0].minutes(), (5, 0));
    let left: i64 =
        store.read(|c| c.query_row("SELECT count(*) FROM camera_day", &[], |row| row.get(0))).expect("read");
    assert_eq!(left, 3, "two of the first camera, one of the other machine");
}

#[test]
fn a_camera_takes_less_than_20_kb_after_a_year() {
    const MACHINES: i64 = 20;
    let store = with_machines(Store::scratch_file(), MACHINES);
    let size = || -> i64 {
        let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        store.read(|connection| connection.query_row(sql, &[], |row| row.get(0))).expect("read")
    };
    let empty = size();
    for ago in (0..YEAR).rev() {
        store
            .write(|tx| {
                for machine in 1..=MACHINES {
                    let days = (0..8).map(|number| new(number, today() - ago, 1400, 40)).collect();
                    save(
                        tx,
                        &[CamerasToSave {
                            machine: MachineId(machine),
                            unsaved: &UnsavedCameras { days, were_refused: false },
                            at: BEGIN,
                        }],
                    )?;
                }
                Ok(())
            })
            .expect("saved");
    }
    let bytes = (size() - empty) / (MACHINES * 8);
    println!("{bytes} bytes per camera");
    assert!(bytes < 20_000, "{bytes} bytes per camera");
}
