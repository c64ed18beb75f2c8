//! Incremental decoder for `Transfer-Encoding: chunked` (RFC 9112 7.1). Pure: bytes in, bytes of the body out.
//! As strict as `parse`: rejects a line that two parsers could interpret differently (a bare LF or CR, spaces where
//! the grammar has none, a trailer without a name). Checks, counts and drops extensions and trailers.

use super::parse::{Rejection, rejection};

/// Hexadecimal digits of a chunk's size, leading zeros included.
const MAX_SIZE_DIGITS: u8 = 16;

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Decoded bytes.
    pub(super) body: usize,
    /// Bytes of all chunk extensions and trailers together.
    pub(super) extras: usize,
}

/// State within one chunked body.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: DecoderState,
    /// Bytes of the body announced by chunk sizes so far.
    announced: usize,
    /// Bytes of extensions and trailers so far.
    extras: usize,
}

/// The part of the message that the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DecoderState {
    Size {
        size: usize,
        digits: u8,
    },
    /// White space, after which only an extension may follow.
    BeforeExtension {
        size: usize,
    },
    Extension {
        size: usize,
    },
    /// The LF after a size.
    SizeEnd {
        size: usize,
    },
    Data {
        left: usize,
    },
    DataCr,
    DataLf,
    /// A trailer line, or the empty line that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

impl Default for DecoderState {
    fn default() -> DecoderState {
        DecoderState::Size { size: 0, digits: 0 }
    }
}

impl Decoder {
    /// The body is complete, its last CR LF included.
    pub(super) fn is_done(&self) -> bool {
        self.state == DecoderState::Done
    }

