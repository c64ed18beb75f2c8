//! The list of files below `[packages] directory`, and how one of them is opened.
//!
//! A request can only name a file of the list, which is read at the start and at a reload. Each is opened from the directory's
//! descriptor, one component of its path after the other, without following links.

use crate::config::ConfigError;
use crate::http::file_body::OpenedFile;
use rustix::fs::{Mode, OFlags, openat};
use std::collections::HashMap;
use std::fs::{self, DirEntry, File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A repository of both programs for four architectures has 40 files, and each version adds 8.
const MOST_FILES: usize = 10_000;
/// Directories below each other; apt's layout has six.
const DEEPEST: usize = 16;
/// The key that signs the repository; `packaging/repository` writes it.
pub const KEY_FILE: &str = "heartbeat.asc";
/// The fingerprint of that key, in hexadecimal digits.
const FINGERPRINT_FILE: &str = "fingerprint";

/// The files of one directory, as they were when it was read.
#[derive(Debug)]
pub struct PackageIndex {
    directory: PathBuf,
    root: OwnedFd,
    files: HashMap<String, Version>,
    signing_key: Option<SigningKey>,
}

/// The public key that signs the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// ASCII armour.
    pub text: String,
    pub fingerprint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    size: u64,
    modified: SystemTime,
}

/// Why a file cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    NotListed,
    /// It was listed, and is missing or another one now.
    Changed(String),
}

impl PackageIndex {
    /// Lists `directory`. Skips links, special files, and names that begin with a dot or are not UTF-8.
    ///
    /// # Errors
    /// The directory cannot be read, or has too many files or levels.
    pub fn read(directory: &Path) -> Result<PackageIndex, ConfigError> {
        let fault = |problem: io::Error| {
            ConfigError::new(format!("[packages] directory {}: {problem}", directory.display()))
        };
        let root = File::open(directory).map_err(fault)?;
        let mut files = HashMap::new();
        // The same directory, even if `directory` is a link that is changed meanwhile.
        let canonical = fs::canonicalize(directory).map_err(fault)?;
        list(&canonical, "", DEEPEST, &mut files).map_err(fault)?;
        let mut index = PackageIndex { directory: canonical, root: root.into(), files, signing_key: None };
        index.signing_key = index.read_key();
        Ok(index)
    }

    /// `None`: the directory is not a repository of `packaging/repository`.
    pub fn signing_key(&self) -> Option<&SigningKey> {
        self.signing_key.as_ref()
    }

    /// Opens a file by its path below the directory. Waits for the disk.
    ///
    /// # Errors
    /// It is not in the list, or has changed since.
    pub fn open(&self, path: &str) -> Result<OpenedFile, OpenError> {
        let listed = self.files.get(path).ok_or(OpenError::NotListed)?;
        let place = self.directory.join(path);
        let opened = open_below(self.root.as_fd(), path).and_then(|file| OpenedFile::new(file, place));
        match opened {
            Ok(file) if (Version { size: file.size(), modified: file.modified() }) == *listed => Ok(file),
            Ok(_) => {
                Err(OpenError::Changed(format!("{path} was changed after the list of packages was read")))
            }
            Err(error) => Err(OpenError::Changed(format!("{path} is in the list of packages, but: {error}"))),
        }
    }

    fn read_key(&self) -> Option<SigningKey> {
        let text = self.read_small(KEY_FILE)?;
        let fingerprint = self.read_small(FINGERPRINT_FILE)?.trim().to_owned();
        // Both become part of a script.
        let is_armour = text.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
            && text
                .bytes()
                .all(|byte| byte == b'\n' || byte == b' ' || (byte.is_ascii_graphic() && byte != b'\''));
        let is_fingerprint =
            matches!(fingerprint.len(), 40 | 64) && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_armour && is_fingerprint).then_some(SigningKey { text, fingerprint })
    }

    fn read_small(&self, path: &str) -> Option<String> {
        const LARGEST: u64 = 64 * 1024;
        let listed = self.files.get(path).filter(|listed| listed.size <= LARGEST)?;
        let mut bytes = Vec::new();
        let file = open_below(self.root.as_fd(), path).ok()?;
        io::Read::read_to_end(&mut io::Read::take(file, listed.size), &mut bytes).ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// Adds the regular files of a directory and of those below it.
fn list(
    directory: &Path,
    prefix: &str,
    levels: usize,
    files: &mut HashMap<String, Version>,
) -> io::Result<()> {
    if levels == 0 {
        return Err(io::Error::other(format!("{prefix} is more than {DEEPEST} directories deep")));
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(name) = listed_name(&entry) else { continue };
        let path = format!("{prefix}{name}");
        // Of the entry itself: links are neither.
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            list(&entry.path(), &format!("{path}/"), levels - 1, files)?;
        } else if metadata.is_file() {
            files.insert(path, Version::of(&metadata)?);
            if files.len() > MOST_FILES {
                return Err(io::Error::other(format!("it has more than {MOST_FILES} files")));
            }
        }
    }
    Ok(())
}

