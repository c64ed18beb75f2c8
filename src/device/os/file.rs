//! Files that other programs own: opened without waiting, and those of /proc and sysfs read again and again.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Larger than anything read here; /proc/stat of a machine with 64 cores has about 10 KiB.
const LIMIT: usize = 256 * 1024;

/// Opens a regular file for reading. A FIFO or a device under that name would block the thread that opens or reads it,
/// maybe for ever.
///
/// # Errors
/// The file cannot be opened, or it is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open_regular_with(OpenOptions::new().read(true), path)
}

/// [`open_regular`] with options of the caller's.
///
/// # Errors
/// The file cannot be opened, or it is not a regular file.
pub fn open_regular_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Without the flag, opening a FIFO waits for its other end. Regular files ignore it.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = options.custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Whether a file cannot be written because of the state of its file system (full, read-only, failing), and not because
/// of its path or its permissions.
pub fn is_file_system_trouble(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | ReadOnlyFilesystem | QuotaExceeded)
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// A small file that stays open, so that a reading costs one system call instead of four.
///
/// The kernel generates the text of a /proc or sysfs file for every read from offset 0.
#[derive(Debug)]
pub struct KeptFile {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl KeptFile {
    pub fn new(path: impl Into<PathBuf>) -> KeptFile {
        KeptFile { path: path.into(), file: None, buffer: Vec::new() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content as it is now; opens the file if needed, and again after an error.
    ///
    /// # Errors
    /// The kernel's error; a sensor may answer EIO, EINVAL, ENODATA or EAGAIN. `FileTooLarge` above 256 KiB.
    pub fn read(&mut self) -> io::Result<&[u8]> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open_regular(&self.path)?,
        };
        let length = read_whole(&file, &mut self.buffer)?;
        // Kept only after a success: a device that went and came back has a new inode.
        self.file = Some(file);
        Ok(&self.buffer[..length])
    }

    /// [`KeptFile::read`] as text without the white space around it.
    ///
    /// # Errors
    /// As there, and `InvalidData` where it is not UTF-8.
    pub fn read_text(&mut self) -> io::Result<&str> {
        let text =
            std::str::from_utf8(self.read()?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok(text.trim())
    }
}

/// Reads from offset 0 until the file ends; the buffer grows as needed and is kept for the next time.
fn read_whole(file: &File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    if buffer.is_empty() {
        buffer.resize(1024, 0);
    }
    loop {
        let length = file.read_at(buffer, 0)?;
        if length < buffer.len() {
            return Ok(length);
        }
        if length >= LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // Read again from the start: two reads would join two different moments.
        buffer.resize(length * 4, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_file_shows_what_it_holds_now() {
        let mut stat = KeptFile::new("/proc/self/stat");
        assert!(stat.read_text().expect("readable").contains('('));
        assert!(stat.read_text().expect("readable twice").contains('('));
    }

    #[test]
    fn a_file_larger_than_the_first_buffer_is_read_whole() {
        let whole: Vec<u8> = (0..10_000).map(|n| n as u8).collect();
        let scratch = tempfile::NamedTempFile::new().expect("a scratch file");
        std::fs::write(scratch.path(), &whole).expect("written");
        let mut file = KeptFile::new(scratch.path());
        assert_eq!(file.read().expect("readable"), whole);
    }

    #[test]
    fn a_fifo_or_a_directory_is_refused_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("made");
        for path in [&fifo, directory.path(), Path::new("/dev/null")] {
            let error = KeptFile::new(path).read().expect_err("not a regular file").to_string();
            assert_eq!(error, "not a regular file", "{}", path.display());
        }
        let write = open_regular_with(OpenOptions::new().read(true).write(true), &fifo);
        write.expect_err("a FIFO that would open for both");
    }

    #[test]
    fn a_missing_file_is_an_error_each_time() {
        let mut missing = KeptFile::new("/proc/there-is-no-such-file");
        for _ in 0..2 {
            assert_eq!(missing.read().expect_err("absent").kind(), io::ErrorKind::NotFound);
        }
    }
}
