//! The mount table, and which file system holds a path.

use super::source::under;
use super::terms::Absent;
use crate::device::os::file::KeptFile;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Symbolic links followed in one path, as in the kernel.
const LINKS: usize = 40;

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `major:minor` of its device; the same for all mounts of one file system.
    pub device: String,
    pub point: PathBuf,
    pub read_only: bool,
}

#[derive(Debug)]
pub struct MountTable {
    root: PathBuf,
    mounts: Vec<Mount>,
}

impl MountTable {
    /// Reads the table of PID 1, which has no read-only mounts of this service's own (`ProtectSystem=`); where that one is
    /// hidden, this process's. Touches no file system but proc.
    ///
    /// # Errors
    /// Neither can be read, or there is nothing in it.
    pub fn read(root: &Path) -> Result<MountTable, Absent> {
        let table = |process: &str, is_own: bool| {
            let mut file = KeptFile::new(root.join("proc").join(process).join("mountinfo"));
            let mounts = file.read().map(|table| parse(table, is_own));
            mounts.map_err(|error| Absent::Unreadable { path: file.path().to_owned(), error })
        };
        let mounts = table("1", false).or_else(|_| table("self", true))?;
        Ok(MountTable { root: root.to_owned(), mounts })
    }

    /// The file system that holds `path`, with its symbolic links followed.
    pub fn holding(&self, path: &Path) -> Option<&Mount> {
        self.above(&self.resolved(path))
    }

    /// The mount with the longest mount point above `path`; the last of several hides the others.
    fn above(&self, path: &Path) -> Option<&Mount> {
        let above = self.mounts.iter().filter(|mount| path.starts_with(&mount.point));
        above.max_by_key(|mount| mount.point.components().count())
    }

    /// Follows symbolic links on the root file system only: any other may be one that does not answer.
    fn resolved(&self, path: &Path) -> PathBuf {
        let root_device = self.above(Path::new("/")).map(|mount| &mount.device);
        let mut resolved = PathBuf::from("/");
        let mut rest: Vec<PathBuf> = reversed(path);
        let mut links = 0;
        while let Some(component) = rest.pop() {
            if component == Path::new("..") {
                resolved.pop();
                continue;
            }
            let next = resolved.join(component);
            if self.above(&next).map(|mount| &mount.device) != root_device || links == LINKS {
                rest.reverse();
                return rest.iter().fold(next, |path, component| path.join(component));
            }
            match fs::read_link(under(&self.root, &next)) {
                Ok(target) => {
                    links += 1;
                    if target.is_absolute() {
                        resolved = PathBuf::from("/");
                    }
                    rest.extend(reversed(&target));
                }
                // Not a link, or not there.
                Err(_) => resolved = next,
            }
        }
        resolved
    }
}

/// The names of `path`, the last one first.
fn reversed(path: &Path) -> Vec<PathBuf> {
    let is_name =
        |component: &Component<'_>| matches!(component, Component::Normal(_) | Component::ParentDir);
    path.components().rev().filter(is_name).map(|component| PathBuf::from(component.as_os_str())).collect()
}

/// The lines of a `mountinfo` (proc_pid_mountinfo(5)); others are left out.
fn parse(table: &[u8], is_own: bool) -> Vec<Mount> {
    table.split(|byte| *byte == b'\n').filter_map(|line| mount(line, is_own)).collect()
}

/// `36 35 98:0 /subdirectory /mnt rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro`
fn mount(line: &[u8], is_own: bool) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = std::str::from_utf8(fields.nth(2)?).ok()?.to_owned();
    let point = PathBuf::from(OsStr::from_bytes(&unescaped(fields.nth(1)?)));
    let of_mount = fields.next()?;
    fields.find(|field| *field == b"-")?;
    // In its own table a mount is read-only as `ProtectSystem=` has it, whatever the file system is.
    let of_mount = if is_own { &[] } else { of_mount };
    let read_only = [of_mount, fields.nth(2)?].into_iter().any(forbids_writing);
    Some(Mount { device, point, read_only })
}

/// Linux 6.15 and later leave `rw` and add `emergency_ro` when ext4 finds an error, and `shutdown` after a forced one.
fn forbids_writing(options: &[u8]) -> bool {
    let words: [&[u8]; 3] = [b"ro", b"emergency_ro", b"shutdown"];
    options.split(|byte| *byte == b',').any(|option| words.contains(&option))
}

/// The kernel writes space, tab, newline and backslash as `\` and three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests;
