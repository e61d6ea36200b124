//! What a run of `make proof` found, kept for `docs/proof.md`: tables, each in a file of its own.
//!
//! Without `LONGSHORE_PROOF`, which names the folder, nothing is kept.

use std::path::PathBuf;

/// Keeps `text` as the table called `name`.
#[expect(clippy::disallowed_methods, reason = "where a proof is kept is the test's setting")]
pub(crate) fn keep(name: &str, text: &str) {
    let Some(folder) = std::env::var_os("LONGSHORE_PROOF").filter(|folder| !folder.is_empty()).map(PathBuf::from)
    else {
        return;
    };
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.txt")), format!("{}\n", text.trim_end())).unwrap();
}
