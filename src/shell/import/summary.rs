//! What an import came to, in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::lookup::RowEnd;

/// The numbers of an import.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Summary {
    /// Rows of the manifest.
    pub rows: u64,
    /// Rows whose copies are all stored.
    pub stored: u64,
    /// Rows of which something is not.
    pub failed: u64,
    /// The failed rows by their first code.
    pub failed_by_code: BTreeMap<String, u64>,
    /// Bytes of all copies, those of earlier runs too.
    pub bytes: u64,
    /// How long this run took.
    pub seconds: f64,
}

impl Summary {
    pub(super) fn add(&mut self, end: &RowEnd) {
        self.rows += 1;
        self.bytes += end.copies.iter().flatten().map(|object| object.bytes).sum::<u64>();
        match &end.code {
            None => self.stored += 1,
            Some(code) => {
                self.failed += 1;
                *self.failed_by_code.entry(code.clone()).or_default() += 1;
            }
        }
    }
}
