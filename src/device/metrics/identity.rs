//! Who this machine is: an id that survives reboots, its name, and which boot this is.

use super::hwmon::entries;
use crate::atomic_file;
use crate::mac::Mac;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// In the state directory: the id that was chosen.
pub const REMEMBERED: &str = "hardwareid";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `None` on a machine without a serial number and without a network interface.
    pub hardware_id: Option<HardwareId>,
    pub hostname: Option<String>,
    /// New at every boot.
    pub boot_id: Option<String>,
    /// One sentence if the id could not be remembered; it is used all the same.
    pub warning: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardwareId {
    pub id: String,
    pub origin: Origin,
}

/// What an id was taken from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    DeviceTree,
    CpuInfo,
    /// A MAC address that was chosen earlier: the interface may be gone since, or sorted behind a new one.
    Remembered,
    Mac,
}

impl Origin {
    /// For a person: where to look.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::DeviceTree => "/proc/device-tree/serial-number",
            Origin::CpuInfo => "Serial of /proc/cpuinfo",
            Origin::Remembered => "the state directory",
            Origin::Mac => "a MAC address",
        }
    }
}

/// Reads who the machine is whose file system begins at `root`, and remembers the id in `state_dir`.
pub fn identify(root: &Path, state_dir: &Path) -> Identity {
    let mut identity = read_identity(root, state_dir);
    if let Some(HardwareId { id, .. }) = &identity.hardware_id {
        if remembered(state_dir).as_ref() != Some(id) {
            identity.warning = remember(state_dir, id).err().map(|error| {
                format!("the hardware id {id} cannot be remembered in {}: {error}", state_dir.display())
            });
        }
    }
    identity
}

/// [`identify`] without writing anything.
///
/// A serial number wins over what is remembered, because SD cards are cloned.
pub fn read_identity(root: &Path, state_dir: &Path) -> Identity {
    let from = |id, origin| HardwareId { id, origin };
    let hardware_id = serial(root)
        .or_else(|| remembered(state_dir).map(|id| from(id, Origin::Remembered)))
        .or_else(|| mac(root).map(|id| from(id, Origin::Mac)));
    Identity {
        hardware_id,
        hostname: line(&root.join("proc/sys/kernel/hostname")).filter(|name| name != "(none)"),
        boot_id: line(&root.join("proc/sys/kernel/random/boot_id")),
        warning: None,
    }
}

fn serial(root: &Path) -> Option<HardwareId> {
    let device_tree = read_text(&root.join("proc/device-tree/serial-number"));
    if let Some(id) = device_tree.as_deref().and_then(clean_serial) {
        return Some(HardwareId { id, origin: Origin::DeviceTree });
    }
    let cpuinfo = read_text(&root.join("proc/cpuinfo"))?;
    let id = clean_serial(serial_of_cpuinfo(&cpuinfo)?)?;
    Some(HardwareId { id, origin: Origin::CpuInfo })
}

/// Kernel 6.18 repeats the line for every core; older ones have it once, at the end; Ubuntu's not at all.
fn serial_of_cpuinfo(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "Serial").then_some(value.trim())
    })
}

/// Lower case, without the NUL of the device tree; nothing if it is no number of a single machine.
fn clean_serial(text: &str) -> Option<String> {
    let serial = text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_ascii_lowercase();
    let unset = serial.bytes().all(|b| b == b'0');
    let plausible = serial.len() <= 64 && serial.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (!unset && plausible).then_some(serial)
}

/// The address of the interface that is most likely to stay: hardware before software, an address given by the
/// maker before one made up locally, then the wired names, then by name.
fn mac(root: &Path) -> Option<String> {
    let interfaces = entries(&root.join("sys/class/net"));
    let ranked = interfaces.iter().filter_map(|interface| {
        let name = interface.file_name()?.to_str()?;
        let address = Mac::parse(&line(&interface.join("address"))?).filter(|mac| mac.is_of_one_device())?;
        let software = !interface.join("device").exists();
        let local = address.octets()[0] & 0b10 != 0;
        let rank = match name {
            "eth0" => 0,
            "end0" => 1,
            _ if name.starts_with("en") => 2,
            _ => 3,
        };
        Some(((software, local, rank, name.to_owned()), address))
    });
    ranked.min().map(|(_, address)| address.digits())
}

