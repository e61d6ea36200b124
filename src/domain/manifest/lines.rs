//! The lines of a text, bounded in length.

use std::io::{BufRead, Read};

use super::{BadRow, Broken, ROW_BYTES_MAX};

/// Stands before the text of some systems, and is no part of it.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A line without its end, or what is wrong with it.
pub(super) type Line = Result<String, BadRow>;

/// Gives the lines that are not blank.
pub(super) struct Lines<R> {
    content: R,
    is_first: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(content: R) -> Self {
        Self { content, is_first: true }
    }

    /// The next line's bytes, its end included; at most one more than [`ROW_BYTES_MAX`].
    fn raw(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let bound = ROW_BYTES_MAX as u64 + 1;
        self.content.by_ref().take(bound).read_until(b'\n', &mut bytes)?;
        if std::mem::take(&mut self.is_first) && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(bytes)
    }

    /// Reads over the rest of a line that is too long.
    fn skip_rest(&mut self) -> std::io::Result<()> {
        loop {
            let buffer = self.content.fill_buf()?;
            let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.content.consume(length);
            if ended {
                return Ok(());
            }
        }
    }

    fn next_line(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let bytes = self.raw()?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if bytes.len() > ROW_BYTES_MAX && !bytes.ends_with(b"\n") {
                self.skip_rest()?;
                return Ok(Some(Err(BadRow::undecodable("the row is longer than 1 MiB"))));
            }
            let trimmed = bytes.trim_ascii();
            if !trimmed.is_empty() {
                let text = std::str::from_utf8(trimmed).map(str::to_owned);
                return Ok(Some(text.map_err(|_| BadRow::undecodable("the row is not UTF-8 text"))));
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.next_line();
        line.map_err(|error| Broken::Unreadable(error.to_string())).transpose()
    }
}
