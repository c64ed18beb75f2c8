//! What the metrics thread reads on each board: the miniature roots of `tests/fixtures`, as recorded there.

use heartbeat_daemon::device::config;
use heartbeat_daemon::device::metrics::{Identity, Origin, identify};
use heartbeat_daemon::device::metrics::{Reading, Sampler, SourceReport, render};
use heartbeat_daemon::wire::{Throttle, Throttled, Values};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BOARDS: [&str; 6] = ["pi3", "pi4", "pi5-idle", "pi5-loaded", "zero2w", "pc"];

/// Two samples of a board, 1000 ticks apart of which 125 were busy, with every slow source asked in between.
fn read(board: &str) -> Reading {
    let root = copy_of(board);
    let mut sampler = sampler(root.path());
    let now = Instant::now();
    assert_eq!(sampler.sample(now).values.cpu, None, "a percentage needs two samples");
    while sampler.read_one_slow(now) {}
    busy_for_a_while(root.path());
    let mut metrics = sampler.sample(now + Duration::from_secs(5));
    // The fixture lies on this machine's disk.
    let disk = metrics.disk.take().expect("a file system");
    assert!(disk.used + disk.free <= disk.total && (0.0..=100.0).contains(&disk.percent()), "{disk:?}");
    metrics
}

fn sampler(root: &Path) -> Sampler {
    // A busy machine may need more than 1 s to start a shell.
    Sampler::new(root, &settings(), &config::Activity::default()).with_slow_limit(Duration::from_secs(60))
}

fn settings() -> config::Metrics {
    config::Metrics {
        disk: PathBuf::from("/"),
        app_version_file: Some(PathBuf::from("/opt/app/VERSION")),
        modem: false,
        gps: false,
        gps_position: false,
    }
}

fn fixture(board: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(board)
}

/// A root that a test may change.
fn copy_of(board: &str) -> TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    copy_tree(&fixture(board), copy.path());
    copy
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("readable").map(|entry| entry.expect("readable")) {
        let target = to.join(entry.file_name());
        match entry.file_type().expect("known").is_dir() {
            true => copy_tree(&entry.path(), &target),
            false if is_executable(&entry.path()) => symlink(entry.path(), target).expect("linked"),
            false => _ = fs::copy(entry.path(), target).expect("copied"),
        }
    }
}

/// Programs are linked, never written: a file that a fork of a test running beside this one still holds open for
/// writing cannot be started (ETXTBSY).
fn is_executable(path: &Path) -> bool {
    fs::metadata(path).expect("readable").permissions().mode() & 0o111 != 0
}

/// Adds 125 ticks to user and 875 to idle, in place: the daemon keeps the file open.
fn busy_for_a_while(root: &Path) {
    let path = root.join("proc/stat");
    let text = fs::read_to_string(&path).expect("readable");
    let (total, rest) = text.split_once('\n').expect("lines");
    let mut fields: Vec<u64> =
        total.split_whitespace().skip(1).map(|field| field.parse().expect("a number")).collect();
    fields[0] += 125;
    fields[3] += 875;
    let fields: Vec<String> = fields.iter().map(u64::to_string).collect();
    fs::write(&path, format!("cpu  {}\n{rest}", fields.join(" "))).expect("written");
}

fn who(board: &str) -> (String, Origin, String) {
    let state = tempfile::tempdir().expect("a directory");
    let Identity { hardware_id, hostname, boot_id, warning } = identify(&fixture(board), state.path());
    assert_eq!(warning, None);
    boot_id.expect("every fixture has one");
    let id = hardware_id.expect("an id");
    (id.id, id.origin, hostname.expect("every fixture has one"))
}

fn replace(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a parent")).expect("created");
    fs::write(path, text).expect("written");
}

/// Puts another `vcgencmd` in place.
fn vcgencmd(root: &Path, script: &str) {
    let program = root.join("usr/bin/vcgencmd");
    // A test may do so twice.
    let _ = fs::remove_file(&program);
    symlink(fixture("scripted/vcgencmd"), &program).expect("linked");
    replace(root, "usr/bin/vcgencmd.script", script);
}

/// One sample after every slow source was asked once.
fn settled(root: &Path) -> Reading {
    let mut sampler = sampler(root);
    let now = Instant::now();
    while sampler.read_one_slow(now) {}
    sampler.sample(now)
}

fn report<'a>(reports: &'a [SourceReport], name: &str) -> &'a SourceReport {
    reports.iter().find(|report| report.name == name).expect("every source reports")
}

fn nothing_held_back() -> Throttled {
    Throttled { now: vec![], since_boot: Some(vec![]) }
}

