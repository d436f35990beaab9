//! CSV as feeds write it, to records: RFC 4180, and besides it blanks around quotes, lines of `#`
//! between the records, and rows with more or fewer cells than the header.

use std::borrow::Cow;

/// Bytes of a quoted cell: a quote that nobody closes spoils no more than this.
const CELL_BYTES_MAX: usize = 64 * 1024;

/// A record: the line on which it begins, and its cells or what is wrong with it.
pub(super) type Record<'t> = (u64, Result<Vec<Cow<'t, str>>, &'static str>);

/// The records of a text.
pub(super) struct Records<'t> {
    rest: &'t str,
    line: u64,
}

impl<'t> Records<'t> {
    /// Of a text of which so many lines stand before.
    pub(super) const fn new(rest: &'t str, line: u64) -> Self {
        Records { rest, line }
    }

    /// Goes on behind so many bytes.
    fn take(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count() as u64;
        self.rest = rest;
    }
}

impl<'t> Iterator for Records<'t> {
    type Item = Record<'t>;

    fn next(&mut self) -> Option<Record<'t>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let line_bytes = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
            let line = self.rest.get(..line_bytes).unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                self.take(line_bytes);
                continue;
            }
            let place = self.line + 1;
            return Some(match cells(self.rest) {
                Ok((cells, bytes)) => {
                    self.take(bytes);
                    (place, Ok(cells))
                }
                Err(what) => {
                    self.take(line_bytes);
                    (place, Err(what))
                }
            });
        }
    }
}

/// The cells of the record at the beginning of a text, and its bytes.
fn cells(text: &str) -> Result<(Vec<Cow<'_, str>>, usize), &'static str> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let (cell, after) = cell(rest)?;
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => {
                let bytes = text.len() - after.strip_prefix('\n').unwrap_or(after).len();
                return Ok((cells, bytes));
            }
        }
    }
}

/// The cell at the beginning of a text, and what stands behind it: a comma, the end of a line, or
/// nothing.
fn cell(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let (cell, after) = text.split_at_checked(end).unwrap_or((text, ""));
        return Ok((Cow::Borrowed(cell.trim()), after));
    };
    let (cell, after) = unquoted(quoted)?;
    let after = after.trim_start_matches([' ', '\t', '\r']);
    if after.is_empty() || after.starts_with([',', '\n']) {
        return Ok((cell, after));
    }
    Err("text behind a closing quote")
}

/// The inside of a quoted cell, and what stands behind its closing quote.
fn unquoted(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let mut whole: Cow<'_, str> = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let near = rest
            .as_bytes()
            .get(..CELL_BYTES_MAX)
            .unwrap_or(rest.as_bytes());
        let end = memchr::memchr(b'"', near).ok_or("a quote that is not closed")?;
        let (inside, after) = rest.split_at_checked(end).ok_or("a quote in a character")?;
        let after = after.strip_prefix('"').unwrap_or_default();
        let doubled = after.strip_prefix('"');
        if whole.is_empty() && doubled.is_none() {
            whole = Cow::Borrowed(inside.trim());
        } else {
            whole.to_mut().push_str(inside);
        }
        match doubled {
            Some(next) if whole.len() < CELL_BYTES_MAX => {
                whole.to_mut().push('"');
                rest = next;
            }
            Some(_) => return Err("a quote that is not closed"),
            None => return Ok((whole, after)),
        }
    }
}
