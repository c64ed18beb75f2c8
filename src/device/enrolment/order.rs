//! The order to enrol: the monitor's address and a key. A person gives it, or one of two files on an unattended device.
//!
//! | file | content |
//! |---|---|
//! | `/etc/heartbeat-daemon/enroll.key` | one line, the key; the server is `url` in `[heartbeat]` |
//! | `/boot/firmware/heartbeat.toml` | `url`, `key`, and if needed `ca` (certificates as PEM text) and `name` (the hostname to report) |
//!
//! The second one is on the partition of an SD card that every computer can write.

use crate::config::Source;
use crate::device::config::HeartbeatConfig;
use crate::device::failure::Failure;
use crate::device::os::file::{open_regular, open_regular_with};
use crate::device::token::Token;
use serde::Deserialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use toml::Spanned;

const KEY_FILE: &str = "etc/heartbeat-daemon/enroll.key";
const BOOT_FILE: &str = "boot/firmware/heartbeat.toml";

/// Certificates take 2 KiB each.
const LARGEST: u64 = 256 * 1024;

/// What is needed for a request.
pub struct EnrolmentOrder {
    pub url: String,
    pub key: Token,
    /// Certificates as PEM text.
    pub ca: Option<String>,
    /// The hostname to report; `None`: the device's own.
    pub name: Option<String>,
}

/// `heartbeat.toml`
#[derive(Deserialize)]
struct BootFile {
    url: Option<String>,
    key: Option<Spanned<String>>,
    ca: Option<String>,
    name: Option<String>,
}

/// The two files, those that exist.
pub fn key_files(root: &Path) -> Vec<PathBuf> {
    [KEY_FILE, BOOT_FILE].iter().map(|file| root.join(file)).filter(|file| file.exists()).collect()
}

/// The order in the first of `files`.
///
/// # Errors
/// There is none, it cannot be read, or something is missing in it; the sentence never shows the key.
pub fn from_files(files: &[PathBuf], config: &HeartbeatConfig) -> Result<EnrolmentOrder, Failure> {
    let Some(file) = files.first() else {
        return Err(format!("there is no key: neither /{KEY_FILE} nor /{BOOT_FILE} exists").into());
    };
    if !file.ends_with(KEY_FILE) {
        return boot_file(file);
    }
    let Some(url) = &config.url else {
        return Err(format!("{}: set url in [heartbeat] to the monitor's address", file.display()).into());
    };
    Ok(EnrolmentOrder { url: url.to_string(), key: key_file(file)?, ca: None, name: None })
}

fn boot_file(path: &Path) -> Result<EnrolmentOrder, Failure> {
    let source = Source::new(path, read(path)?);
    let BootFile { url, key, ca, name } = source.parse(|_| None)?;
    let (Some(url), Some(key)) = (url, key) else {
        return Err(format!("{}: needs url and key", path.display()).into());
    };
    let span = key.span();
    let Some(key) = Token::parse(key.get_ref()) else {
        return Err(source
            .fault(span, "must be the key alone, printable ASCII characters without spaces")
            .into());
    };
    Ok(EnrolmentOrder { url, key, ca, name })
}

/// The key in a file of one line.
///
/// # Errors
/// It cannot be read, or holds something else; the sentence does not show it.
pub fn key_file(path: &Path) -> Result<Token, Failure> {
    let text = read(path)?;
    Token::parse(text.trim())
        .ok_or_else(|| format!("{}: must hold one line, the enrolment key", path.display()).into())
}

/// The text of a small file.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = open_regular(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text)
}

/// Prompts for the key on the terminal, without showing it.
///
/// # Errors
/// There is no terminal, or what was typed is no key.
pub fn prompt_for_key() -> Result<Token, Failure> {
    let no_terminal =
        |error: io::Error| format!("no terminal to ask for the key ({error}); use --key-file FILE");
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    let hidden = HiddenInput::begin(&terminal).map_err(no_terminal)?;
    let mut line = String::new();
    let typed = write!(terminal, "Enrolment key (it is not shown): ")
        .and_then(|()| BufReader::new((&terminal).take(LARGEST)).read_line(&mut line));
    drop(hidden);
    let _ = writeln!(terminal);
    typed.map_err(no_terminal)?;
    Token::parse(line.trim()).ok_or_else(|| "that is not a key".to_owned().into())
}

/// The terminal does not show what is typed, until this is dropped or a signal ends the program.
struct HiddenInput(File);

