//! The disk below SQLite: it can be full or broken, and the process or the power can fail at any write.
//!
//! A shim of SQLite's own VFS, which every connection of this program uses. It belongs to the thread: a simulation and
//! its database are in one thread. Files are real; only writes are intercepted.

use rusqlite::ffi;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::ptr;
use std::sync::{Mutex, Once, OnceLock};

/// What the disk does with writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    #[default]
    Healthy,
    /// No file can grow.
    Full,
    /// Every write fails.
    Broken,
}

/// How a crash ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// What was written stays.
    Kill,
    /// What was not synced may be lost, each write for itself.
    PowerLoss,
}

#[derive(Default)]
struct Disk {
    condition: Condition,
    /// Writes until the crash.
    crash_in: Option<(u64, Crash)>,
    /// Nothing reaches the disk any more.
    crashed: Option<Crash>,
    random: Option<fastrand::Rng>,
    /// Operations that failed.
    faults: u64,
    /// By the address of SQLite's file.
    paths: BTreeMap<usize, PathBuf>,
    unsynced: Vec<Unsynced>,
}

/// A change of a file that is not synced.
struct Unsynced {
    path: PathBuf,
    offset: u64,
    /// What was there, up to the end of the file.
    old: Vec<u8>,
    old_size: u64,
    /// `None`: the file was cut at `offset`.
    new: Option<Vec<u8>>,
}

/// What becomes of an operation.
enum Fate {
    Done,
    Fails(c_int),
    /// This many bytes are written, then the process is gone.
    Torn(usize),
}

thread_local! {
    static DISK: RefCell<Disk> = RefCell::default();
}

fn disk<T>(work: impl FnOnce(&mut Disk) -> T) -> T {
    DISK.with_borrow_mut(work)
}

/// A healthy disk for the thread's next simulation.
pub fn reset(seed: u64) {
    install();
    disk(|disk| *disk = Disk { random: Some(fastrand::Rng::with_seed(seed)), ..Disk::default() });
}

pub fn set(condition: Condition) {
    disk(|disk| disk.condition = condition);
}

/// Crashes at a write from now on: the first one if `writes` is 0.
pub fn crash_after(writes: u64, crash: Crash) {
    disk(|disk| disk.crash_in = Some((writes, crash)));
}

/// Crashes now, without a write.
pub fn crash_now(crash: Crash) {
    disk(|disk| disk.crashed = Some(crash));
}

pub fn crashed() -> Option<Crash> {
    disk(|disk| disk.crashed)
}

/// Operations that have failed so far.
pub fn faults() -> u64 {
    disk(|disk| disk.faults)
}

/// After a crash, when no connection is open: a loss of power takes some of what was not synced. The disk works again.
pub fn restart() {
    disk(|disk| {
        if disk.crashed == Some(Crash::PowerLoss) {
            lose_power(disk);
        }
        disk.unsynced.clear();
        disk.paths.clear();
        disk.crashed = None;
        disk.crash_in = None;
    });
}

fn lose_power(disk: &mut Disk) {
    let changes = std::mem::take(&mut disk.unsynced);
    let open = |change: &Unsynced| OpenOptions::new().read(true).write(true).open(&change.path).ok();
    for change in changes.iter().rev() {
        let Some(file) = open(change) else { continue };
        file.write_all_at(&change.old, change.offset).expect("undone");
        file.set_len(change.old_size).expect("undone");
    }
    for change in &changes {
        let kept = disk.random.as_mut().is_some_and(fastrand::Rng::bool);
        let (true, Some(file)) = (kept, open(change)) else { continue };
        match &change.new {
            Some(new) => file.write_all_at(new, change.offset).expect("done"),
            None => file.set_len(change.offset).expect("done"),
        }
    }
}

impl Disk {
    fn fate(&mut self, length: usize, grows: bool) -> Fate {
        if self.crashed.is_some() {
            return Fate::Fails(ffi::SQLITE_IOERR);
        }
        match &mut self.crash_in {
            Some((0, crash)) => {
                self.crashed = Some(*crash);
                self.faults += 1;
                // Sectors are written whole.
                let sectors = length / 512;
                let written = self.random.as_mut().map_or(0, |random| random.usize(0..=sectors));
                return Fate::Torn(written * 512);
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        match self.condition {
            Condition::Full if grows => self.fails(ffi::SQLITE_FULL),
            Condition::Broken => self.fails(ffi::SQLITE_IOERR),
            _ => Fate::Done,
        }
    }

    fn fails(&mut self, code: c_int) -> Fate {
        self.faults += 1;
        Fate::Fails(code)
    }
}

/// SQLite's own VFS and the methods of its files.
struct Real {
    vfs: usize,
    /// Of any file: they read and write in the same way.
    methods: OnceLock<ffi::sqlite3_io_methods>,
    /// Each kind of file (locked or not) with its shim, by the address of SQLite's methods.
    shims: Mutex<BTreeMap<usize, &'static ffi::sqlite3_io_methods>>,
}

static REAL: OnceLock<Real> = OnceLock::new();

/// Makes the shim the default of this process.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: SQLite's default VFS is never unregistered; the copy, with SQLite's functions where they are not
        // replaced, lives as long as the process.
        unsafe {
            ffi::sqlite3_initialize();
            let real = ffi::sqlite3_vfs_find(ptr::null());
            let shim = ffi::sqlite3_vfs {
                zName: c"simulated".as_ptr(),
                xOpen: Some(open),
                xDelete: Some(delete),
                pNext: ptr::null_mut(),
                ..*real
            };
            let known =
                REAL.set(Real { vfs: real as usize, methods: OnceLock::new(), shims: Mutex::default() });
            assert!(known.is_ok());
            assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(shim)), 1), ffi::SQLITE_OK);
        }
    });
}

