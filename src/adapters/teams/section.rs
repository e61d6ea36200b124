//! A strict reader of one table of the teams file: it notes every mistake with its line and goes on reading.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong with a teams file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The team, where it is one's.
    pub team: Option<String>,
    /// The line, counted from 1, where it has one.
    pub line: Option<usize>,
    /// What is wrong; names the key. Holds no secret.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(team) = &self.team {
            write!(f, "team {team}, ")?;
        }
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.problem)
    }
}

/// The file's text and what was found wrong with it so far.
pub(super) struct Notes {
    /// Where each line but the first begins.
    line_starts: Vec<usize>,
    mistakes: RefCell<Vec<Mistake>>,
}

impl Notes {
    pub(super) fn on(text: &str) -> Self {
        Self { line_starts: text.match_indices('\n').map(|(at, _)| at + 1).collect(), mistakes: RefCell::default() }
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }

    /// The line on which `at` begins.
    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        self.line_starts.partition_point(|start| *start <= at.start) + 1
    }

    pub(super) fn add(&self, team: Option<&str>, line: Option<usize>, problem: String) {
        self.mistakes.borrow_mut().push(Mistake { team: team.map(str::to_owned), line, problem });
    }
}

/// One table, key by key; what was not asked for by [`Section::end`] is unknown.
pub(super) struct Section<'n> {
    notes: &'n Notes,
    team: &'n str,
    /// Stands before the keys in what is said of them, as `aws.`.
    path: String,
    line: usize,
    table: &'n DeTable<'n>,
    lines: BTreeMap<&'n str, usize>,
    left: BTreeMap<&'n str, &'n Spanned<DeValue<'n>>>,
}

impl<'n> Section<'n> {
    pub(super) fn new(
        notes: &'n Notes, team: &'n str, path: String, at: &Range<usize>, table: &'n DeTable<'n>,
    ) -> Self {
        let lines = table.keys().map(|key| (key.get_ref().as_ref(), notes.line(&key.span())));
        Self {
            notes,
            team,
            path,
            line: notes.line(at),
            table,
            lines: lines.collect(),
            left: table.iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect(),
        }
    }

    /// Notes what is wrong with a key, which need not be there.
    pub(super) fn mistake(&self, key: &str, problem: &str) {
        let line = self.lines.get(key).copied().unwrap_or(self.line);
        let problem = format!("{}{key} {problem}", self.path);
        self.notes.add(Some(self.team), Some(line), problem);
    }

    /// Whether the key was written and is not empty text, taken or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(name, value)| name.get_ref() == key && value.get_ref().as_str() != Some(""))
    }

    /// The line of a key, or else of the table.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.lines.get(key).copied().unwrap_or(self.line)
    }

    /// Text; an empty one counts as missing.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.left.remove(key)?.get_ref();
        match value.as_str() {
            Some("") => None,
            Some(text) => Some(text.to_owned()),
            None => {
                self.mistake(key, "must be text");
                None
            }
        }
    }

    /// `true` or `false`; missing is `false`.
    pub(super) fn flag(&mut self, key: &str) -> bool {
        let Some(value) = self.left.remove(key) else {
            return false;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.mistake(key, "must be true or false");
            false
        })
    }

    /// A list of texts; missing is empty.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.left.remove(key) else {
            return Vec::new();
        };
        let texts = value
            .get_ref()
            .as_array()
            .and_then(|items| items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect());
        texts.unwrap_or_else(|| {
            self.mistake(key, "must be a list of texts");
            Vec::new()
        })
    }

    /// A whole number of at least 1.
    pub(super) fn number(&mut self, key: &str) -> Option<u32> {
        let value = self.left.remove(key)?.get_ref();
        let number = value.as_integer().and_then(|integer| u32::from_str_radix(integer.as_str(), integer.radix()).ok());
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            self.mistake(key, "must be a whole number of at least 1");
        }
        number
    }

    /// A table below this one.
    pub(super) fn section(&mut self, key: &str) -> Option<Section<'n>> {
        let value = self.left.remove(key)?;
        match value.get_ref().as_table() {
            Some(table) => {
                let path = format!("{}{key}.", self.path);
                let mut section = Section::new(self.notes, self.team, path, &value.span(), table);
                section.line = self.line_of(key);
                Some(section)
            }
            None => {
                self.mistake(key, "must be a table");
                None
            }
        }
    }

    /// Notes every key that nobody asked for.
    pub(super) fn end(self) {
        for key in self.left.keys() {
            self.mistake(key, "is no key that is known here");
        }
    }
}
