//! A response body that is read from a file in pieces. A thread of the program reads them, because a disk can hang: the
//! reactor requests a piece when the client has been sent the one before, so each download holds one piece at most.

use crossbeam_channel::{Receiver, Sender, unbounded};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes per read: 32 clients at once hold 2 MiB, and a piece is encrypted in 0.1 ms.
const PIECE: u64 = 64 * 1024;

/// The result of reading a piece; `None` if it could not be read, which is logged.
pub(super) type Piece = Option<Vec<u8>>;

/// A regular file, open for reading, as it was when it was opened.
#[derive(Debug)]
pub struct OpenedFile {
    file: File,
    /// For the log.
    path: PathBuf,
    size: u64,
    modified: SystemTime,
}

/// The part of a file that a response contains; the rest of it while it is being sent.
#[derive(Debug, Clone)]
pub struct FileBody {
    file: Arc<OpenedFile>,
    rest: Range<u64>,
    reader: PieceReader,
}

/// Sends requests to the thread that reads, which ends when its receiver is dropped.
#[derive(Debug, Clone)]
pub struct PieceReader {
    requests: Sender<PieceRequest>,
    /// Each body has a clone, so the number of clones is the number of downloads.
    downloads: Arc<()>,
}

/// A piece to be read.
pub struct PieceRequest {
    file: Arc<OpenedFile>,
    range: Range<u64>,
    deliver: Box<dyn FnOnce(Piece) + Send>,
}

impl PieceReader {
    /// The thread that has the receiver calls [`PieceRequest::read`]. At most one request waits for each download.
    pub fn new() -> (PieceReader, Receiver<PieceRequest>) {
        let (requests, received) = unbounded();
        (PieceReader { requests, downloads: Arc::default() }, received)
    }

    /// Number of bodies that are being sent.
    pub fn downloads(&self) -> usize {
        Arc::strong_count(&self.downloads) - 1
    }
}

impl OpenedFile {
    /// # Errors
    /// It is not a regular file, or it cannot be examined.
    pub fn new(file: File, path: PathBuf) -> io::Result<OpenedFile> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(OpenedFile { path, size: metadata.len(), modified: metadata.modified()?, file })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn modified(&self) -> SystemTime {
        self.modified
    }

    /// Reads a range. A file that is written meanwhile would give the client parts of two versions.
    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut piece = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut piece, range.start)?;
        let metadata = self.file.metadata()?;
        if (metadata.len(), metadata.modified()?) != (self.size, self.modified) {
            return Err(io::Error::other("the file was changed meanwhile"));
        }
        Ok(piece)
    }
}

impl FileBody {
    /// `range` is within the file.
    pub(super) fn new(file: OpenedFile, range: Range<u64>, reader: &PieceReader) -> FileBody {
        FileBody { file: Arc::new(file), rest: range, reader: reader.clone() }
    }

    /// Bytes that are not requested yet.
    pub(super) fn remaining(&self) -> u64 {
        self.rest.end - self.rest.start
    }

    /// Requests the next piece; the reading thread calls `deliver` with it.
    pub(super) fn request(&mut self, deliver: impl FnOnce(Piece) + Send + 'static) {
        let end = self.rest.end.min(self.rest.start + PIECE);
        let range = self.rest.start..end;
        self.rest.start = end;
        let request = PieceRequest { file: self.file.clone(), range, deliver: Box::new(deliver) };
        // Without its thread the program is stopping, and closes the connection.
        let _ = self.reader.requests.send(request);
    }
}

impl PieceRequest {
    /// Reads the piece and sends it to the reactor. Waits for the disk.
    pub fn read(self) {
        let piece = self.file.read(self.range);
        if let Err(error) = &piece {
            log::error!("{}: {error}; its download was cut off", self.file.path.display());
        }
        (self.deliver)(piece.ok());
    }
}
