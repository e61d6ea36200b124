//! Standard output: the data that a command was asked for, as lines, tables or JSON.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::shell::exit::Failure;

/// Prints a line.
///
/// # Errors
/// A failure without words if the reader has gone, else what went wrong.
pub(super) fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    write(text.as_ref().as_bytes()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::nobody_reads(),
        _ => Failure::unreachable(format!("standard output: cannot be written: {error}")),
    })
}

fn write(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Prints a value as one line of JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value).expect("what we print is JSON with text keys"))
}

/// Prints a value as indented JSON, for a person.
pub(super) fn pretty(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value).expect("what we print is JSON with text keys"))
}

/// Prints rows under a header, in columns as wide as their longest text; the last column is not padded.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    let width = |column: usize| {
        let texts = rows.iter().map(|row| row[column].chars().count());
        texts.chain([header[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let shown = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    line(shown(header))?;
    for row in rows {
        line(shown(std::array::from_fn(|column| row[column].as_str())))?;
    }
    Ok(())
}

/// A number of bytes for a person.
pub(super) fn bytes(number: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut whole = number;
    let mut rest = 0;
    let mut unit = 0;
    while whole >= 1000 && unit + 1 < units.len() {
        rest = whole % 1000 / 100;
        whole /= 1000;
        unit += 1;
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{rest} {}", units[unit]) }
}

/// Text of others, fit for a terminal: control characters could move its cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_with_one_digit_cut_not_rounded() {
        let check = |number, text| assert_eq!(bytes(number), text);
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1.0 kB");
        check(1_999_999, "1.9 MB");
        check(u64::MAX, "18446.7 PB");
    }
}
