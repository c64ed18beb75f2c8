use super::*;
use crate::device::metrics::firmware::Firmware;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A Raspberry Pi with an SD card, and a USB disk at /mnt/usb.
const PI: &str = "\
    25 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n\
    31 25 0:5 / /proc rw,nosuid shared:5 - proc proc rw\n\
    40 25 179:1 / /boot/firmware rw,relatime shared:9 - vfat /dev/mmcblk0p1 rw,errors=remount-ro\n\
    44 25 8:1 / /mnt/usb rw,relatime shared:20 - ext4 /dev/sda1 rw,errors=remount-ro\n";

struct Machine(TempDir);

impl Machine {
    fn new(mounts: &str) -> Machine {
        let machine = Machine(tempfile::tempdir().expect("a directory"));
        machine.write("proc/1/mountinfo", mounts);
        machine
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, text).expect("written");
    }

    /// A partition of a disk of the SCSI layer or, without `ioerr_cnt`, of another kind.
    fn partition(&self, number: &str, disk: &str, name: &str, ioerr_cnt: Option<&str>) {
        let directory = format!("sys/devices/bus/block/{disk}/{name}");
        self.write(&format!("{directory}/partition"), "1\n");
        if let Some(count) = ioerr_cnt {
            self.write(&format!("sys/devices/bus/block/{disk}/device/ioerr_cnt"), count);
        }
        fs::create_dir_all(self.path().join("sys/dev/block")).expect("created");
        symlink(
            format!("../../devices/bus/block/{disk}/{name}"),
            self.path().join("sys/dev/block").join(number),
        )
        .expect("linked");
    }

    fn sources(&self, recording_dir: &str) -> FileSystems {
        FileSystems::new(self.path(), Some(Path::new(recording_dir)))
    }

    fn read(&self, recording_dir: &str) -> Vec<FileSystem> {
        read(&mut self.sources(recording_dir), Instant::now()).expect("readable")
    }
}

fn read(source: &mut FileSystems, now: Instant) -> Result<Vec<FileSystem>, Absent> {
    let mut firmware = Firmware::choose(Path::new("/proc/nowhere"));
    source.read(&mut Turn { now, limit: Duration::ZERO, firmware: &mut firmware })
}

fn sound(path: &str) -> FileSystem {
    FileSystem { path: path.into(), read_only: false, errors: None, io_errors: None }
}

#[test]
fn the_root_and_the_disk_of_the_recordings_are_reported_with_what_each_counts() {
    let pi = Machine::new(PI);
    pi.partition("179:2", "mmcblk0", "mmcblk0p2", None);
    pi.partition("8:1", "sda", "sda1", Some("0x1a\n"));
    pi.write("sys/fs/ext4/mmcblk0p2/errors_count", "3\n");
    pi.write("sys/fs/ext4/sda1/errors_count", "0\n");
    let root = FileSystem { errors: Some(3), ..sound("/") };
    let usb = FileSystem { errors: Some(0), io_errors: Some(26), ..sound("/mnt/usb") };
    assert_eq!(pi.read("/mnt/usb/rec"), [root.clone(), usb]);
    assert_eq!(pi.read("/var/lib/recorder"), [root], "one file system is reported once");
}

#[test]
fn what_a_file_system_does_not_count_is_absent_and_not_zero() {
    let pi = Machine::new(PI);
    assert_eq!(pi.read("/mnt/usb"), [sound("/"), sound("/mnt/usb")]);
    pi.partition("8:1", "sda", "sda1", Some("garbage"));
    pi.write("sys/fs/ext4/sda1/errors_count", "-1");
    assert_eq!(pi.read("/mnt/usb")[1], sound("/mnt/usb"));
}

#[test]
fn a_whole_disk_without_partitions_counts_too() {
    let pi = Machine::new(PI);
    pi.write("sys/dev/block/8:1/device/ioerr_cnt", "0x2\n");
    assert_eq!(pi.read("/mnt/usb")[1].io_errors, Some(2));
}

#[test]
fn it_is_read_once_a_minute_and_after_a_failure_at_once() {
    let pi = Machine::new(PI);
    let mut source = pi.sources("/");
    let begin = Instant::now();
    let mut read_only_at = |seconds| {
        read(&mut source, begin + Duration::from_secs(seconds)).map(|states| states[0].read_only).ok()
    };
    assert_eq!(read_only_at(0), Some(false));
    pi.write("proc/1/mountinfo", &PI.replace("/dev/mmcblk0p2 rw", "/dev/mmcblk0p2 ro"));
    assert_eq!(read_only_at(59), Some(false));
    assert_eq!(read_only_at(60), Some(true));
    fs::remove_file(pi.path().join("proc/1/mountinfo")).expect("removed");
    assert_eq!(read_only_at(120), None);
    pi.write("proc/1/mountinfo", PI);
    assert_eq!(read_only_at(121), Some(false));
}

#[test]
fn a_mount_table_without_a_root_is_absent_with_its_reason() {
    let machine = Machine::new("31 25 0:5 / /proc rw - proc proc rw\n");
    let reason = read(&mut machine.sources("/"), Instant::now()).expect_err("nothing").to_string();
    assert!(reason.contains("no root file system"), "{reason}");
}

#[test]
fn a_person_reads_what_was_found() {
    let states = vec![
        FileSystem { errors: Some(0), ..sound("/") },
        FileSystem { read_only: true, io_errors: Some(2), ..sound("/mnt/usb") },
    ];
    let source = FileSystems::new(Path::new("/"), None);
    assert_eq!(source.show(&states), "/ writable, 0 errors; /mnt/usb read-only, 2 I/O errors");
}
