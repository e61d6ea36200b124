//! An image's width and height, read from its header without decoding it.
//!
//! The numbers are the file's own claims: whoever decodes the image checks them again.

/// How many bytes are looked at: a JPEG's size may stand behind its metadata.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Returns width and height in pixels of a PNG, GIF, BMP, WebP or JPEG image that begins with `head`; at most 64 KiB of it
/// are looked at. `None` where they do not stand there, or are zero.
#[must_use]
pub fn image_size(head: &[u8]) -> Option<(u32, u32)> {
    let head = &head[..head.len().min(HEAD_BYTES_MAX)];
    let size = match head {
        [0x89, b'P', b'N', b'G', ..] => png(head),
        [b'G', b'I', b'F', b'8', ..] => Some((le16(head, 6)?, le16(head, 8)?)),
        [b'B', b'M', ..] => bmp(head),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(head),
        [0xFF, 0xD8, ..] => jpeg(head),
        _ => None,
    };
    size.filter(|(width, height)| *width > 0 && *height > 0)
}

fn png(head: &[u8]) -> Option<(u32, u32)> {
    (head.get(12..16)? == b"IHDR").then_some(())?;
    Some((be32(head, 16)?, be32(head, 20)?))
}

fn bmp(head: &[u8]) -> Option<(u32, u32)> {
    if le32(head, 14)? == 12 {
        return Some((le16(head, 18)?, le16(head, 20)?));
    }
    // A negative height means rows from top to bottom.
    let height = le32(head, 22)?.cast_signed().unsigned_abs();
    Some((le32(head, 18)?, height))
}

fn webp(head: &[u8]) -> Option<(u32, u32)> {
    match head.get(12..16)? {
        b"VP8X" => Some((le24(head, 24)? + 1, le24(head, 27)? + 1)),
        // Two fields of 14 bits behind the signature byte.
        b"VP8L" if *head.get(20)? == 0x2F => {
            let bits = le32(head, 21)?;
            Some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        }
        // The upper two bits of each are a scale that decoders ignore.
        b"VP8 " if head.get(23..26)? == [0x9D, 0x01, 0x2A] => {
            Some((le16(head, 26)? & 0x3FFF, le16(head, 28)? & 0x3FFF))
        }
        _ => None,
    }
}

/// Walks the segments up to the start of a frame.
fn jpeg(head: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        if *head.get(at)? != 0xFF {
            return None;
        }
        match *head.get(at + 1)? {
            // Fill bytes, and markers without a length.
            0xFF => at += 1,
            0x01 | 0xD0..=0xD8 => at += 2,
            // Every start of a frame but the three tables with neighbouring numbers.
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Some((be16(head, at + 7)?, be16(head, at + 5)?));
            }
            // Scan data or the end, before any frame.
            0x00 | 0xD9 | 0xDA => return None,
            _ => {
                let length = usize::try_from(be16(head, at + 2)?).ok()?;
                at += 2 + length.max(2);
            }
        }
    }
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at + N)?.try_into().ok()
}

fn be16(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(|two| u16::from_be_bytes(two).into())
}

fn be32(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(u32::from_be_bytes)
}

fn le16(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(|two| u16::from_le_bytes(two).into())
}

fn le24(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(|[low, middle, high]| u32::from_le_bytes([low, middle, high, 0]))
}

fn le32(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(head: &[u8], expected: Option<(u32, u32)>) {
        assert_eq!(image_size(head), expected, "{}", head.escape_ascii());
        for cut in 0..head.len() {
            let part = image_size(&head[..cut]);
            assert!(part.is_none() || part == expected, "cut at {cut}");
        }
    }

    #[test]
    fn sizes_stand_in_the_headers() {
        check(b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xE0", Some((640, 480)));
        check(b"GIF89a\x80\x02\xE0\x01", Some((640, 480)));
        let bitmap = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x80\x02\0\0";
        check(&[&bitmap[..], &[0xE0, 1, 0, 0]].concat(), Some((640, 480)));
        check(&[&bitmap[..], &[0x20, 0xFE, 0xFF, 0xFF]].concat(), Some((640, 480)));
        check(b"BM\0\0\0\0\0\0\0\0\x1A\0\0\0\x0C\0\0\0\x80\x02\xE0\x01", Some((640, 480)));
        let webp = |rest: &[u8]| [b"RIFF\0\0\0\0WEBP", rest].concat();
        check(&webp(b"VP8X\x0A\0\0\0\0\0\0\0\x7F\x02\0\xDF\x01\0"), Some((640, 480)));
        check(&webp(b"VP8 \0\0\0\0\0\0\0\x9D\x01\x2A\x80\x02\xE0\x01"), Some((640, 480)));
        check(&webp(b"VP8L\0\0\0\0\x2F\x7F\xC2\x77\x00"), Some((640, 480)));
    }

    #[test]
    fn a_jpegs_size_stands_in_its_frame_behind_other_segments() {
        let frame = b"\xFF\xC2\0\x11\x08\x01\xE0\x02\x80\x03";
        let exif = b"\xFF\xE1\0\x06abcd";
        let table = b"\xFF\xC4\0\x04\0\0";
        check(&[b"\xFF\xD8", &exif[..], table, b"\xFF", frame].concat(), Some((640, 480)));
        check(&[b"\xFF\xD8", &b"\xFF\xDA\0\x02"[..], frame].concat(), None);
        check(&[b"\xFF\xD8", &exif[..], b"xx"].concat(), None);
    }

    #[test]
    fn no_size_is_better_than_a_wrong_one() {
        check(b"", None);
        check(b"hello", None);
        check(b"GIF89a\0\0\xE0\x01", None);
        check(b"\x89PNG\r\n\x1A\n\0\0\0\rIDAT\0\0\x02\x80\0\0\x01\xE0", None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(
            start in proptest::sample::select(vec![
                &b""[..], b"\x89PNG", b"GIF8", b"BM", b"RIFF\0\0\0\0WEBPVP8 ", b"RIFF\0\0\0\0WEBPVP8L",
                b"RIFF\0\0\0\0WEBPVP8X", b"\xFF\xD8\xFF",
            ]),
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Some((width, height)) = image_size(&[start, &rest].concat()) {
                prop_assert!(width > 0 && height > 0);
            }
        }
    }
}
