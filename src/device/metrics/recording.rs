//! The file that is being recorded: named by a path file, or the newest in the recording directory.

use super::RecordingFile;
use super::source::under;
use crate::device::config;
use crate::device::os::file::open_regular;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Entries of the recording directory that are looked at; beyond it the newest may be missed.
const ENTRIES: usize = 10_000;
/// Longest path that Linux takes.
const PATH_MAX: u64 = 4096;
/// The kernel dates changes by its timer tick, 1 to 10 ms: two changes within one look like one. So a
/// directory that has just changed is read again.
const SETTLED: Duration = Duration::from_secs(2);

/// Finds the recording.
#[derive(Debug)]
pub struct Recording {
    root: PathBuf,
    path_file: Option<PathBuf>,
    directory: Option<PathBuf>,
    newest: Option<Newest>,
}

/// Holds until something is created, renamed or removed in the directory.
#[derive(Debug)]
struct Newest {
    path: PathBuf,
    directory_changed: SystemTime,
}

impl Recording {
    pub fn new(root: &Path, config: &config::Activity) -> Recording {
        let place = |path: &Option<PathBuf>| path.as_deref().map(|path| under(root, path));
        Recording {
            root: root.to_owned(),
            path_file: place(&config.recording_path_file),
            directory: place(&config.recording_dir),
            newest: None,
        }
    }

    /// Where it is looked for; `None` if the configuration names no place.
    pub fn place(&self) -> Option<String> {
        let places: Vec<_> = [&self.path_file, &self.directory]
            .into_iter()
            .flatten()
            .map(|path| path.display().to_string())
            .collect();
        (!places.is_empty()).then(|| places.join(", "))
    }

    /// The file and its current size. The path is that of the machine, without `root`.
    pub fn find(&mut self) -> Result<RecordingFile, String> {
        let named = match &self.path_file {
            Some(path_file) => self.named_by(path_file),
            None => Err("neither recording_path_file nor recording_dir is configured".into()),
        };
        match (named, self.directory.clone()) {
            (Ok(file), _) => Ok(file),
            (Err(_), Some(directory)) => self.newest_in(&directory),
            (Err(reason), None) => Err(reason),
        }
    }

    fn named_by(&self, path_file: &Path) -> Result<RecordingFile, String> {
        let fault = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path_file.display());
        let mut text = String::new();
        let file = open_regular(path_file).map_err(|error| fault(&error))?;
        file.take(PATH_MAX).read_to_string(&mut text).map_err(|error| fault(&error))?;
        let path = Path::new(text.lines().next().unwrap_or_default().trim());
        if !path.is_absolute() {
            return Err(fault(&"the first line is not an absolute path"));
        }
        let size = regular_size(&under(&self.root, path)).map_err(|error| fault(&error))?;
        Ok(RecordingFile { path: path.to_owned(), bytes: size })
    }

    fn newest_in(&mut self, directory: &Path) -> Result<RecordingFile, String> {
        let fault = |error: std::io::Error| format!("{}: {error}", directory.display());
        let changed = fs::metadata(directory).and_then(|metadata| metadata.modified()).map_err(fault)?;
        let remembered = self.newest.take().filter(|newest| newest.directory_changed == changed);
        let remembered = remembered.and_then(|newest| Some((regular_size(&newest.path).ok()?, newest.path)));
        let (bytes, path) = match remembered {
            Some(known) => known,
            None => {
                newest_file(directory).map_err(fault)?.ok_or(format!("{}: no file", directory.display()))?
            }
        };
        if SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED) {
            self.newest = Some(Newest { path: path.clone(), directory_changed: changed });
        }
        let path = path.strip_prefix(&self.root).map(|path| Path::new("/").join(path)).unwrap_or(path);
        Ok(RecordingFile { path, bytes })
    }
}

fn regular_size(path: &Path) -> std::io::Result<u64> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() { Ok(metadata.len()) } else { Err(std::io::ErrorKind::IsADirectory.into()) }
}

