//! `vcgencmd`'s queries to the firmware of a Raspberry Pi, without starting a program.
//!
//! The kernel passes a property message to the VideoCore and back. Little-endian words: total bytes, request or
//! response code, then one tag (id, bytes of its value, 0, return code, text), then 0.

use rustix::ioctl::{self, Opcode, Updater, opcode};
use std::ffi::c_char;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Newest first: kernels since mid 2026 have `vcio_gencmd`, which allows this one tag only.
const NODES: [&str; 2] = ["dev/vcio_gencmd", "dev/vcio"];

/// `_IOWR(100, 0, char *)`: the size of a pointer is part of it, so it differs between a 64-bit and a 32-bit
/// program, also on the same kernel.
const PROPERTY: Opcode = opcode::read_write::<*mut c_char>(100, 0);

const GET_GENCMD_RESULT: u32 = 0x0003_0080;
const RESPONSE_OK: u32 = 0x8000_0000;
/// As `vcgencmd` itself; all rails of a Pi 5 take 911.
const VALUE_BYTES: usize = 1024;
const HEAD_WORDS: usize = 6;
const WORDS: usize = HEAD_WORDS + VALUE_BYTES / 4 + 1;

type PropertyMessage = [u32; WORDS];

/// A node that stays open.
#[derive(Debug)]
pub struct Vcio {
    path: PathBuf,
    file: File,
}

/// The firmware's answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// 0, or 0xffffffff for a command that it does not know; then `text` says so.
    pub code: u32,
    pub text: String,
}

/// The first node that exists, whether or not we may open it.
pub fn node(root: &Path) -> Option<PathBuf> {
    NODES.iter().map(|node| root.join(node)).find(|path| path.exists())
}

impl Vcio {
    /// # Errors
    /// As the kernel says; EACCES for who is not in group video.
    pub fn open(path: PathBuf) -> io::Result<Vcio> {
        let file = File::open(&path)?;
        Ok(Vcio { path, file })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes 2.65 ms for one PMIC rail and 23 ms for all on a Pi 5; the kernel may hold the call for 1 s.
    ///
    /// # Errors
    /// As the kernel says: ENOTTY if the node is something else, ETIMEDOUT if the firmware keeps silent.
    /// `InvalidInput` for a command of 1024 bytes or more, `InvalidData` for a reply that is not one.
    pub fn query(&self, command: &str) -> io::Result<Reply> {
        let mut message = request(command)?;
        // SAFETY: the driver copies as many bytes in and out as the first word says, which is the size of
        // `message`; every bit pattern is a u32.
        unsafe { ioctl::ioctl(&self.file, Updater::<PROPERTY, PropertyMessage>::new(&mut message))? };
        reply(&message)
    }
}

fn request(command: &str) -> io::Result<PropertyMessage> {
    if command.len() >= VALUE_BYTES || command.contains('\0') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut message = [0; WORDS];
    let head = [WORDS as u32 * 4, 0, GET_GENCMD_RESULT, VALUE_BYTES as u32, 0, 0];
    message[..HEAD_WORDS].copy_from_slice(&head.map(u32::to_le));
    for (word, bytes) in message[HEAD_WORDS..].iter_mut().zip(command.as_bytes().chunks(4)) {
        let mut padded = [0; 4];
        padded[..bytes.len()].copy_from_slice(bytes);
        *word = u32::from_ne_bytes(padded);
    }
    Ok(message)
}

fn reply(message: &PropertyMessage) -> io::Result<Reply> {
    if u32::from_le(message[1]) != RESPONSE_OK {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the firmware did not process the message"));
    }
    let value = &message[HEAD_WORDS..WORDS - 1];
    let bytes: Vec<u8> =
        value.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Reply { code: u32::from_le(message[5]), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::ioctl::Direction;

    /// A firmware's answer to a request: the same message with codes and text filled in.
    fn answered(code: u32, text: &str) -> PropertyMessage {
        let mut message = request(text).expect("short");
        message[1] = RESPONSE_OK.to_le();
        message[5] = code.to_le();
        message
    }

    #[test]
    fn the_request_number_is_the_drivers_for_either_word_size() {
        let number = |bytes| opcode::from_components(Direction::ReadWrite, 100, 0, bytes);
        assert_eq!((number(8), number(4)), (0xC008_6400, 0xC004_6400));
        assert_eq!(PROPERTY, number(size_of::<usize>()));
    }

    #[test]
    fn a_request_has_the_words_that_the_driver_expects() {
        let message = request("measure_temp").expect("short");
        assert_eq!(message.len() * 4, 1052);
        assert_eq!(message[..6], [1052, 0, 0x0003_0080, 1024, 0, 0].map(u32::to_le));
        assert_eq!(message[6].to_ne_bytes(), *b"meas");
        assert_eq!(message[8].to_ne_bytes(), *b"temp");
        assert!(message[9..].iter().all(|word| *word == 0), "NUL-terminated, and the last word is 0");
    }

    #[test]
    fn a_command_that_does_not_fit_is_refused_before_the_kernel_sees_it() {
        assert!(request(&"x".repeat(1023)).is_ok());
        for command in ["x".repeat(1024), "get\0throttled".to_owned()] {
            assert_eq!(request(&command).expect_err("refused").kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_reply_ends_at_its_first_nul_or_at_the_end_of_the_value() {
        let said = reply(&answered(0, "temp=48.8'C")).expect("a reply");
        assert_eq!(said, Reply { code: 0, text: "temp=48.8'C".to_owned() });
        let mut full = answered(0, "");
        full[HEAD_WORDS..WORDS - 1].fill(u32::from_ne_bytes(*b"abcd"));
        assert_eq!(reply(&full).expect("a reply").text.len(), VALUE_BYTES);
    }

    #[test]
    fn an_unknown_command_comes_back_with_its_code_and_text() {
        let text = "error=1 error_msg=\"Command not registered\"";
        let said = reply(&answered(u32::MAX, text)).expect("a reply");
        assert_eq!(said, Reply { code: u32::MAX, text: text.to_owned() });
    }

    #[test]
    fn a_message_that_comes_back_unprocessed_is_no_reply() {
        let unprocessed = request("measure_temp").expect("short");
        assert_eq!(reply(&unprocessed).expect_err("no reply").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_node_that_is_not_the_driver_is_an_error_not_a_value() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(node(root.path()), None);
        std::fs::create_dir(root.path().join("dev")).expect("created");
        for name in NODES.iter().rev() {
            std::fs::write(root.path().join(name), "not a device").expect("written");
            let path = node(root.path()).expect("there");
            assert_eq!(path, root.path().join(name), "the newest wins");
            let error = Vcio::open(path).expect("opened").query("measure_temp").expect_err("ENOTTY");
            assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
        }
    }
}