/// The id in the state directory; `None` if the file is damaged (a power failure, an edit). Earlier versions wrote a
/// MAC address with its colons.
fn remembered(state_dir: &Path) -> Option<String> {
    let id = line(&state_dir.join(REMEMBERED))?;
    let plausible = id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b':' || b == b'-');
    plausible.then(|| Mac::parse(&id).map_or(id, Mac::digits))
}

/// Whole or not at all, also when the power fails in between.
fn remember(state_dir: &Path, id: &str) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    atomic_file::replace_durably(&state_dir.join(REMEMBERED), |file| writeln!(file, "{id}"))
}

fn line(path: &Path) -> Option<String> {
    let text = read_text(path)?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// At most 256 KiB: /proc/cpuinfo of a machine with 128 cores has about 200.
fn read_text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(256 * 1024).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use tempfile::TempDir;

    const SERIAL: &str = "5a0863a7e9330a2c";

    /// A machine with these files, and an empty state directory.
    struct Board {
        root: TempDir,
        state: TempDir,
    }

    impl Board {
        fn with(files: &[(&str, &str)]) -> Board {
            let machine = Board {
                root: tempfile::tempdir().expect("a directory"),
                state: tempfile::tempdir().expect("a directory"),
            };
            for (path, text) in files {
                machine.write(path, text);
            }
            machine
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(path, text).expect("written");
        }

        fn id(&self) -> Option<(String, Origin)> {
            let identity = identify(self.root.path(), self.state.path());
            assert_eq!(identity.warning, None);
            identity.hardware_id.map(|id| (id.id, id.origin))
        }

        fn remembered(&self) -> std::path::PathBuf {
            self.state.path().join(REMEMBERED)
        }
    }

    fn some(id: &str, origin: Origin) -> Option<(String, Origin)> {
        Some((id.to_owned(), origin))
    }

    #[test]
    fn the_device_tree_comes_first_without_its_nul_and_in_lower_case() {
        let machine = Board::with(&[
            ("proc/device-tree/serial-number", "10000000A5BD2DD2\0"),
            ("proc/cpuinfo", "Serial\t\t: 5a0863a7e9330a2c\n"),
        ]);
        assert_eq!(machine.id(), some("10000000a5bd2dd2", Origin::DeviceTree));
    }

    #[test]
    fn the_serial_of_cpuinfo_is_found_once_or_per_core() {
        let core = format!("processor\t: 0\nRevision\t: d04170\nSerial\t\t: {SERIAL}\nModel\t\t: X\n");
        for text in [core.clone(), core.repeat(4)] {
            let machine = Board::with(&[("proc/cpuinfo", &text)]);
            assert_eq!(machine.id(), some(SERIAL, Origin::CpuInfo));
        }
    }

    #[test]
    fn a_serial_of_zeros_or_garbage_is_ignored() {
        for serial in ["0000000000000000", "", "0", "\0", "not a serial!", &"7".repeat(65)] {
            let machine = Board::with(&[
                ("proc/device-tree/serial-number", serial),
                ("proc/cpuinfo", &format!("Serial\t\t: {serial}\n")),
            ]);
            assert_eq!(machine.id(), None, "{serial:?}");
        }
    }

    #[test]
    fn without_a_serial_the_most_permanent_mac_is_used() {
        let machine = Board::with(&[("sys/class/net/lo/address", "00:00:00:00:00:00\n")]);
        assert_eq!(machine.id(), None);
        // Each comes before the ones above it.
        for (interface, address, hardware) in [
            ("br0", "02:42:ac:11:00:02", false),
            ("docker0", "b8:27:eb:00:00:01", false),
            ("wlan1", "06:00:00:00:00:02", true),
            ("wlan0", "b8:27:eb:00:00:03", true),
            ("enp3s0", "b8:27:eb:00:00:04", true),
            ("end0", "b8:27:eb:00:00:05", true),
            ("eth0", "B8:27:EB:00:00:06", true),
        ] {
            machine.write(&format!("sys/class/net/{interface}/address"), &format!("{address}\n"));
            if hardware {
                machine.write(&format!("sys/class/net/{interface}/device/uevent"), "");
            }
            let id = address.to_lowercase().replace(':', "");
            assert_eq!(machine.id(), some(&id, Origin::Mac), "{interface}");
            fs::remove_file(machine.remembered()).expect("it was remembered");
        }
    }

    #[test]
    fn what_is_no_mac_address_is_passed_over() {
        for address in ["", "b8:27:eb", "b8:27:eb:00:00:01:02", "zz:27:eb:00:00:01", "ff:ff:ff:ff:ff:ff"] {
            let machine = Board::with(&[("sys/class/net/eth0/address", address)]);
            assert_eq!(machine.id(), None, "{address:?}");
        }
    }

    #[test]
    fn a_chosen_mac_is_remembered_without_its_interface() {
        let machine = Board::with(&[("sys/class/net/wlan0/address", "b8:27:eb:00:00:03")]);
        assert_eq!(machine.id(), some("b827eb000003", Origin::Mac));
        fs::remove_dir_all(machine.root.path().join("sys")).expect("removed");
        machine.write("sys/class/net/eth0/address", "b8:27:eb:00:00:06");
        assert_eq!(machine.id(), some("b827eb000003", Origin::Remembered));
    }

    #[test]
    fn a_mac_that_an_earlier_version_remembered_loses_its_colons() {
        let machine = Board::with(&[]);
        fs::write(machine.remembered(), "b8:27:eb:00:00:03\n").expect("written");
        assert_eq!(machine.id(), some("b827eb000003", Origin::Remembered));
    }

    #[test]
    fn a_serial_wins_over_the_memory_of_a_cloned_card() {
        let machine = Board::with(&[("proc/device-tree/serial-number", "10000000a5bd2dd2\0")]);
        fs::write(machine.remembered(), "00000000b4e2a1d3\n").expect("written");
        assert_eq!(machine.id(), some("10000000a5bd2dd2", Origin::DeviceTree));
        assert_eq!(fs::read_to_string(machine.remembered()).expect("there"), "10000000a5bd2dd2\n");
    }

    #[test]
    fn an_unchanged_id_is_not_rewritten() {
        let machine = Board::with(&[("proc/device-tree/serial-number", "10000000a5bd2dd2\0")]);
        machine.id();
        let inode = || fs::metadata(machine.remembered()).expect("there").ino();
        let before = inode();
        machine.id();
        assert_eq!(inode(), before, "a rename would have given another one");
    }

    #[test]
    fn a_damaged_id_file_is_rewritten() {
        for damage in ["", "\n", "\0\0\0\0", "two words", &"7".repeat(1000)] {
            let machine = Board::with(&[("sys/class/net/eth0/address", "b8:27:eb:00:00:06")]);
            fs::write(machine.remembered(), damage).expect("written");
            assert_eq!(machine.id(), some("b827eb000006", Origin::Mac), "{damage:?}");
            assert_eq!(fs::read_to_string(machine.remembered()).expect("there"), "b827eb000006\n");
        }
    }

    #[test]
    fn an_unwritable_state_directory_is_only_a_warning() {
        let machine = Board::with(&[("proc/device-tree/serial-number", "10000000a5bd2dd2\0")]);
        // Not even root can make a directory there.
        let identity = identify(machine.root.path(), Path::new("/proc/nowhere/heartbeat-daemon"));
        assert_eq!(identity.hardware_id.map(|id| id.id).as_deref(), Some("10000000a5bd2dd2"));
        let warning = identity.warning.expect("a warning");
        assert!(warning.contains("/proc/nowhere/heartbeat-daemon"), "{warning}");
    }

    #[test]
    fn name_and_boot_are_the_kernels() {
        let machine = Board::with(&[
            ("proc/sys/kernel/hostname", "barn-cam\n"),
            ("proc/sys/kernel/random/boot_id", "3bd8c9a2-6a1b-4bb8-9f5e-0c7b4c1f2a90\n"),
        ]);
        let identity = identify(machine.root.path(), machine.state.path());
        assert_eq!(identity.hostname.as_deref(), Some("barn-cam"));
        assert_eq!(identity.boot_id.as_deref(), Some("3bd8c9a2-6a1b-4bb8-9f5e-0c7b4c1f2a90"));
        machine.write("proc/sys/kernel/hostname", "(none)\n");
        assert_eq!(identify(machine.root.path(), machine.state.path()).hostname, None);
    }
}