/// By time of the last write, and by name where that is the same (a clock that has not been set counts in
/// jumps).
fn newest_file(directory: &Path) -> std::io::Result<Option<(u64, PathBuf)>> {
    let files = fs::read_dir(directory)?.take(ENTRIES).flatten().filter_map(|entry| {
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((metadata.modified().ok()?, entry.path(), metadata.len()))
    });
    let newest = files.max_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    Ok(newest.map(|(_, path, bytes)| (bytes, path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    /// A root with a recording directory of its own.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Root {
            let root =
                std::env::temp_dir().join(format!("heartbeat-recording-{name}-{}", std::process::id()));
            fs::create_dir_all(root.join("data/rec")).expect("created");
            Root(root)
        }

        /// A file of this many bytes, last written at this second.
        fn file(&self, name: &str, bytes: usize, second: u64) {
            let path = self.0.join("data/rec").join(name);
            fs::write(&path, vec![0; bytes]).expect("written");
            let file = fs::File::options().write(true).open(&path).expect("opened");
            file.set_modified(UNIX_EPOCH + Duration::from_secs(second)).expect("dated");
        }

        /// The time that the directory itself last changed, so that no test depends on the clock's steps.
        fn date_directory(&self, second: u64) {
            let directory = fs::File::open(self.0.join("data/rec")).expect("opened");
            directory.set_modified(UNIX_EPOCH + Duration::from_secs(second)).expect("dated");
        }

        fn recording(&self, config: config::Activity) -> Recording {
            Recording::new(&self.0, &config)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn in_directory() -> config::Activity {
        config::Activity { recording_dir: Some("/data/rec".into()), ..Default::default() }
    }

    fn found(recording: &mut Recording) -> (String, u64) {
        let file = recording.find().expect("a recording");
        (file.path.display().to_string(), file.bytes)
    }

    #[test]
    fn the_newest_file_is_the_recording_and_its_size_is_of_now() {
        let root = Root::new("newest");
        root.file("a.mp4", 10, 1000);
        root.file("b.mp4", 20, 3000);
        root.file("c.mp4", 30, 2000);
        let mut recording = root.recording(in_directory());
        assert_eq!(found(&mut recording), ("/data/rec/b.mp4".into(), 20));
        root.file("b.mp4", 25, 3001);
        assert_eq!(found(&mut recording), ("/data/rec/b.mp4".into(), 25));
    }

    #[test]
    fn of_files_of_the_same_time_the_last_by_name_is_newest() {
        let root = Root::new("tie");
        root.file("1763750000.mp4", 1, 1000);
        root.file("1763750060.mp4", 2, 1000);
        assert_eq!(found(&mut root.recording(in_directory())).1, 2);
    }

    #[test]
    fn the_directory_is_reread_only_after_a_change_or_if_the_file_is_missing() {
        let root = Root::new("again");
        root.file("a.mp4", 1, 1000);
        root.date_directory(5000);
        let mut recording = root.recording(in_directory());
        assert_eq!(found(&mut recording).1, 1);
        root.file("b.mp4", 2, 2000);
        root.date_directory(5000);
        assert_eq!(found(&mut recording).1, 1, "the directory's time says that nothing changed");
        root.date_directory(5001);
        assert_eq!(found(&mut recording).1, 2);
        fs::remove_file(root.0.join("data/rec/b.mp4")).expect("removed");
        root.date_directory(5001);
        assert_eq!(found(&mut recording).1, 1, "the remembered file is gone");
    }

    #[test]
    fn directories_and_dangling_links_are_no_recordings() {
        let root = Root::new("odd");
        fs::create_dir(root.0.join("data/rec/later")).expect("created");
        std::os::unix::fs::symlink("nowhere", root.0.join("data/rec/link")).expect("linked");
        assert!(root.recording(in_directory()).find().expect_err("nothing").ends_with("no file"));
    }

    #[test]
    fn the_path_file_wins_over_the_directory() {
        let root = Root::new("named");
        root.file("a.mp4", 10, 1000);
        root.file("b.mp4", 20, 3000);
        let config =
            config::Activity { recording_path_file: Some("/run/recording".into()), ..in_directory() };
        let mut recording = root.recording(config);
        assert_eq!(found(&mut recording).0, "/data/rec/b.mp4");
        fs::create_dir(root.0.join("run")).expect("created");
        fs::write(root.0.join("run/recording"), "/data/rec/a.mp4\n").expect("written");
        assert_eq!(found(&mut recording), ("/data/rec/a.mp4".into(), 10));
    }

    #[test]
    fn a_path_file_without_a_usable_path_is_reported() {
        let root = Root::new("hostile");
        let config = config::Activity { recording_path_file: Some("/path".into()), ..Default::default() };
        let mut recording = root.recording(config);
        for text in ["", "\n", "relative.mp4", "/data/rec", "/nowhere/a.mp4", &"/a".repeat(10_000)] {
            fs::write(root.0.join("path"), text).expect("written");
            recording.find().expect_err(text);
        }
        fs::write(root.0.join("path"), b"/data/\xff.mp4").expect("written");
        recording.find().expect_err("not UTF-8");
        fs::remove_file(root.0.join("path")).expect("removed");
        rustix::fs::mkfifoat(rustix::fs::CWD, root.0.join("path"), rustix::fs::Mode::RUSR).expect("made");
        let reason = recording.find().expect_err("a FIFO without a writer does not hang the reader");
        assert!(reason.contains("not a regular file"), "{reason}");
    }

    #[test]
    fn without_any_place_there_is_a_reason() {
        let mut recording = Root::new("nothing").recording(config::Activity::default());
        assert_eq!(recording.place(), None);
        assert!(recording.find().expect_err("nothing").contains("configured"));
    }
}
