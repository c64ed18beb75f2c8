//! What each wireless interface is associated with: the signal from /proc/net/wireless at every sample, the
//! SSID from nl80211 now and then.

use crate::device::os::file::KeptFile;
use crate::device::os::nl80211::{Association, Nl80211};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// An SSID rarely changes; a query costs three more system calls.
const REFRESH: Duration = Duration::from_secs(10);

/// One wireless link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Radio {
    pub ssid: Option<String>,
    pub signal_dbm: Option<i32>,
    /// 0 to 100: see [`percent`].
    pub signal_percent: Option<u8>,
}

/// Queries the kernel about wireless interfaces.
#[derive(Debug)]
pub struct Radios {
    wireless: KeptFile,
    /// False under the root of a test: netlink would report this machine.
    use_kernel: bool,
    nl80211: Option<Nl80211>,
    cache: BTreeMap<u32, CachedAssociation>,
}

#[derive(Debug)]
struct CachedAssociation {
    queried: Instant,
    association: Result<Association, String>,
}

impl Radios {
    pub fn new(root: &Path) -> Radios {
        Radios {
            wireless: KeptFile::new(root.join("proc/net/wireless")),
            use_kernel: root == Path::new("/"),
            nl80211: None,
            cache: BTreeMap::new(),
        }
    }

    /// The signal as it is now, and the SSID as it was at most 10 s ago. Call it only for a link with
    /// carrier.
    pub fn radio(&mut self, index: u32, name: &str, now: Instant) -> Radio {
        let association = self.association(index, now).unwrap_or_default();
        let level = self.wireless.read_text().ok().and_then(|table| parse_level(table, name));
        radio(association, level)
    }

    /// Forgets all links but these: one that has lost its carrier is asked at once when it is back, maybe on
    /// another network, and one that is gone takes no memory.
    pub fn keep(&mut self, with_carrier: &[u32]) {
        self.cache.retain(|index, _| with_carrier.contains(index));
    }

    /// As nl80211 has it, for `doctor` with the reason why not.
    ///
    /// # Errors
    /// One sentence: no wireless support, or what the kernel answered.
    pub fn association(&mut self, index: u32, now: Instant) -> Result<Association, String> {
        if !self.use_kernel {
            return Err("not read under another root".into());
        }
        if let Some(known) = self.cache.get(&index) {
            if now.saturating_duration_since(known.queried) < REFRESH {
                return known.association.clone();
            }
        }
        let association = self.query(index).map_err(|error| error.to_string());
        self.cache.insert(index, CachedAssociation { queried: now, association: association.clone() });
        association
    }

    fn query(&mut self, index: u32) -> io::Result<Association> {
        let mut nl80211 = match self.nl80211.take() {
            Some(nl80211) => nl80211,
            None => Nl80211::open()?,
        };
        let association = nl80211.association(index)?;
        // Kept only after a success: a new driver's family may have a new number.
        self.nl80211 = Some(nl80211);
        Ok(association)
    }
}

/// Level of a line of /proc/net/wireless: dBm below 0, or a share of the driver's own from 1 to 110.
fn parse_level(table: &str, interface: &str) -> Option<i32> {
    let (_, fields) =
        table.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == interface)?;
    // status, link quality, level, noise; a dot behind a value says that it is fresh.
    let level = fields.split_ascii_whitespace().nth(2)?;
    match level.trim_end_matches('.').parse().ok()? {
        level @ (-127..=-1 | 1..=110) => Some(level),
        // dBm in a byte without sign, by drivers that do not say so.
        level @ 129..=255 => Some(level - 256),
        // -256 and 0: nothing was measured.
        _ => None,
    }
}

/// The level of /proc/net/wireless where there is one, for it is of now; else nl80211's.
fn radio(association: Association, level: Option<i32>) -> Radio {
    let level = level.or(association.signal_dbm);
    Radio {
        ssid: association.ssid,
        signal_dbm: level.filter(|&level| level < 0),
        signal_percent: level.map(percent),
    }
}

/// Percent as NetworkManager makes it of dBm, and so as `nmcli` and the desktop show it on the same device:
/// -40 and better is 100, -100 is 0, -52 is 80. (`iwconfig`'s link quality says 58/70 for that, which is 83
/// %.) Levels above 0 are old drivers' own percentages.
fn percent(level: i32) -> u8 {
    let percent = match level {
        ..0 => 100 - (-40 - level.clamp(-100, -40)) * 100 / 60,
        _ => level.min(100),
    };
    // In 0..=100 by the lines above.
    percent as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const PI5: &str = "\
Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
 wlan0: 0000   58.  -52.  -256        0      0      0      0      0        0
";

    #[test]
    fn the_level_of_the_right_interface_is_read() {
        assert_eq!(parse_level(PI5, "wlan0"), Some(-52));
        assert_eq!(parse_level(PI5, "wlan1"), None);
        assert_eq!(parse_level(PI5, "face"), None);
        assert_eq!(parse_level(" wlan0: 0000   58.", "wlan0"), None);
        assert_eq!(parse_level("", "wlan0"), None);
    }

    #[test]
    fn an_unmeasured_level_is_absent_and_an_unsigned_byte_gets_its_sign() {
        for (level, expected) in [
            ("-256.", None),
            ("0", None),
            ("-128", None),
            ("300", None),
            ("x", None),
            ("204", Some(-52)),
            ("70", Some(70)),
        ] {
            assert_eq!(parse_level(&format!("wlan0: 0000 58. {level} -256."), "wlan0"), expected, "{level}");
        }
    }

    #[test]
    fn percent_is_what_network_manager_shows() {
        for (level, expected) in
            [(-30, 100), (-40, 100), (-52, 80), (-70, 50), (-100, 0), (-120, 0), (63, 63), (200, 100)]
        {
            assert_eq!(percent(level), expected, "{level}");
        }
        assert_eq!((percent(i32::MIN), percent(i32::MAX)), (0, 100));
    }

    #[test]
    fn a_level_that_is_no_dbm_gives_percent_only() {
        let radio = radio(Association::default(), Some(70));
        assert_eq!((radio.signal_dbm, radio.signal_percent), (None, Some(70)));
    }

    #[test]
    fn without_a_wireless_table_the_signal_is_nl80211s() {
        let association = Association { ssid: Some("barn".into()), signal_dbm: Some(-70) };
        let radio = radio(association, None);
        assert_eq!(
            (radio.signal_dbm, radio.signal_percent, radio.ssid.as_deref()),
            (Some(-70), Some(50), Some("barn"))
        );
    }

    #[test]
    fn unknown_values_are_absent() {
        assert_eq!(radio(Association::default(), None), Radio::default());
    }

    #[test]
    fn an_answer_holds_for_ten_seconds() {
        let now = Instant::now();
        let mut radios = Radios::new(Path::new("/"));
        let association = Association { ssid: Some("barn".into()), signal_dbm: None };
        radios
            .cache
            .insert(u32::MAX, CachedAssociation { queried: now, association: Ok(association.clone()) });
        assert_eq!(radios.association(u32::MAX, now + REFRESH / 2), Ok(association));
        assert!(radios.association(u32::MAX, now + REFRESH).is_err(), "there is no such interface");
    }
}
