//! Lists files below a folder in the order of their whole keys, as S3 does, in memory that is bounded by the page.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::errors::failed;
use super::place::is_absence;
use crate::domain::object_key::Key;
use crate::ports::store::StoreError;

/// Up to `limit` keys below `folder`, which stands at `path`, after `after`.
pub(super) fn list(path: &Path, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
    let mut page = Page { after: after.map_or("", Key::as_str), limit, keys: Vec::new() };
    page.walk(path, &format!("{folder}/"))?;
    Ok(page.keys)
}

struct Page<'a> {
    after: &'a str,
    limit: usize,
    keys: Vec<Key>,
}

impl Page<'_> {
    /// Takes what lies below `prefix`, a key with its last slash, which stands at `path`.
    fn walk(&mut self, path: &Path, prefix: &str) -> Result<(), StoreError> {
        // A folder may hold any number of names; no more than fit into the page are kept of each reading.
        let mut from = String::new();
        while self.keys.len() < self.limit {
            let room = self.limit - self.keys.len();
            let names = self.next_names(path, prefix, &from, room)?;
            let is_last = names.len() < room;
            for name in names {
                self.take(path, prefix, &name)?;
                from = name;
            }
            if is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take(&mut self, path: &Path, prefix: &str, name: &str) -> Result<(), StoreError> {
        if self.keys.len() == self.limit {
            return Ok(());
        }
        match name.strip_suffix('/') {
            Some(folder) => self.walk(&path.join(folder), &format!("{prefix}{name}")),
            None => {
                // What is no key was put there by somebody else and is none of ours.
                self.keys.extend(Key::parse(&format!("{prefix}{name}")));
                Ok(())
            }
        }
    }

    /// The first `room` names after `from` that can lead to keys after `after`. A folder's name ends in its slash: that puts
    /// `a/x` behind `a-b` and `a.c`, where the order of whole keys has it.
    fn next_names(&self, path: &Path, prefix: &str, from: &str, room: usize) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if is_absence(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", path)(error)),
        };
        let mut first = BTreeSet::new();
        for entry in entries {
            let entry = entry.map_err(failed("list", path))?;
            if let Some(name) = name_of(&entry)
                && name.as_str() > from
                && self.may_hold(&format!("{prefix}{name}"))
            {
                first.insert(name);
                if first.len() > room {
                    first.pop_last();
                }
            }
        }
        Ok(first.into_iter().collect())
    }

    fn may_hold(&self, text: &str) -> bool {
        text > self.after || (text.ends_with('/') && self.after.starts_with(text))
    }
}

/// Symbolic links, sockets and names that are no text are not ours.
fn name_of(entry: &fs::DirEntry) -> Option<String> {
    let kind = entry.file_type().ok()?;
    let name = entry.file_name().into_string().ok()?;
    match (kind.is_dir(), kind.is_file()) {
        (true, _) => Some(format!("{name}/")),
        (_, true) => Some(name),
        (false, false) => None,
    }
}
