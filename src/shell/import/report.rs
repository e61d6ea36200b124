//! The result manifest: the input, row by row, each copied URL replaced by its object's, and the original beside it.
//!
//! `urls` gives JSON lines with `url`, `url_source`, `status` and `code`; `csv` its own rows with these columns; `tasks` the
//! bodies with `status` and `code` in them. What was not copied keeps its URL. The file appears whole: it is written beside
//! its place first.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::lookup::RowEnd;
use crate::domain::manifest::{Asks, Format, Record, replace_urls};
use crate::shell::exit::Failure;

/// A report that is being written.
pub(super) struct Report {
    path: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
    columns: Vec<String>,
    header: Vec<String>,
}

/// The columns that a CSV's report has beside `url`.
const ADDED: [&str; 3] = ["url_source", "status", "code"];

impl Report {
    /// Begins a report at `path`; `columns` are a CSV's.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) async fn begin(path: &Path, format: Format, columns: &[String]) -> Result<Self, Failure> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let beside = path.with_file_name(name);
        let file = File::create(&beside).await.map_err(|error| unwritable(path, &error))?;
        let added = ADDED.iter().filter(|added| !columns.iter().any(|column| column == *added));
        let header: Vec<String> = columns.iter().cloned().chain(added.map(|added| (*added).to_owned())).collect();
        let mut report =
            Self { path: path.to_owned(), beside, file: BufWriter::new(file), columns: columns.to_vec(), header };
        if format == Format::Csv {
            let header = csv_line(&report.header);
            report.write(&header).await?;
        }
        Ok(report)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) async fn add(&mut self, end: &RowEnd) -> Result<(), Failure> {
        let line = match &end.row.record {
            Record::Fields(fields) => self.csv_row(fields, end),
            Record::Line(line) => json_line(&url_row(line, end)),
            Record::Body(body) => json_line(&body_row(body, end)),
        };
        self.write(&line).await
    }

    fn csv_row(&self, fields: &[String], end: &RowEnd) -> Vec<u8> {
        let field = |name: &str| {
            let at = self.columns.iter().position(|column| column == name);
            at.and_then(|at| fields.get(at)).cloned().unwrap_or_default()
        };
        let cell = |column: &String| match column.as_str() {
            "url" => copy(end).unwrap_or_else(|| field("url")),
            "url_source" => field("url"),
            "status" => status(end).to_owned(),
            "code" => end.code.clone().unwrap_or_default(),
            other => field(other),
        };
        let cells: Vec<String> = self.header.iter().map(cell).collect();
        csv_line(&cells)
    }

    async fn write(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.file.write_all(line).await.map_err(|error| unwritable(&self.path, &error))
    }

    /// Gives the report its name.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) async fn finish(mut self) -> Result<(), Failure> {
        let path = self.path.clone();
        let failed = |error: std::io::Error| unwritable(&path, &error);
        self.file.flush().await.map_err(failed)?;
        self.file.get_ref().sync_all().await.map_err(failed)?;
        tokio::fs::rename(&self.beside, &self.path).await.map_err(failed)
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // After `finish` there is none; else what was begun is of no use.
        let _ = std::fs::remove_file(&self.beside);
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::bad_input(format!("--report: {} cannot be written: {error}; what was copied stays", path.display()))
}

fn status(end: &RowEnd) -> &'static str {
    if end.code.is_none() { "stored" } else { "failed" }
}

fn copy(end: &RowEnd) -> Option<String> {
    end.copies.first().and_then(Option::as_ref).map(|object| object.uri.clone())
}

fn url_row(line: &str, end: &RowEnd) -> Value {
    let url = copy(end).unwrap_or_else(|| line.to_owned());
    json!({"url": url, "url_source": line, "status": status(end), "code": end.code})
}

fn body_row(body: &Value, end: &RowEnd) -> Value {
    let copies: Vec<Option<String>> =
        end.copies.iter().map(|copy| copy.as_ref().map(|object| object.uri.clone())).collect();
    let mut row = match &end.row.asks {
        Ok(Asks::Task(_)) => replace_urls(body.clone(), &copies),
        Ok(Asks::Copy { .. }) | Err(_) => body.clone(),
    };
    let is_some_stored = end.copies.iter().any(Option::is_some);
    let status = match (&end.code, is_some_stored) {
        (None, _) => "completed",
        (Some(_), true) => "partial",
        (Some(_), false) => "failed",
    };
    match row.as_object_mut() {
        Some(fields) => {
            for (name, value) in [("status", json!(status)), ("code", json!(end.code))] {
                if let Some(own) = fields.insert(name.to_owned(), value) {
                    fields.insert(format!("{name}_source"), own);
                }
            }
            row
        }
        None => json!({"row": body, "status": status, "code": end.code}),
    }
}

fn json_line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

fn csv_line(cells: &[String]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells).expect("memory takes everything");
    writer.into_inner().expect("memory takes everything")
}