fn real() -> &'static Real {
    REAL.get().expect("installed")
}

fn methods() -> &'static ffi::sqlite3_io_methods {
    real().methods.get().expect("a file is open")
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let vfs = real().vfs as *mut ffi::sqlite3_vfs;
    // SAFETY: SQLite's own function with SQLite's own arguments; the file is initialised after it, and its methods are
    // SQLite's except for those that are replaced, which get the same file.
    unsafe {
        let code = (*vfs).xOpen.expect("SQLite's")(vfs, name, file, flags, out);
        if code == ffi::SQLITE_OK && !(*file).pMethods.is_null() {
            let methods = (*file).pMethods;
            real().methods.get_or_init(|| *methods);
            (*file).pMethods =
                *real().shims.lock().expect("shims").entry(methods as usize).or_insert_with(|| {
                    Box::leak(Box::new(ffi::sqlite3_io_methods {
                        xWrite: Some(write),
                        xTruncate: Some(truncate),
                        xSync: Some(sync),
                        ..*methods
                    }))
                });
            if !name.is_null() {
                let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
                disk(|disk| disk.paths.insert(file as usize, path));
            }
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    if let Fate::Fails(_) | Fate::Torn(_) = disk(|disk| disk.fate(0, false)) {
        return ffi::SQLITE_IOERR_DELETE;
    }
    let vfs = real().vfs as *mut ffi::sqlite3_vfs;
    // SAFETY: SQLite's own function with SQLite's own arguments.
    unsafe { (*vfs).xDelete.expect("SQLite's")(vfs, name, sync) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let wanted = usize::try_from(length).expect("a length");
    // SAFETY: SQLite's own functions with SQLite's own arguments; `bytes` has `length` bytes.
    unsafe {
        let size = size(file);
        let end = offset + i64::from(length);
        let (code, written) = match disk(|disk| disk.fate(wanted, end > size)) {
            Fate::Done => (ffi::SQLITE_OK, wanted),
            Fate::Fails(code) => return code,
            Fate::Torn(written) => (ffi::SQLITE_IOERR_WRITE, written),
        };
        let new = std::slice::from_raw_parts(bytes.cast::<u8>(), written);
        note(file, offset, written, size, Some(new.to_vec()));
        let real = methods().xWrite.expect("SQLite's");
        let done = real(file, bytes, c_int::try_from(written).expect("a length"), offset);
        if done == ffi::SQLITE_OK { code } else { done }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, to: ffi::sqlite3_int64) -> c_int {
    if let Fate::Fails(code) = disk(|disk| disk.fate(0, false)) {
        return code;
    }
    if crashed().is_some() {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    // SAFETY: SQLite's own functions with SQLite's own arguments.
    unsafe {
        let size = size(file);
        note(file, to, usize::try_from(size - to).unwrap_or(0), size, None);
        methods().xTruncate.expect("SQLite's")(file, to)
    }
}

/// The real files are on a disk that is not waited for: a crash takes what was not synced here.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    if let Fate::Fails(_) | Fate::Torn(_) = disk(|disk| disk.fate(0, false)) {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    disk(|disk| {
        if let Some(path) = disk.paths.get(&(file as usize)) {
            disk.unsynced.retain(|change| change.path != *path);
        }
    });
    ffi::SQLITE_OK
}

unsafe fn size(file: *mut ffi::sqlite3_file) -> i64 {
    let mut size = 0;
    // SAFETY: an open file.
    unsafe { methods().xFileSize.expect("SQLite's")(file, &raw mut size) };
    size
}

/// Remembers a change until it is synced.
unsafe fn note(file: *mut ffi::sqlite3_file, offset: i64, length: usize, size: i64, new: Option<Vec<u8>>) {
    let Some(path) = disk(|disk| disk.paths.get(&(file as usize)).cloned()) else { return };
    let mut old = vec![0; length.min(usize::try_from(size - offset).unwrap_or(0))];
    if !old.is_empty() {
        let length = c_int::try_from(old.len()).expect("a length");
        // SAFETY: an open file, and a buffer of this length.
        let read =
            unsafe { methods().xRead.expect("SQLite's")(file, old.as_mut_ptr().cast(), length, offset) };
        assert_eq!(read, ffi::SQLITE_OK);
    }
    let (offset, old_size) = (offset.unsigned_abs(), size.unsigned_abs());
    disk(|disk| disk.unsynced.push(Unsynced { path, offset, old, old_size, new }));
}