fn listed_name(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))
}

impl Version {
    fn of(metadata: &Metadata) -> io::Result<Version> {
        Ok(Version { size: metadata.len(), modified: metadata.modified()? })
    }
}

/// Opens `path` below `root`. No part of it may be a link: a directory can have become one after it was listed.
fn open_below(root: BorrowedFd<'_>, path: &str) -> io::Result<File> {
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut directory: Option<OwnedFd> = None;
    for parent in parents.split('/').filter(|parent| !parent.is_empty()) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = directory.as_ref().map_or(root, AsFd::as_fd);
        directory = Some(openat(from, parent, flags, Mode::empty())?);
    }
    // NONBLOCK: a FIFO in its place would hang.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let from = directory.as_ref().map_or(root, AsFd::as_fd);
    Ok(openat(from, name, flags, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A directory with `pool/a.deb`, a link to a file, one to a directory, and a hidden file.
    fn directory() -> tempfile::TempDir {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("packages");
        fs::create_dir_all(path.join("pool/main")).expect("created");
        fs::write(path.join("pool/main/a.deb"), "a package").expect("written");
        fs::write(path.join(".hidden"), "a secret").expect("written");
        fs::write(scratch.path().join("outside"), "a secret").expect("written");
        symlink("../outside", path.join("link")).expect("a link");
        symlink("..", path.join("up")).expect("a link");
        scratch
    }

    fn index(scratch: &tempfile::TempDir) -> PackageIndex {
        PackageIndex::read(&scratch.path().join("packages")).expect("readable")
    }

    #[test]
    fn only_regular_files_below_the_directory_are_listed() {
        let scratch = directory();
        let index = index(&scratch);
        assert_eq!(index.files.keys().collect::<Vec<_>>(), ["pool/main/a.deb"]);
        assert_eq!(index.open("pool/main/a.deb").expect("listed").size(), 9);
        for path in [
            "../outside",
            "link",
            "up/outside",
            ".hidden",
            "",
            "pool",
            "pool/main/../main/a.deb",
            "/etc/passwd",
        ] {
            assert!(matches!(index.open(path), Err(OpenError::NotListed)), "{path}");
        }
    }

    #[test]
    fn a_file_that_changes_after_it_was_listed_is_not_opened() {
        let changes: [fn(&Path); 5] = [
            |packages| fs::write(packages.join("pool/main/a.deb"), "another package").expect("written"),
            |packages| fs::remove_file(packages.join("pool/main/a.deb")).expect("removed"),
            |packages| {
                fs::remove_file(packages.join("pool/main/a.deb")).expect("removed");
                symlink("../../../outside", packages.join("pool/main/a.deb")).expect("a link");
            },
            |packages| {
                let outside = packages.join("../elsewhere");
                fs::rename(packages.join("pool/main"), &outside).expect("moved");
                symlink("../../elsewhere", packages.join("pool/main")).expect("a link");
            },
            |packages| {
                fs::remove_file(packages.join("pool/main/a.deb")).expect("removed");
                let fifo =
                    std::process::Command::new("mkfifo").arg(packages.join("pool/main/a.deb")).status();
                assert!(fifo.expect("mkfifo").success());
            },
        ];
        for change in changes {
            let scratch = directory();
            let index = index(&scratch);
            change(&scratch.path().join("packages"));
            let problem = match index.open("pool/main/a.deb") {
                Err(OpenError::Changed(problem)) => problem,
                other => panic!("{other:?}"),
            };
            assert!(problem.contains("pool/main/a.deb"), "{problem}");
        }
    }

    #[test]
    fn a_directory_that_is_none_or_too_large_is_refused() {
        let scratch = directory();
        let fault = |path: &str| PackageIndex::read(&scratch.path().join(path)).expect_err(path).to_string();
        assert!(fault("nothing").contains("No such file"), "{}", fault("nothing"));
        assert!(fault("outside").contains("Not a directory"), "{}", fault("outside"));
        fs::create_dir_all(scratch.path().join("packages").join("a/".repeat(DEEPEST))).expect("created");
        assert!(fault("packages").contains("directories deep"), "{}", fault("packages"));
    }

    #[test]
    fn the_signing_key_cannot_end_the_script_that_contains_it() {
        let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n";
        let digits = "0123456789ABCDEF0123456789ABCDEF01234567";
        for (text, fingerprint, is_usable) in [
            (key.to_owned(), format!("{digits}\n"), true),
            (key.to_owned(), "0123".to_owned(), false),
            (key.to_owned(), digits.replace('0', "'"), false),
            (key.replace("mDME", "'; reboot"), digits.to_owned(), false),
            ("a key".to_owned(), digits.to_owned(), false),
        ] {
            let scratch = directory();
            fs::write(scratch.path().join("packages").join(KEY_FILE), &text).expect("written");
            fs::write(scratch.path().join("packages").join(FINGERPRINT_FILE), fingerprint).expect("written");
            assert_eq!(index(&scratch).signing_key().is_some(), is_usable, "{text}");
        }
    }
}
