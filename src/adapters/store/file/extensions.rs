//! Where an object can stand: a find asks for each extension of the closed set, and never reads a folder of 100,000 names.

use crate::domain::media_type::extensions_all;
use crate::domain::object_key::Key;

/// The keys that an object of this stem can have, those of images first.
pub(super) fn candidates(stem: &Key) -> impl Iterator<Item = Key> {
    let named = extensions_all().map(move |extension| Key::new(format!("{stem}.{extension}")));
    named.chain(std::iter::once(stem.clone()))
}