#[test]
fn a_pi_3_remembers_its_weak_supply_and_has_neither_pmic_nor_fan() {
    let expected = Reading {
        values: Values {
            cpu: Some(12.5),
            load: Some([0.42, 0.31, 0.25]),
            mem: Some(25.0),
            swap: Some(25.0),
            temp: Some(49.925),
            ..Values::default()
        },
        uptime: Some(Duration::from_millis(19_800_120)),
        throttled: Some(Throttled {
            now: vec![],
            since_boot: Some(vec![Throttle::UnderVoltage, Throttle::Throttled]),
        }),
        clock_synced: Some(true),
        ..Reading::default()
    };
    assert_eq!(read("pi3"), expected);
    assert_eq!(who("pi3"), ("00000000c3a1b2d4".into(), Origin::DeviceTree, "gate-pi3".into()));
}

#[test]
fn a_pi_4_is_healthy_without_swap() {
    let expected = Reading {
        values: Values {
            cpu: Some(12.5),
            load: Some([0.08, 0.03, 0.01]),
            mem: Some(25.0),
            swap: None,
            temp: Some(43.816),
            ..Values::default()
        },
        uptime: Some(Duration::from_millis(122_704_660)),
        throttled: Some(nothing_held_back()),
        clock_synced: Some(true),
        app_version: Some("3.10".to_owned()),
        ..Reading::default()
    };
    assert_eq!(read("pi4"), expected);
    assert_eq!(who("pi4"), ("100000008d1c7e55".into(), Origin::DeviceTree, "shed-pi4".into()));
}

#[test]
fn an_idle_pi_5_draws_the_sum_of_its_rails_and_its_fan_is_stopped() {
    let mut metrics = read("pi5-idle");
    assert_eq!(metrics.values.power.take().map(|watts| format!("{watts:.4}")).as_deref(), Some("1.9005"));
    let expected = Reading {
        values: Values {
            cpu: Some(12.5),
            load: Some([0.0, 0.02, 0.0]),
            mem: Some((8_257_536.0 - 6_606_028.0) / 8_257_536.0 * 100.0),
            swap: Some(0.0),
            temp: Some(49.4),
            fan_rpm: Some(0),
            fan_pwm: Some(0),
            ..Values::default()
        },
        uptime: Some(Duration::from_millis(10_043_270)),
        throttled: Some(nothing_held_back()),
        clock_synced: Some(true),
        ..Reading::default()
    };
    assert_eq!(metrics, expected);
    assert_eq!(who("pi5-idle"), ("5a0863a7e9330a2c".into(), Origin::DeviceTree, "barn-pi5-idle".into()));
}

#[test]
fn a_loaded_pi_5_is_hot_and_its_fan_is_found_by_name() {
    let mut metrics = read("pi5-loaded");
    assert_eq!(metrics.values.power.take().map(|watts| format!("{watts:.4}")).as_deref(), Some("10.7999"));
    let hot = vec![Throttle::SoftTemperatureLimit];
    let expected = Reading {
        values: Values {
            cpu: Some(12.5),
            load: Some([4.11, 3.97, 2.8]),
            mem: Some((8_257_536.0 - 6_606_028.0) / 8_257_536.0 * 100.0),
            swap: Some(0.0),
            temp: Some(84.5),
            fan_rpm: Some(9152),
            fan_pwm: Some(250),
            ..Values::default()
        },
        uptime: Some(Duration::from_millis(10_043_270)),
        throttled: Some(Throttled { now: hot.clone(), since_boot: Some(hot) }),
        clock_synced: Some(false),
        ..Reading::default()
    };
    assert_eq!(metrics, expected);
    // Kernel 6.18 repeats Serial for every core; this fixture has no device tree.
    assert_eq!(who("pi5-loaded"), ("5a0863a7e9330a2c".into(), Origin::CpuInfo, "barn-pi5-loaded".into()));
}

#[test]
fn a_zero_2_w_without_vcgencmd_reads_its_flags_from_the_kernel() {
    let flags = vec![Throttle::UnderVoltage, Throttle::Throttled];
    let expected = Reading {
        values: Values {
            cpu: Some(12.5),
            load: Some([1.2, 0.8, 0.33]),
            mem: Some((436_540.0 - 245_554.0) / 436_540.0 * 100.0),
            swap: Some(0.0),
            temp: Some(51.54),
            ..Values::default()
        },
        uptime: Some(Duration::from_millis(1_011_500)),
        throttled: Some(Throttled { now: flags.clone(), since_boot: Some(flags) }),
        ..Reading::default()
    };
    assert_eq!(read("zero2w"), expected);
    assert_eq!(who("zero2w"), ("00000000b4e2a1d3".into(), Origin::CpuInfo, "mast-zero".into()));
}

