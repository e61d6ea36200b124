//! What a file system's errors mean for a store.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::ports::store::StoreError;

/// Says what could not be done to which path, and whether a person must change something.
pub(super) fn failed(verb: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let path = path.display().to_string();
    move |error| {
        let said = format!("cannot {verb} {path}: {error}");
        match hint(error.kind()) {
            Some(hint) => StoreError::Refused(format!("{said} ({hint})")),
            None => StoreError::Unavailable(said),
        }
    }
}

/// What a person can do about it, if it takes one.
fn hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::StorageFull => Some("the disk is full: free some space or give it more"),
        ErrorKind::QuotaExceeded => Some("the quota is used up: free some space or raise it"),
        ErrorKind::PermissionDenied => {
            Some("this user needs the right to write there, on a file system with hard links")
        }
        ErrorKind::ReadOnlyFilesystem => Some("the file system is mounted read-only"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            Some("a file stands where a folder should be: move it away")
        }
        ErrorKind::IsADirectory => Some("a folder stands where a file should be: move it away"),
        ErrorKind::InvalidFilename => Some("the file system takes no names of this length or kind"),
        ErrorKind::CrossesDevices => Some("the whole store must be on one file system"),
        ErrorKind::Unsupported => Some("the file system must have hard links"),
        // Foreign and open-ended: whatever else there is may pass.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_must_change_is_refused_and_the_rest_may_pass() {
        for (errno, refused) in [
            (28, true),   // ENOSPC
            (122, true),  // EDQUOT
            (13, true),   // EACCES
            (1, true),    // EPERM
            (30, true),   // EROFS
            (20, true),   // ENOTDIR
            (36, true),   // ENAMETOOLONG
            (18, true),   // EXDEV
            (5, false),   // EIO
            (24, false),  // EMFILE
            (116, false), // ESTALE
            (2, false),   // ENOENT
        ] {
            let error = failed("write", Path::new("/store/x"))(io::Error::from_raw_os_error(errno));
            assert_eq!(matches!(error, StoreError::Refused(_)), refused, "{error}");
            assert!(error.to_string().contains("/store/x"), "{error}");
            assert!(error.is_transient(), "disks and rights are mended while tasks wait");
        }
    }
}
