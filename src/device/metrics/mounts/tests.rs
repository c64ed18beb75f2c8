use super::*;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn machine(process: &str, table: &str) -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let directory = root.path().join("proc").join(process);
    fs::create_dir_all(&directory).expect("created");
    fs::write(directory.join("mountinfo"), table).expect("written");
    root
}

fn read_only(process: &str, line: &str) -> bool {
    let root = machine(process, line);
    let table = MountTable::read(root.path()).expect("readable");
    table.holding(Path::new("/")).expect("a root").read_only
}

#[test]
fn a_file_system_is_read_only_by_its_own_options_or_those_of_its_mount() {
    for (options, of_file_system, expected) in [
        ("rw,noatime", "rw", false),
        ("rw,noatime", "ro", true),
        ("ro,noatime", "rw", true),
        ("rw,relatime", "rw,errors=remount-ro", false),
        // Seen on Linux 6.18 after an error of ext4.
        ("rw,relatime", "rw,errors=remount-ro,emergency_ro", true),
        ("rw,relatime", "rw,shutdown", true),
        ("rw,relatime", "rw,roomy", false),
    ] {
        let line = format!("25 1 179:2 / / {options} shared:1 master:2 - ext4 /dev/root {of_file_system}\n");
        assert_eq!(read_only("1", &line), expected, "{line}");
    }
}

#[test]
fn protect_system_makes_a_mount_read_only_and_not_the_file_system() {
    let line = "25 1 179:2 / / ro,noatime - ext4 /dev/root rw\n";
    assert!(!read_only("self", line), "where the table of PID 1 is hidden");
    assert!(read_only("self", "25 1 179:2 / / ro,noatime - ext4 /dev/root ro\n"));
    let root = machine("1", &line.replace("ro,", "rw,"));
    fs::create_dir(root.path().join("proc/self")).expect("created");
    fs::write(root.path().join("proc/self/mountinfo"), "1 1 1:1 / / rw - ext4 x ro\n").expect("written");
    let table = MountTable::read(root.path()).expect("readable");
    assert!(!table.holding(Path::new("/")).expect("a root").read_only, "PID 1 comes first");
    let reason = MountTable::read(Path::new("/nowhere")).expect_err("no table").to_string();
    assert!(reason.starts_with("/nowhere/proc/self/mountinfo: "), "{reason}");
}

const TABLE: &str = "\
    25 1 179:2 / / rw - ext4 /dev/root rw\n\
    26 25 8:1 / /mnt/usb rw - ext4 /dev/sda1 rw\n\
    27 25 0:40 / /mnt/nas rw - autofs systemd-1 rw\n\
    28 27 0:41 / /mnt/nas rw - nfs4 nas:/ rw\n\
    29 25 8:17 / /mnt/a\\040disk\\134 rw - vfat /dev/sdb1 rw\n\
    garbage\n\
    30 25\n\
    31 25 9:9 / /mnt rw - \n";

fn device(table: &MountTable, path: &str) -> String {
    table.holding(Path::new(path)).expect("a mount").device.clone()
}

#[test]
fn the_longest_mount_point_holds_a_path_and_the_last_of_several() {
    let root = machine("1", TABLE);
    let table = MountTable::read(root.path()).expect("readable");
    for (path, expected) in [
        ("/", "179:2"),
        ("/var/lib/recorder", "179:2"),
        ("/mnt", "179:2"),
        ("/mnt/usb", "8:1"),
        ("/mnt/usb/rec/today", "8:1"),
        ("/mnt/usb2", "179:2"),
        ("/mnt/nas/rec", "0:41"),
        ("/mnt/a disk\\/rec", "8:17"),
    ] {
        assert_eq!(device(&table, path), expected, "{path}");
    }
}

#[test]
fn symbolic_links_are_followed_on_the_root_file_system() {
    let root = machine("1", TABLE);
    let home = root.path().join("home/pi");
    fs::create_dir_all(&home).expect("created");
    fs::create_dir_all(root.path().join("mnt/usb/rec")).expect("created");
    for (link, target) in
        [("rec", "/mnt/usb/rec"), ("up", "../../mnt"), ("endless", "endless"), ("twice", "up/usb")]
    {
        symlink(target, home.join(link)).expect("linked");
    }
    // On the disk: it is not asked.
    symlink("/home", root.path().join("mnt/usb/home")).expect("linked");
    let table = MountTable::read(root.path()).expect("readable");
    for (path, expected) in [
        ("/home/pi/rec", "8:1"),
        ("/home/pi/up/usb/rec", "8:1"),
        ("/home/pi/twice/rec", "8:1"),
        ("/home/pi/endless", "179:2"),
        ("/home/pi/missing/rec", "179:2"),
        ("/mnt/usb/home", "8:1"),
    ] {
        assert_eq!(device(&table, path), expected, "{path}");
    }
}