    /// Decodes `encoded`, which continues where the previous call stopped, and appends to `body`. Returns the number
    /// of bytes of `encoded` that belong to this body.
    ///
    /// # Errors
    /// The encoding is malformed (400), the body is larger than allowed (413), or extensions and trailers are (431).
    pub(super) fn decode(
        &mut self,
        encoded: &[u8],
        body: &mut Vec<u8>,
        bounds: Bounds,
    ) -> Result<usize, Rejection> {
        let mut at = 0;
        while let Some(&byte) = encoded.get(at) {
            match self.state {
                DecoderState::Done => break,
                DecoderState::Data { left } => {
                    let end = encoded.len().min(at.saturating_add(left));
                    body.extend_from_slice(&encoded[at..end]);
                    let left = left - (end - at);
                    self.state = if left == 0 { DecoderState::DataCr } else { DecoderState::Data { left } };
                    at = end;
                }
                state => {
                    self.state = self.next(state, byte, bounds)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// State after one byte of the framing.
    fn next(&mut self, state: DecoderState, byte: u8, bounds: Bounds) -> Result<DecoderState, Rejection> {
        Ok(match (state, byte) {
            (DecoderState::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                self.size(size, digits, byte, bounds)?
            }
            (DecoderState::Size { digits: 0, .. }, _) => return Err(MALFORMED),
            (DecoderState::Size { size, .. } | DecoderState::Extension { size }, b'\r') => {
                DecoderState::SizeEnd { size }
            }
            (DecoderState::Size { size, .. } | DecoderState::BeforeExtension { size }, b';') => {
                self.extra(bounds)?;
                DecoderState::Extension { size }
            }
            (DecoderState::Size { size, .. } | DecoderState::BeforeExtension { size }, b' ' | b'\t') => {
                self.extra(bounds)?;
                DecoderState::BeforeExtension { size }
            }
            (DecoderState::Extension { size }, _) if is_text(byte) => {
                self.extra(bounds)?;
                DecoderState::Extension { size }
            }
            (DecoderState::SizeEnd { size: 0 }, b'\n') => DecoderState::TrailerStart,
            (DecoderState::SizeEnd { size }, b'\n') => {
                self.announced += size;
                DecoderState::Data { left: size }
            }
            (DecoderState::DataCr, b'\r') => DecoderState::DataLf,
            (DecoderState::DataLf, b'\n') => DecoderState::default(),
            (DecoderState::TrailerStart, b'\r') => DecoderState::LastLf,
            (DecoderState::LastLf, b'\n') => DecoderState::Done,
            (DecoderState::TrailerStart | DecoderState::TrailerName, _) if is_token(byte) => {
                self.extra(bounds)?;
                DecoderState::TrailerName
            }
            (DecoderState::TrailerName, b':') => DecoderState::TrailerValue,
            (DecoderState::TrailerValue, b'\r') => DecoderState::TrailerLf,
            (DecoderState::TrailerValue, _) if is_text(byte) => {
                self.extra(bounds)?;
                DecoderState::TrailerValue
            }
            (DecoderState::TrailerLf, b'\n') => DecoderState::TrailerStart,
            _ => return Err(MALFORMED),
        })
    }

    fn size(&self, size: usize, digits: u8, byte: u8, bounds: Bounds) -> Result<DecoderState, Rejection> {
        let digit = char::from(byte).to_digit(16).unwrap_or(0) as usize;
        let size = size.saturating_mul(16).saturating_add(digit);
        if size > bounds.body.saturating_sub(self.announced) {
            return Err(rejection(413, "the body is too large"));
        }
        if digits >= MAX_SIZE_DIGITS {
            return Err(MALFORMED);
        }
        Ok(DecoderState::Size { size, digits: digits + 1 })
    }

    fn extra(&mut self, bounds: Bounds) -> Result<(), Rejection> {
        self.extras += 1;
        if self.extras > bounds.extras {
            return Err(rejection(431, "chunk extensions and trailers are too large"));
        }
        Ok(())
    }
}

const MALFORMED: Rejection = rejection(400, "malformed chunked encoding");

/// Tab, space, visible characters and obs-text (RFC 9110 5.5).
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// A character of a header's name (RFC 9110 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { body: 100, extras: 40 };

    /// The decoded body and the bytes behind it; `None` if it is not complete.
    fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<(String, Vec<u8>)>, u16> {
        let (mut decoder, mut body, mut rest) = (Decoder::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let used = decoder.decode(piece, &mut body, BOUNDS).map_err(|rejection| rejection.status)?;
            rest.extend_from_slice(&piece[used..]);
        }
        Ok(decoder.is_done().then(|| (String::from_utf8(body).expect("text"), rest)))
    }

    fn whole(encoded: &str) -> Result<Option<(String, Vec<u8>)>, u16> {
        decoded([encoded.as_bytes()])
    }

    #[test]
    fn a_body_is_the_same_wherever_it_is_split() {
        let encoded =
            b"4\r\nbeat\r\n00A;a=\"b c\" ;d\r\n0123456789\r\n1 ;x\r\n!\r\n0;e\r\nX-Sum: 7\r\nY:\r\n\r\nGET /";
        let expected = Ok(Some(("beat0123456789!".to_owned(), b"GET /".to_vec())));
        for cut in 0..=encoded.len() {
            let (front, back) = encoded.split_at(cut);
            assert_eq!(decoded([front, back]), expected, "split at {cut}");
        }
        assert_eq!(decoded(encoded.chunks(1)), expected, "byte by byte");
        for end in 0..encoded.len() - 5 {
            assert_eq!(decoded([&encoded[..end]]), Ok(None), "complete after {end} bytes");
        }
    }

    #[test]
    fn an_empty_body_is_a_body() {
        assert_eq!(whole("0\r\n\r\n"), Ok(Some((String::new(), Vec::new()))));
        assert_eq!(whole("0000\r\nA: b\r\n\r\n"), Ok(Some((String::new(), Vec::new()))));
    }

    #[test]
    fn ambiguous_requests_are_rejected() {
        for encoded in [
            "\r\n",
            "4\nbeat\r\n",
            "4\r\nbeat\n",
            "4\r\nbeatx",
            "4\r\nbeat\r\r",
            "4 \r\nbeat",
            " 4\r\nbeat",
            "0x4\r\nbeat",
            "-4\r\n",
            "+4\r\n",
            "4;a\nbeat",
            "4;a\rbeat",
            "4;a\0\r\n",
            "g\r\n",
            "\u{664}\r\n",
            "0\r\n\n",
            "0\r\n X: folded\r\n",
            "0\r\nno colon\r\n",
            "0\r\n: no name\r\n",
            "0\r\nX : y\r\n",
            "0\r\nX: y\n",
            "0\r\nX: y\rZ: z",
            "00000000000000000\r\n",
        ] {
            assert_eq!(whole(encoded), Err(400), "{encoded:?}");
        }
    }

    #[test]
    fn the_body_is_bounded_by_its_announced_sizes() {
        assert!(matches!(whole(&format!("64\r\n{}\r\n0\r\n\r\n", "x".repeat(100))), Ok(Some(_))));
        for encoded in
            ["65\r\n", "ffffffffffffffffffffffff\r\n", &format!("64\r\n{}\r\n1\r\n", "x".repeat(100))]
        {
            assert_eq!(whole(encoded), Err(413), "{encoded:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_share_one_bound() {
        assert_eq!(whole(&format!("1;{}\r\nx\r\n", "e".repeat(40))), Err(431));
        let trailers = |length| whole(&format!("1;a\r\nx\r\n0\r\nT: {}\r\n\r\n", "t".repeat(length)));
        assert!(matches!(trailers(36), Ok(Some(_))), "{:?}", trailers(36));
        assert_eq!(trailers(37), Err(431));
        let many = "1;a\r\nx\r\n".repeat(21);
        assert_eq!(whole(&many), Err(431), "counted over all chunks");
    }
}