impl HiddenInput {
    fn begin(terminal: &File) -> io::Result<HiddenInput> {
        let (first, second) = (terminal.try_clone()?, terminal.try_clone()?);
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        // stty: termios would need unsafe code for this one use.
        if !stty(&first, "-echo")?.success() {
            return Err(io::Error::other("stty -echo failed"));
        }
        thread::Builder::new().name("signals".into()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                drop(HiddenInput(second));
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        })?;
        Ok(HiddenInput(first))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        let _ = stty(&self.0, "echo");
    }
}

fn stty(terminal: &File, setting: &str) -> io::Result<std::process::ExitStatus> {
    Command::new("stty").arg(setting).stdin(terminal.try_clone()?).stdout(Stdio::null()).status()
}

/// Overwrites and removes a file with a key. An SD card may keep the old bytes in cells that it no longer shows; the key is
/// used by then.
///
/// # Errors
/// The file system does not permit it.
pub fn destroy(path: &Path) -> io::Result<()> {
    let mut file = open_regular_with(OpenOptions::new().write(true), path)?;
    let length = usize::try_from(file.metadata()?.len().min(LARGEST)).unwrap_or_default();
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const BOOT: &str = "url = \"https://m.example.org\"\nkey = \"hbe_hunter2\"\n";

    fn files(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(path, text).expect("written");
        }
        root
    }

    fn order(root: &TempDir, url: Option<&str>) -> Result<EnrolmentOrder, String> {
        let text = url.map(|url| format!("[heartbeat]\nurl = {url:?}\n")).unwrap_or_default();
        let config = crate::device::config::Config::from_source(&Source::new("c.toml", text), &|_| None);
        let config = config.expect("valid");
        from_files(&key_files(root.path()), &config.heartbeat).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_key_file_needs_the_url_of_the_configuration_and_comes_first() {
        let root = files(&[(KEY_FILE, "hbe_one\n"), (BOOT_FILE, BOOT)]);
        let found = order(&root, Some("https://own.example.org/")).expect("complete");
        assert_eq!((found.url.as_str(), found.key.expose()), ("https://own.example.org/", "hbe_one"));
        assert!(order(&root, None).is_err_and(|error| error.contains("set url in [heartbeat]")));
        assert_eq!(key_files(root.path()).len(), 2);
    }

    #[test]
    fn the_boot_file_is_strict_and_no_error_shows_the_key() {
        let root = files(&[(BOOT_FILE, &format!("{BOOT}ca = \"\"\"PEM\"\"\"\nname = \"barn-cam\"\n"))]);
        let found = order(&root, None).expect("complete");
        assert_eq!((found.url.as_str(), found.key.expose()), ("https://m.example.org", "hbe_hunter2"));
        assert_eq!((found.ca.as_deref(), found.name.as_deref()), (Some("PEM"), Some("barn-cam")));
        for content in [
            "",
            "url = \"https://m.example.org\"",
            "key = \"hbe_hunter2\"",
            "key = \"hbe_hunter2",
            "key = hbe_hunter2",
            "key = [\"hbe_hunter2\"]",
            "url = \"https://m.example.org\"\nkey = \"hbe hunter2\"",
            &format!("{BOOT}keyy = \"hbe_hunter2\""),
            &format!("{BOOT}[wifi]\nssid = \"x\""),
        ] {
            let root = files(&[(BOOT_FILE, content)]);
            let error = order(&root, None).err().unwrap_or_else(|| panic!("accepted: {content}"));
            assert!(error.contains("heartbeat.toml") && !error.contains("hunter2"), "{content}: {error}");
        }
    }

    #[test]
    fn a_key_file_is_one_line() {
        for content in ["", "\n", "two words\n", "two\nlines\n"] {
            let root = files(&[(KEY_FILE, content)]);
            let error = order(&root, Some("https://m.example.org")).err().expect("refused");
            assert!(error.contains("must hold one line") && !error.contains("two"), "{error}");
        }
        let error = order(&files(&[]), None).err().expect("nothing there");
        assert!(error.contains("there is no key"), "{error}");
    }

    #[test]
    fn a_destroyed_key_is_overwritten_before_it_is_removed() {
        let root = files(&[(KEY_FILE, "hbe_hunter2\n")]);
        let path = root.path().join(KEY_FILE);
        let second_name = root.path().join("second");
        fs::hard_link(&path, &second_name).expect("linked");
        destroy(&path).expect("destroyed");
        assert!(!path.exists());
        assert_eq!(fs::read(&second_name).expect("the same inode"), [0; 12]);
    }
}