#[test]
fn a_pc_has_what_every_linux_has_and_a_mac_for_an_id() {
    let expected = Reading {
        values: Values {
            cpu: Some(12.5),
            load: Some([0.15, 0.2, 0.18]),
            mem: Some(25.0),
            swap: Some((2_097_148.0 - 1_572_861.0) / 2_097_148.0 * 100.0),
            temp: Some(52.0),
            ..Values::default()
        },
        uptime: Some(Duration::from_secs(345_600)),
        ..Reading::default()
    };
    assert_eq!(read("pc"), expected);
    assert_eq!(who("pc"), ("54e1ad0a0b0c".into(), Origin::Mac, "office".into()));
}

#[test]
fn an_empty_root_reads_as_absent_with_a_reason_for_each_source() {
    let root = tempfile::tempdir().expect("a directory");
    let mut metrics = settled(root.path());
    metrics.disk = None;
    assert_eq!(metrics, Reading::default());
    for report in sampler(root.path()).inspect() {
        match report.name {
            "disk" => assert!(report.value.is_ok(), "{report:?}"),
            name => assert!(!report.value.expect_err(name).is_empty(), "{name} says why"),
        }
    }
}

#[test]
fn files_with_garbage_or_nothing_in_them_are_absent_and_never_zero() {
    for text in ["", "\n", "garbage\n", "\0\0\0\0", "-\n"] {
        let root = copy_of("pi5-idle");
        for file in [
            "proc/stat",
            "proc/loadavg",
            "proc/uptime",
            "proc/meminfo",
            "sys/class/thermal/thermal_zone0/temp",
            "sys/devices/platform/cooling_fan/hwmon/hwmon2/fan1_input",
            "sys/devices/platform/cooling_fan/hwmon/hwmon2/pwm1",
            "sys/class/hwmon/hwmon4/in0_lcrit_alarm",
        ] {
            replace(root.path(), file, text);
        }
        replace(root.path(), "said", text);
        vcgencmd(root.path(), "cat \"${0%/usr/*}/said\"");
        fs::remove_dir_all(root.path().join("run")).expect("removed");
        let mut metrics = settled(root.path());
        metrics.disk = None;
        assert_eq!(metrics, Reading::default(), "{text:?}");
    }
}

#[test]
fn a_temperature_sensor_that_fails_costs_only_the_temperature() {
    let root = copy_of("pi3");
    let file = root.path().join("sys/class/thermal/thermal_zone0/temp");
    fs::remove_file(&file).expect("removed");
    // A directory opens, and every read of it fails: EISDIR, where a sensor says EIO.
    fs::create_dir(&file).expect("created");
    fs::remove_file(root.path().join("sys/class/hwmon/hwmon0/temp1_input")).expect("removed");
    fs::remove_file(root.path().join("usr/bin/vcgencmd")).expect("removed");
    let metrics = settled(root.path());
    assert_eq!(metrics.values.temp, None);
    assert_eq!((metrics.values.mem, metrics.values.load), (Some(25.0), Some([0.42, 0.31, 0.25])));
}

#[test]
fn without_a_sensor_in_sysfs_the_temperature_is_the_firmwares() {
    let root = copy_of("pi4");
    fs::remove_dir_all(root.path().join("sys")).expect("removed");
    assert_eq!(settled(root.path()).values.temp, Some(43.0));
}

