//! Files that are replaced as a whole: a reader, and a program that starts after a crash, finds the old content or the
//! new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// Writes a draft beside `path` and renames it. Not synced: for tmpfs, or for content that may be lost.
pub fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    write_draft(path, write)?;
    fs::rename(draft(path), path)
}

/// As [`replace`], and on the disk when it returns: content that was confirmed survives a power cut.
pub fn replace_durably(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    write_draft(path, write)?.sync_all()?;
    fs::rename(draft(path), path)?;
    // The new name is durable once its directory is.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn write_draft(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<File> {
    let mut file = BufWriter::new(create(&draft(path))?);
    write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)
}

/// Root writes into a directory of the service's user, so a symbolic link in place of the draft is never followed. A draft
/// exists only after a crash or a failed write.
fn create(draft: &Path) -> io::Result<File> {
    let create_new = || OpenOptions::new().write(true).create_new(true).open(draft);
    match create_new() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(draft)?;
            create_new()
        }
        result => result,
    }
}

/// `.NAME.new`
fn draft(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_failed_write_keeps_the_old_content_and_the_next_one_replaces_it() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("state.json");
        replace(&path, |file| file.write_all(b"a long first content")).expect("written");
        replace(&path, |_| Err(io::ErrorKind::StorageFull.into())).expect_err("no room");
        assert_eq!(fs::read(&path).expect("readable"), b"a long first content");
        replace_durably(&path, |file| file.write_all(b"short")).expect("written");
        assert_eq!(fs::read(&path).expect("readable"), b"short");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "no draft is left");
    }

    #[test]
    fn a_symbolic_link_in_place_of_the_draft_is_not_followed() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (path, other) = (dir.path().join("state"), dir.path().join("other"));
        fs::write(&other, "untouched").expect("written");
        std::os::unix::fs::symlink(&other, draft(&path)).expect("linked");
        replace_durably(&path, |file| file.write_all(b"new")).expect("written");
        assert_eq!(fs::read(&other).expect("readable"), b"untouched");
    }
}
