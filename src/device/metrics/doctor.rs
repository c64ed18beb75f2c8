//! What `doctor` shows of each source: where it reads, who may, what it gave and cost, and why it gave nothing.

use super::terms::{Absent, Place};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// One source, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReport {
    pub name: &'static str,
    /// A path, a command, or a description.
    pub place: String,
    /// Mode, owner and group, where the place is a file: `0660 root:video`.
    pub permission: Option<String>,
    /// With its unit; or why it is missing, and what to do about it.
    pub value: Result<String, String>,
    pub cost: Duration,
}

impl SourceReport {
    pub fn new(
        name: &'static str,
        place: Place,
        value: Result<String, Absent>,
        cost: Duration,
    ) -> SourceReport {
        let access = place.file.as_deref().and_then(Access::of);
        let value = value.map_err(|absent| reason(&absent));
        SourceReport { name, place: place.text, permission: access.map(|a| a.to_string()), value, cost }
    }
}

impl SourceReport {
    /// Reads a source that is not a file, and measures the time.
    pub fn read(
        name: &'static str,
        place: impl Into<String>,
        read: impl FnOnce() -> Result<String, String>,
    ) -> SourceReport {
        let begin = Instant::now();
        let value = read();
        SourceReport { name, place: place.into(), permission: None, value, cost: begin.elapsed() }
    }
}

/// One line a source, a second one where it has nothing.
pub fn render(reports: &[SourceReport]) -> String {
    let mut rows = vec![["SOURCE", "VALUE", "COST", "PERMISSION", "PLACE"].map(str::to_owned)];
    rows.extend(reports.iter().map(|report| {
        let value = report.value.as_deref().unwrap_or("-");
        let permission = report.permission.as_deref().unwrap_or("-");
        let cost = format!("{:.3} ms", report.cost.as_secs_f64() * 1000.0);
        [report.name, value, &cost, permission, &report.place].map(str::to_owned)
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [name, value, cost, permission] = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    let reasons = std::iter::once(None).chain(reports.iter().map(|report| report.value.as_ref().err()));
    for (row, reason) in rows.iter().zip(reasons) {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{:name$}  {:value$}  {:>cost$}  {:permission$}  {}",
            row[0], row[1], row[2], row[3], row[4]
        );
        if let Some(reason) = reason {
            let _ = writeln!(text, "{:name$}  {reason}", "");
        }
    }
    text
}

fn reason(absent: &Absent) -> String {
    let advice = match absent {
        Absent::Unreadable { path, error } if error.kind() == io::ErrorKind::PermissionDenied => {
            Access::of(path).and_then(|access| access.advice())
        }
        _ => None,
    };
    match advice {
        Some(advice) => format!("{absent}; {advice}"),
        None => absent.to_string(),
    }
}

/// Who may use a file.
struct Access {
    mode: u32,
    owner: String,
    group: String,
}

impl Access {
    fn of(path: &Path) -> Option<Access> {
        let metadata = fs::metadata(path).ok()?;
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let name = |list: &str, id: u32| {
            let list = fs::read_to_string(list).unwrap_or_default();
            name_of(&list, id).map_or(id.to_string(), str::to_owned)
        };
        Some(Access {
            mode: metadata.mode() & 0o7777,
            owner: name("/etc/passwd", uid),
            group: name("/etc/group", gid),
        })
    }

    fn advice(&self) -> Option<String> {
        let Access { mode, owner, group } = self;
        if mode & 0o004 != 0 {
            return Some(
                "its own mode lets everybody read: look at the directories and at the unit".to_owned(),
            );
        }
        // Advice to join group root would be worse than none.
        if mode & 0o040 != 0 && group != "root" {
            return Some(format!(
                "add the user to group {group} (in the unit: SupplementaryGroups={group}), and allow the device there"
            ));
        }
        Some(format!("only {owner} may read it"))
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04o} {}:{}", self.mode, self.owner, self.group)
    }
}

/// The name of `id` in the text of /etc/passwd or /etc/group; both have `name:password:id:`.
fn name_of(list: &str, id: u32) -> Option<&str> {
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(mode: u32, group: &str) -> Access {
        Access { mode, owner: "root".to_owned(), group: group.to_owned() }
    }

    #[test]
    fn a_node_of_group_video_is_explained_by_its_group() {
        let vcio = access(0o660, "video");
        assert_eq!(vcio.to_string(), "0660 root:video");
        let advice = vcio.advice().expect("advice");
        assert!(advice.starts_with("add the user to group video"), "{advice}");
    }

    #[test]
    fn no_advice_recommends_the_group_root() {
        assert_eq!(access(0o640, "root").advice().as_deref(), Some("only root may read it"));
        assert_eq!(access(0o600, "video").advice().as_deref(), Some("only root may read it"));
        let advice = access(0o644, "video").advice().expect("advice");
        assert!(advice.contains("directories"), "{advice}");
    }

    #[test]
    fn names_come_from_the_lists_and_ids_stay_ids() {
        let list = "root:x:0:\nvideo:x:44:pi\nbroken line\n";
        assert_eq!(name_of(list, 44), Some("video"));
        assert_eq!(name_of(list, 45), None);
        assert_eq!(name_of("", 0), None);
    }

    #[test]
    fn the_table_is_aligned_and_has_the_reason_of_each_missing_value() {
        let reports = [
            SourceReport {
                name: "temperature",
                place: "/sys/class/thermal/thermal_zone0/temp".to_owned(),
                permission: Some("0444 root:root".to_owned()),
                value: Ok("48.8 °C".to_owned()),
                cost: Duration::from_micros(40),
            },
            SourceReport {
                name: "power",
                place: "/dev/vcio pmic_read_adc".to_owned(),
                permission: Some("0660 root:video".to_owned()),
                value: Err("/dev/vcio: Permission denied; add the user to group video".to_owned()),
                cost: Duration::from_micros(12_345),
            },
        ];
        let expected = "\
            SOURCE       VALUE         COST  PERMISSION       PLACE\n\
            temperature  48.8 °C   0.040 ms  0444 root:root   /sys/class/thermal/thermal_zone0/temp\n\
            power        -        12.345 ms  0660 root:video  /dev/vcio pmic_read_adc\n\
            \u{20}            /dev/vcio: Permission denied; add the user to group video\n";
        assert_eq!(render(&reports), expected);
    }
}