#[test]
fn without_firmware_and_flags_only_the_current_supply_alarm_is_reported() {
    let root = copy_of("pi3");
    fs::remove_dir_all(root.path().join("sys/devices")).expect("removed");
    fs::remove_dir_all(root.path().join("usr")).expect("removed");
    replace(root.path(), "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    let expected = Throttled { now: vec![Throttle::UnderVoltage], since_boot: None };
    assert_eq!(settled(root.path()).throttled, Some(expected));
    let reports = sampler(root.path()).inspect();
    let place = &report(&reports, "throttled").place;
    assert!(place.ends_with("hwmon1/in0_lcrit_alarm"), "where the value is from: {place}");
}

#[test]
fn a_kernel_without_mem_available_is_estimated() {
    let root = copy_of("pi4");
    let path = root.path().join("proc/meminfo");
    let text = fs::read_to_string(&path).expect("readable");
    let old: String = text.split_inclusive('\n').filter(|l| !l.starts_with("MemAvailable")).collect();
    fs::write(&path, old).expect("written");
    let available = 1_942_224.0 + 92_160.0 + 1_011_456.0 - 20_480.0;
    let mem = settled(root.path()).values.mem.expect("estimated");
    assert!((mem - (1.0 - available / 3_884_448.0) * 100.0).abs() < 1e-9, "{mem}");
}

#[test]
fn early_firmware_without_voltages_gives_no_power() {
    let root = copy_of("pi5-idle");
    replace(root.path(), "said", include_str!("samples/pi5_pmic_early_firmware_2023.txt"));
    vcgencmd(root.path(), "cat \"${0%/usr/*}/said\"");
    let reports = sampler(root.path()).inspect();
    let reason = report(&reports, "power").value.as_ref().expect_err("no power");
    assert!(reason.contains("currents only"), "{reason}");
    assert_eq!(settled(root.path()).values.power, None);
}

#[test]
fn a_refusal_is_no_value_and_doctor_repeats_it() {
    let refusals = [
        (include_str!("samples/missing_argument.txt"), "Invalid arguments", "exit 0"),
        (include_str!("samples/unknown_command_cli_stdout.txt"), "Command not registered", "exit 255"),
        ("Can't open device file: /dev/vcio\n", "add the daemon's user to group video", "exit 0"),
    ];
    for (text, reason, end) in refusals {
        let root = copy_of("pi5-idle");
        replace(root.path(), "said", text);
        vcgencmd(root.path(), &format!("cat \"${{0%/usr/*}}/said\"\n{end}"));
        let metrics = settled(root.path());
        assert_eq!((metrics.values.power, metrics.values.temp), (None, Some(49.4)));
        let reports = sampler(root.path()).inspect();
        for name in ["power", "throttled"] {
            if let Err(said) = &report(&reports, name).value {
                assert!(said.contains(reason), "{name}: {said}");
            } else {
                assert_eq!(name, "throttled", "the kernel's alarm stands in");
            }
        }
    }
}

#[test]
fn a_hanging_vcgencmd_is_read_between_samples_and_costs_only_its_values() {
    let root = copy_of("pi5-idle");
    vcgencmd(root.path(), "exec sleep 600");
    let settings = settings();
    let mut sampler = Sampler::new(root.path(), &settings, &config::Activity::default())
        .with_slow_limit(Duration::from_millis(50));
    let begin = Instant::now();
    for second in 0..4 {
        let now = begin + Duration::from_secs(second * 31);
        let metrics = sampler.sample(now);
        assert_eq!(
            (metrics.values.temp, metrics.values.fan_pwm, metrics.values.power),
            (Some(49.4), Some(0), None)
        );
        while sampler.read_one_slow(now) {}
    }
    assert!(begin.elapsed() < Duration::from_secs(300), "killed at its limit each time");
}

#[test]
fn slow_sources_alternate_and_their_values_are_kept_until_they_fail_or_age() {
    let root = copy_of("pi5-idle");
    let mut sampler = sampler(root.path());
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let known = |sampler: &mut Sampler, seconds| {
        let metrics = sampler.sample(at(seconds));
        (metrics.values.power.is_some(), metrics.throttled.is_some())
    };
    assert_eq!(known(&mut sampler, 0), (false, false));
    assert!(sampler.read_one_slow(at(0)));
    assert_eq!(known(&mut sampler, 5), (true, false), "one a sample, in order");
    assert!(sampler.read_one_slow(at(5)));
    assert_eq!(known(&mut sampler, 10), (true, true));
    assert!(!sampler.read_one_slow(at(10)), "neither is due before its 30 s");
    vcgencmd(root.path(), "echo 'error=2 error_msg=\"Invalid arguments\"'");
    assert!(sampler.read_one_slow(at(35)));
    assert_eq!(known(&mut sampler, 40), (false, true), "the failure of one drops that one");
    // Nobody asks any more: after three periods the last value is history.
    for seconds in (45..=95).step_by(10) {
        assert_eq!(known(&mut sampler, seconds), (false, true), "{seconds} s");
    }
    assert_eq!(known(&mut sampler, 105), (false, false));
}

#[test]
fn an_interval_longer_than_a_slow_sources_period_does_not_make_its_value_vanish() {
    let root = copy_of("pi5-idle");
    let mut sampler = sampler(root.path());
    let begin = Instant::now();
    for hour in 0..4 {
        let now = begin + Duration::from_secs(hour * 3600);
        let metrics = sampler.sample(now);
        assert_eq!(metrics.values.power.is_some(), hour >= 1, "hour {hour}");
        assert_eq!(metrics.throttled.is_some(), hour >= 2, "hour {hour}");
        assert!(sampler.read_one_slow(now));
    }
}

#[test]
fn doctor_shows_every_source_of_every_board_with_place_and_cost() {
    for board in BOARDS {
        let reports = sampler(&fixture(board)).inspect();
        let table = render(&reports);
        let missing = reports.iter().filter(|report| report.value.is_err()).count();
        assert_eq!(table.lines().count(), 1 + reports.len() + missing, "{table}");
        assert!(table.contains("/proc/meminfo") && table.contains(" ms "), "{table}");
    }
    let reports = sampler(&fixture("pi5-idle")).inspect();
    assert_eq!(report(&reports, "power").value.as_deref(), Ok("1.90 W"));
    assert_eq!(report(&reports, "fan").value.as_deref(), Ok("0 RPM, duty 0 of 255"));
    let permission = report(&reports, "power").permission.as_deref().expect("a file");
    assert!(permission.starts_with("0755 "), "{permission}");
}
