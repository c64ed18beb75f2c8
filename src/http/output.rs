//! Bytes to be sent to a client: responses, and the rest of one that is read from a file in pieces.

use super::deadlines::Wait;
#[cfg(feature = "monitor")]
use super::file_body::{FileBody, Piece};
use super::message::Response;
use super::write::{self, After};

/// The slowest client of a download, in bytes a second. GPRS is ten times as fast.
#[cfg(feature = "monitor")]
const SLOWEST: f64 = 1_000.0;

#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// `bytes[written..]` is still to be sent.
    written: usize,
    #[cfg(feature = "monitor")]
    download: Option<Box<Download>>,
}

/// A response whose body is read from a file; its head was put into `bytes`.
#[cfg(feature = "monitor")]
#[derive(Debug)]
struct Download {
    body: FileBody,
    /// A piece was requested and has not arrived.
    is_reading: bool,
    /// Bytes sent since the deadline was set.
    progress: usize,
}

impl Output {
    /// Appends a response. Without a file its body follows at once; a file is sent by pieces, see
    /// [`Output::request_piece`].
    pub(super) fn put(&mut self, response: Response, after: After, date: &str) {
        write::answer(&mut self.bytes, &response, after, date);
        #[cfg(feature = "monitor")]
        if let Some(body) = response.file.filter(|body| !after.without_body && body.remaining() > 0) {
            self.download = Some(Box::new(Download { body, is_reading: false, progress: 0 }));
        }
    }

    pub(super) fn put_continue(&mut self) {
        self.bytes.extend_from_slice(write::CONTINUE);
    }

    /// Bytes that can be sent now.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// This many bytes of [`Output::pending`] have been sent.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= self.bytes.len() {
            self.bytes = Vec::new();
            self.written = 0;
        }
        #[cfg(feature = "monitor")]
        if let Some(download) = &mut self.download {
            download.progress += bytes;
            if self.bytes.is_empty() && !download.is_reading && download.body.remaining() == 0 {
                self.download = None;
            }
        }
    }

    /// The wait for the client to read; `None` if everything was sent.
    pub(super) fn wait(&self) -> Option<Wait> {
        if self.has_download() {
            return Some(Wait::Download);
        }
        (!self.pending().is_empty()).then_some(Wait::Write)
    }

    /// A file is being sent.
    #[cfg(feature = "monitor")]
    pub(super) fn has_download(&self) -> bool {
        self.download.is_some()
    }

    #[cfg(not(feature = "monitor"))]
    pub(super) fn has_download(&self) -> bool {
        false
    }
}

#[cfg(feature = "monitor")]
impl Output {
    /// The client was sent everything before the next piece of the file.
    pub(super) fn wants_piece(&self) -> bool {
        self.bytes.is_empty() && self.download.as_ref().is_some_and(|download| !download.is_reading)
    }

    pub(super) fn request_piece(&mut self, deliver: impl FnOnce(Piece) + Send + 'static) {
        if let Some(download) = &mut self.download {
            download.is_reading = true;
            download.body.request(deliver);
        }
    }

    /// Appends the requested piece.
    pub(super) fn put_piece(&mut self, piece: Vec<u8>) {
        if let Some(download) = &mut self.download {
            download.is_reading = false;
            // It was requested when `bytes` was empty.
            self.bytes = piece;
        }
    }

    /// The disk, and not the client, is late.
    pub(super) fn is_reading(&self) -> bool {
        self.download.as_ref().is_some_and(|download| download.is_reading)
    }

    /// Whether the client has read fast enough since the last call, which was this long ago.
    pub(super) fn check_progress(&mut self, time: std::time::Duration) -> bool {
        let progress = self.download.as_mut().map_or(0, |download| std::mem::take(&mut download.progress));
        progress as f64 >= SLOWEST * time.as_secs_f64()
    }
}
