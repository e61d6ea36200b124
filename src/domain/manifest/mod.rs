//! Reads a dataset's manifest row by row: which URLs it names, and what to keep of each row for the report.
//!
//! Rows are read from whatever gives bytes, one at a time and bounded in size, so that a manifest of millions of rows costs no
//! memory. A bad row is a row with a problem and ends nothing; only what makes all further rows meaningless ([`Broken`]) does.
//! Nothing is fetched or decided here. Start with [`Format`].

use std::io::BufRead;

use serde_json::Value;

use super::id::TeamId;
use super::task::Task;

mod lines;
mod rows_csv;
mod tasks;
mod urls;

pub use tasks::replace_urls;

/// The longest row in bytes: a message's body must hold it.
pub const ROW_BYTES_MAX: usize = 1024 * 1024;

/// How a manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One URL a line; blank lines are no rows. Nothing else is skipped: `#` may begin a file's name.
    Urls,
    /// A header with a column `url` and perhaps `id`; other columns are kept for the report.
    Csv,
    /// One task body a line, as on the task queue.
    Tasks,
}

impl Format {
    /// The format's name as it is given on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urls => "urls",
            Self::Csv => "csv",
            Self::Tasks => "tasks",
        }
    }

    /// Tells the format by a manifest's first bytes: task bodies begin with `{`, a CSV by a header with a column `url`, and
    /// anything else is a list of URLs; but what looks like the header of another table is none of these.
    ///
    /// # Errors
    /// [`Broken::Shape`] says how to go on.
    pub fn of_content(beginning: &[u8]) -> Result<Self, Broken> {
        let text = beginning.strip_prefix(lines::BYTE_ORDER_MARK).unwrap_or(beginning);
        let first = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let first = first.clone().find(|line| !line.is_empty()).unwrap_or_default();
        if first.first() == Some(&b'{') {
            Ok(Self::Tasks)
        } else if rows_csv::is_header(first) {
            Ok(Self::Csv)
        } else if is_other_table(first) {
            let why = "looks like a table without a column \"url\": name the column of URLs so, or say --format urls";
            Err(Broken::Shape(why.to_owned()))
        } else {
            Ok(Self::Urls)
        }
    }
}

/// Whether a first line holds names of columns and nothing that is like a place.
fn is_other_table(line: &[u8]) -> bool {
    let separators = line.iter().filter(|byte| matches!(byte, b',' | b';' | b'\t')).count();
    separators > 0 && !line.iter().any(|byte| matches!(byte, b'/' | b'\\' | b':' | b'.'))
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its number, from 1; a CSV's header is none.
    pub number: u64,
    /// The row as it came, for the report.
    pub record: Record,
    /// What it asks for, or what is wrong with it.
    pub asks: Result<Asks, BadRow>,
}

/// A row as it came.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A line's text.
    Line(String),
    /// A CSV row's fields.
    Fields(Vec<String>),
    /// A task's body.
    Body(Value),
}

/// What a row asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asks {
    /// One copy.
    Copy {
        /// The URL as it stands there; may be relative.
        url: String,
        /// The row's own id, where it has one.
        id: Option<String>,
    },
    /// A task of its own.
    Task(Box<Task>),
}

/// What is wrong with one row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct BadRow {
    /// The code in the report: `bad_url` where the URL is missing, else `undecodable`.
    pub code: &'static str,
    /// What is wrong, in a few words.
    pub problem: String,
}

impl BadRow {
    fn undecodable(problem: impl Into<String>) -> Self {
        Self { code: "undecodable", problem: problem.into() }
    }

    fn no_url() -> Self {
        Self { code: "bad_url", problem: "the row has no URL".to_owned() }
    }
}

/// Why no further row can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The manifest is not what its format demands.
    #[error("{0}")]
    Shape(String),
    /// Its bytes cannot be read, or not be unpacked.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// The rows of a manifest.
pub type Rows = Box<dyn Iterator<Item = Result<Row, Broken>>>;

/// An opened manifest.
pub struct Manifest {
    /// A CSV's columns; empty for other formats.
    pub columns: Vec<String>,
    /// Its rows; ends after the first [`Broken`].
    pub rows: Rows,
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// Opens a manifest. `team` is the team of task bodies that name none; bodies of another team are bad rows.
///
/// # Errors
/// [`Broken`] for a CSV without a column `url`.
pub fn open(format: Format, content: impl BufRead + 'static, team: Option<TeamId>) -> Result<Manifest, Broken> {
    let plain = |rows: Rows| Manifest { columns: Vec::new(), rows };
    match format {
        Format::Urls => Ok(plain(urls::rows(content))),
        Format::Csv => rows_csv::open(content),
        Format::Tasks => Ok(plain(tasks::rows(content, team))),
    }
}

/// Ends `rows` after the first error.
fn until_broken(rows: impl Iterator<Item = Result<Row, Broken>> + 'static) -> Rows {
    let mut broken = false;
    Box::new(rows.take_while(move |row| !std::mem::replace(&mut broken, row.is_err())))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// All rows of a text, for this module's tests: number and what is asked or wrong.
    pub(super) fn read(format: Format, text: &[u8], team: Option<&str>) -> Vec<Result<Row, Broken>> {
        let team = team.map(|team| TeamId::new(team).unwrap());
        match open(format, std::io::Cursor::new(text.to_vec()), team) {
            Ok(manifest) => manifest.rows.collect(),
            Err(broken) => vec![Err(broken)],
        }
    }

    /// What a row asks for, in short.
    pub(super) fn shown(row: &Row) -> String {
        match &row.asks {
            Ok(Asks::Copy { url, id: None }) => format!("{} {url}", row.number),
            Ok(Asks::Copy { url, id: Some(id) }) => format!("{} {url} as {id}", row.number),
            Ok(Asks::Task(task)) => format!("{} task {} of {}", row.number, task.task_id, task.team),
            Err(bad) => format!("{} {}: {}", row.number, bad.code, bad.problem),
        }
    }

    #[test]
    fn the_format_is_told_by_the_first_line_that_says_something() {
        let check = |text: &str, format| assert_eq!(Format::of_content(text.as_bytes()), Ok(format), "{text:?}");
        check("\n{\"task_id\":\"t\"}\n", Format::Tasks);
        check("\u{feff}{", Format::Tasks);
        check("id,url\r\n1,https://h/a\r\n", Format::Csv);
        check("url\nhttps://h/a\n", Format::Csv);
        check("\u{feff}\"url\",x\n", Format::Csv);
        check("https://h/a,b\nhttps://h/c\n", Format::Urls);
        check("a, b.jpg\n", Format::Urls);
        check("one name\n", Format::Urls);
        check("", Format::Urls);
    }

    #[test]
    fn a_table_without_urls_is_not_taken_for_a_list() {
        for header in ["id,link", "id;url", "name\tsize"] {
            let refused = Format::of_content(header.as_bytes()).expect_err(header);
            assert!(refused.to_string().contains("a column \"url\""), "{refused}");
        }
    }
}
