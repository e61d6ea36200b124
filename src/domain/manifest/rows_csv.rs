//! A manifest in CSV: a header with a column `url`, perhaps `id`, and whatever else the report should keep.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::{Asks, BadRow, Broken, Manifest, ROW_BYTES_MAX, Record, Row, until_broken};

/// The reader reads ahead by this much, so a row's bound is so much softer.
const READ_AHEAD_BYTES: u64 = 8 * 1024;

/// Whether a first line is a header with a column `url`.
pub(super) fn is_header(line: &[u8]) -> bool {
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(line);
    let mut record = ByteRecord::new();
    matches!(reader.read_byte_record(&mut record), Ok(true)) && record.iter().any(|name| name.trim_ascii() == b"url")
}

/// Reads the header.
pub(super) fn open(content: impl BufRead + 'static) -> Result<Manifest, Broken> {
    let since_row = Rc::new(Cell::new(0));
    let bounded = Bounded { content, since_row: Rc::clone(&since_row) };
    let mut reader = ReaderBuilder::new().flexible(true).buffer_capacity(8 * 1024).from_reader(bounded);
    let header = reader.headers().map_err(|error| broken(&error))?;
    let columns: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    let position = |name: &str| columns.iter().position(|column| column == name);
    let Some(url) = position("url") else {
        return Err(Broken::Shape("the header has no column named url".to_owned()));
    };
    let rows = CsvRows { reader, since_row, number: 0, url, id: position("id") };
    Ok(Manifest { columns, rows: until_broken(rows) })
}

struct CsvRows<R> {
    reader: Reader<Bounded<R>>,
    since_row: Rc<Cell<u64>>,
    number: u64,
    url: usize,
    id: Option<usize>,
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<Row, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = ByteRecord::new();
        self.since_row.set(0);
        match self.reader.read_byte_record(&mut record) {
            Ok(false) => None,
            Ok(true) => {
                self.number += 1;
                Some(Ok(self.row(&record)))
            }
            Err(error) => Some(Err(broken(&error))),
        }
    }
}

impl<R> CsvRows<R> {
    fn row(&self, record: &ByteRecord) -> Row {
        let fields = record.iter().map(|field| String::from_utf8_lossy(field).into_owned());
        let fields: Vec<String> = fields.collect();
        let asks = if record.iter().all(|field| std::str::from_utf8(field).is_ok()) {
            self.asks(&fields)
        } else {
            Err(BadRow::undecodable("the row is not UTF-8 text"))
        };
        Row { number: self.number, record: Record::Fields(fields), asks }
    }

    fn asks(&self, fields: &[String]) -> Result<Asks, BadRow> {
        let field = |at: usize| fields.get(at).map(|field| field.trim()).filter(|field| !field.is_empty());
        let url = field(self.url).ok_or_else(BadRow::no_url)?.to_owned();
        let id = self.id.and_then(field).map(str::to_owned);
        Ok(Asks::Copy { url, id })
    }
}

fn broken(error: &csv::Error) -> Broken {
    match error.kind() {
        csv::ErrorKind::Io(error) => Broken::Unreadable(error.to_string()),
        _ => Broken::Shape(error.to_string()),
    }
}

/// Refuses a row that does not end, such as one whose quote is never closed.
struct Bounded<R> {
    content: R,
    since_row: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        let read = self.since_row.get() + length as u64;
        self.since_row.set(read);
        if read > ROW_BYTES_MAX as u64 + READ_AHEAD_BYTES {
            return Err(io::Error::other("a row is longer than 1 MiB; is a quote not closed?"));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, shown};
    use super::super::{Broken, Format, ROW_BYTES_MAX};
    use super::*;

    fn check(text: &[u8], expected: &[&str]) {
        let rows = read(Format::Csv, text, None).into_iter();
        let rows: Vec<String> = rows.map(|row| shown(&row.expect("a row"))).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn rows_give_url_and_id_by_the_header_and_keep_the_rest() {
        check(
            b"\xEF\xBB\xBFkind, url ,id\r\nx,https://h/a,1\r\n\r\ny,\"b, c.jpg\",\r\n",
            &["1 https://h/a as 1", "2 b, c.jpg"],
        );
        let first = read(Format::Csv, b"url,kind\na,\"x,\"\"y\"\"\"\n", None).remove(0).unwrap();
        assert_eq!(first.record, Record::Fields(vec!["a".into(), "x,\"y\"".into()]));
    }

    #[test]
    fn short_empty_and_broken_rows_are_bad_rows() {
        check(
            b"id,url\n1\n2,\n3,a,extra\n4,\xFF\n",
            &[
                "1 bad_url: the row has no URL",
                "2 bad_url: the row has no URL",
                "3 a as 3",
                "4 undecodable: the row is not UTF-8 text",
            ],
        );
    }

    #[test]
    fn a_header_without_url_and_an_endless_row_end_the_reading() {
        let shape = read(Format::Csv, b"id,link\n1,a\n", None);
        assert_eq!(shape, [Err(Broken::Shape("the header has no column named url".into()))]);
        let mut endless = b"url\na\n\"".to_vec();
        endless.resize(3 * ROW_BYTES_MAX, b'x');
        let rows = read(Format::Csv, &endless, None);
        assert_eq!(rows.len(), 2, "a good row and the end");
        assert!(matches!(&rows[1], Err(Broken::Unreadable(why)) if why.contains("quote")), "{:?}", rows[1]);
    }
}
