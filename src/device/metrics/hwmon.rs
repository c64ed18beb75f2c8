//! Finding a sensor of the hwmon class by its name; the numbers in its path move between boots.

use std::fs;
use std::path::{Path, PathBuf};

/// The directory of the first sensor called `name`, by path.
pub fn named(root: &Path, name: &str) -> Option<PathBuf> {
    entries(&root.join("sys/class/hwmon"))
        .into_iter()
        .find(|sensor| fs::read_to_string(sensor.join("name")).is_ok_and(|text| text.trim() == name))
}

/// The entries of a directory, sorted; empty if it cannot be read.
pub fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(listing) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_is_found_by_its_name_wherever_it_is() {
        let root = tempfile::tempdir().expect("a directory");
        let class = root.path().join("sys/class/hwmon");
        assert_eq!(named(root.path(), "rpi_volt"), None, "no class at all");
        for (number, name) in [(0, "cpu_thermal\n"), (2, "rpi_volt\n"), (1, "rpi_volt_of_another\n")] {
            let sensor = class.join(format!("hwmon{number}"));
            fs::create_dir_all(&sensor).expect("created");
            fs::write(sensor.join("name"), name).expect("written");
        }
        fs::create_dir(class.join("hwmon3")).expect("created");
        assert_eq!(named(root.path(), "rpi_volt"), Some(class.join("hwmon2")));
        assert_eq!(named(root.path(), "pwmfan"), None);
    }
}
