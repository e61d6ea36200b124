//! A manifest of one URL a line.

use std::io::BufRead;

use super::lines::Lines;
use super::{Asks, Record, Row, Rows, until_broken};

/// The rows of a list of URLs.
pub(super) fn rows(content: impl BufRead + 'static) -> Rows {
    let numbered = Lines::of(content).zip(1..);
    until_broken(numbered.map(|(line, number)| line.map(|line| row(number, line))))
}

fn row(number: u64, line: super::lines::Line) -> Row {
    Row {
        number,
        record: Record::Line(line.clone().unwrap_or_default()),
        asks: line.map(|url| Asks::Copy { url, id: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, shown};
    use super::super::{Format, ROW_BYTES_MAX};

    fn check(text: &[u8], expected: &[&str]) {
        let rows: Vec<String> =
            read(Format::Urls, text, None).into_iter().map(|row| shown(&row.expect("a row"))).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn each_line_that_is_not_blank_is_a_row() {
        check(
            b"\xEF\xBB\xBFhttps://h/a\r\n\n  \n pictures/b c.jpg \n#7.png",
            &["1 https://h/a", "2 pictures/b c.jpg", "3 #7.png"],
        );
        check(b"", &[]);
    }

    #[test]
    fn a_bad_line_is_a_bad_row_and_the_next_is_read() {
        let mut text = vec![b'x'; ROW_BYTES_MAX + 10];
        text.extend_from_slice(b"\nhttps://h/a\n\xFF\n");
        check(
            &text,
            &[
                "1 undecodable: the row is longer than 1 MiB",
                "2 https://h/a",
                "3 undecodable: the row is not UTF-8 text",
            ],
        );
    }
}
