//! Miniature roots with processes and units.

use super::*;
use std::process::Command;

struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Root {
        let root = std::env::temp_dir().join(format!("heartbeat-activity-{name}-{}", std::process::id()));
        let root = Root(root);
        root.process(1, "systemd", 'S');
        root
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("created");
        fs::write(path, text).expect("written");
    }

    fn process(&self, pid: u32, name: &str, state: char) {
        self.file(&format!("proc/{pid}/stat"), &format!("{pid} ({name}) {state} 1 1 1 0 -1"));
    }

    fn end(&self, pid: u32) {
        // As a kept /proc/PID/stat fails to be read then.
        self.file(&format!("proc/{pid}/stat"), "");
        fs::remove_dir_all(self.0.join(format!("proc/{pid}"))).expect("removed");
    }

    fn streaming(&self, sign: Sign) -> Activities {
        Activities::new(
            &self.0,
            &config::Activity { streaming: Some(sign), ..Default::default() },
            &Budget::default(),
        )
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn streams(activities: &mut Activities, now: Instant) -> Option<bool> {
    activities.sample(now).streaming
}

#[test]
fn what_is_not_configured_is_unknown() {
    let mut activities = Activities::new(Path::new("/"), &config::Activity::default(), &Budget::default());
    assert_eq!(activities.sample(Instant::now()), ActivityState::default());
    assert!(activities.reports(Instant::now()).is_empty());
}

#[test]
fn a_pid_file_counts_while_its_process_runs() {
    let root = Root::new("pidfile");
    let now = Instant::now();
    let mut activities = root.streaming(Sign::Pidfile("/run/stream.pid".into()));
    assert_eq!(streams(&mut activities, now), Some(false), "no pid file");
    root.file("run/stream.pid", "4711\n");
    assert_eq!(streams(&mut activities, now), Some(false), "no process");
    root.process(4711, "ffmpeg", 'S');
    assert_eq!(streams(&mut activities, now), Some(true));
    root.process(4711, "ffmpeg", 'Z');
    assert_eq!(streams(&mut activities, now), Some(false), "a zombie has ended");
}

#[test]
fn a_process_may_have_a_nasty_name() {
    let root = Root::new("name");
    root.process(5, "a) Z (b", 'R');
    assert_eq!(living_name(&mut stat_of(&root.0, 5)), Ok(Some("a) Z (b".to_owned())));
}

#[test]
fn an_invalid_pid_file_is_unknown_with_a_reason() {
    let root = Root::new("garbage");
    let mut activities = root.streaming(Sign::Pidfile("/run/stream.pid".into()));
    for text in ["", "abc", "-1", "99999999999", "\u{fffd}"] {
        root.file("run/stream.pid", text);
        assert_eq!(streams(&mut activities, Instant::now()), None, "{text:?}");
    }
    let inspection = activities.reports(Instant::now()).remove(0);
    assert_eq!(inspection.name, "streaming");
    assert!(inspection.value.expect_err("garbage").ends_with("is not a pid"));
}

#[test]
fn a_process_is_found_by_its_name_and_remembered() {
    let root = Root::new("process");
    let now = Instant::now();
    root.process(1, "systemd", 'S');
    root.process(77, "mediamtx", 'S');
    root.file("proc/self/stat", "9 (mediamtx) S");
    let mut activities = root.streaming(Sign::Process("mediamtx".into()));
    assert_eq!(streams(&mut activities, now), Some(true));
    root.end(77);
    root.process(78, "mediamtx", 'S');
    assert_eq!(streams(&mut activities, now), Some(true), "restarted: looked for at once");
    root.end(78);
    assert_eq!(streams(&mut activities, now), Some(false));
}

#[test]
fn processes_are_looked_through_every_ten_seconds_at_most() {
    let root = Root::new("scan");
    let now = Instant::now();
    let mut activities = root.streaming(Sign::Process("mediamtx".into()));
    assert_eq!(streams(&mut activities, now), Some(false));
    root.process(77, "mediamtx", 'S');
    assert_eq!(streams(&mut activities, now + SCAN_EVERY / 2), Some(false), "not looked for yet");
    assert_eq!(streams(&mut activities, now + SCAN_EVERY), Some(true));
}

#[test]
fn where_other_processes_are_hidden_an_activity_is_unknown_and_not_over() {
    let root = Root::new("hidden");
    let now = Instant::now();
    root.end(1);
    root.process(4711, "heartbeat-daemon", 'S');
    root.file("run/stream.pid", "77\n");
    for sign in [Sign::Pidfile("/run/stream.pid".into()), Sign::Process("mediamtx".into())] {
        let mut activities = root.streaming(sign);
        assert_eq!(streams(&mut activities, now), None);
        assert!(activities.reports(now)[0].value.as_ref().is_err_and(|why| why.contains("ProtectProc=")));
    }
}

#[test]
fn a_pid_reused_by_another_program_does_not_count() {
    let root = Root::new("reused");
    let now = Instant::now();
    root.process(77, "mediamtx", 'S');
    let mut activities = root.streaming(Sign::Process("mediamtx".into()));
    assert_eq!(streams(&mut activities, now), Some(true));
    root.process(77, "bash", 'S');
    assert_eq!(streams(&mut activities, now), Some(false));
}

#[test]
fn a_unit_counts_while_its_cgroup_holds_a_process() {
    for (tree, unit, place) in [
        ("sys/fs/cgroup", "mediamtx.service", "system.slice/mediamtx.service"),
        ("sys/fs/cgroup", "cam@1.service", "system.slice/system-cam.slice/cam@1.service"),
        ("sys/fs/cgroup", "my-cam@1.service", r"system.slice/system-my\x2dcam.slice/my-cam@1.service"),
        ("sys/fs/cgroup/unified", "mediamtx.service", "system.slice/mediamtx.service"),
    ] {
        let root = Root::new("unit");
        let mut activities = root.streaming(Sign::Unit(unit.into()));
        let now = Instant::now();
        assert_eq!(streams(&mut activities, now), None, "no systemd at all");
        root.file(&format!("{tree}/system.slice/cgroup.events"), "populated 1\nfrozen 0\n");
        assert_eq!(streams(&mut activities, now), Some(false), "not started");
        root.file(&format!("{tree}/{place}/cgroup.events"), "populated 1\nfrozen 0\n");
        assert_eq!(streams(&mut activities, now), Some(true), "{unit}");
        root.file(&format!("{tree}/{place}/cgroup.events"), "populated 0\nfrozen 0\n");
        assert_eq!(streams(&mut activities, now), Some(false), "{unit}");
    }
}

#[test]
fn a_unit_of_cgroup_v1_counts_while_a_pid_is_listed() {
    let root = Root::new("v1");
    let mut activities = root.streaming(Sign::Unit("mediamtx.service".into()));
    let place = "sys/fs/cgroup/systemd/system.slice/mediamtx.service/cgroup.procs";
    root.file(place, "");
    assert_eq!(streams(&mut activities, Instant::now()), Some(false));
    root.file(place, "812\n");
    assert_eq!(streams(&mut activities, Instant::now()), Some(true));
}

#[test]
fn the_recording_file_is_reported_only_while_recording() {
    let root = Root::new("recording");
    root.file("data/rec/a.mp4", "12345");
    let directory = config::Activity { recording_dir: Some("/data/rec".into()), ..Default::default() };
    let mut unknown = Activities::new(&root.0, &directory, &Budget::default());
    assert_eq!(unknown.sample(Instant::now()), ActivityState::default());
    let sign = Some(Sign::Pidfile("/run/rec.pid".into()));
    let config = config::Activity { recording: sign, ..directory };
    let mut activities = Activities::new(&root.0, &config, &Budget::default());
    let stopped = activities.sample(Instant::now());
    assert_eq!((stopped.recording, stopped.recording_file), (Some(false), None));
    root.file("run/rec.pid", "9");
    root.process(9, "rpicam-vid", 'S');
    let file = RecordingFile { path: "/data/rec/a.mp4".into(), bytes: 5 };
    // The worker needs longer than one sample on a busy machine.
    while activities.sample(Instant::now()).recording_file.as_ref() != Some(&file) {
        std::thread::yield_now();
    }
    assert_eq!(activities.sample(Instant::now()).recording, Some(true));
}

#[test]
fn a_real_process_of_this_machine_is_seen_to_live_and_to_die() {
    let mut child = Command::new("/bin/sleep").arg("600").spawn().expect("sleep starts");
    let mut stat = stat_of(Path::new("/"), child.id());
    // The child has its name once it has become /bin/sleep.
    while !bears(&mut stat, "sleep") {
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    // Until its status is read it is a zombie, which still has an entry.
    while living_name(&mut stat).expect("readable").is_some() {
        std::thread::yield_now();
    }
    assert!(stat.path().exists());
    child.wait().expect("ended");
    assert_eq!(living_name(&mut stat), Ok(None));
}
