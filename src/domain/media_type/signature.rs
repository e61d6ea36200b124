//! Signatures: the first bytes by which formats are known.

use super::{KNOWN, MediaType};

/// Boxes that a QuickTime file without a type box begins with.
const QUICKTIME_BOXES: &[&[u8]] = &[b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"];
/// A transport stream's packets have this length and begin with [`SYNC_BYTE`] (ISO/IEC 13818-1).
const PACKET_BYTES: usize = 188;
const SYNC_BYTE: u8 = 0x47;

/// Formats that begin as text would, whatever follows.
pub(super) fn with_text_header(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"%PDF-") {
        return Some("application/pdf");
    }
    if head.starts_with(b"{\\rtf") {
        return Some("application/rtf");
    }
    // A PCD header may begin with a comment or, without one, with its version; its fields follow at once.
    let version = head.starts_with(b"VERSION ") && contains(&head[..head.len().min(256)], b"\nFIELDS ");
    if head.starts_with(b"# .PCD") || version {
        return Some("application/vnd.pcd");
    }
    let ply = head.starts_with(b"ply\n") || head.starts_with(b"ply\r\n");
    (ply && contains(&head[..head.len().min(64)], b"format ")).then_some("application/vnd.ply")
}

/// Formats that no text begins as.
pub(super) fn binary(head: &[u8]) -> Option<&'static str> {
    ours(head).or_else(|| inferred(head)).or_else(|| iso_media(head))
}

fn ours(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"LASF") {
        Some("application/vnd.las")
    } else if head.starts_with(b"PAR1") {
        Some("application/vnd.apache.parquet")
    } else if is_heic(head) {
        Some("image/heic")
    } else if is_transport_stream(head) {
        Some("video/mp2t")
    } else {
        None
    }
}

/// What the `infer` crate finds, as far as it is in our closed set: that leaves out its signatures of two bytes.
fn inferred(head: &[u8]) -> Option<&'static str> {
    let found = MediaType::parse(infer::get(head)?.mime_type())?;
    let known = KNOWN.iter().find(|known| known.media_type == found.as_str())?;
    if known.media_type == "image/bmp" && !is_bitmap(head) {
        return None;
    }
    Some(known.media_type)
}

/// ISO's container with a brand that nobody listed, and QuickTime from before there were brands.
fn iso_media(head: &[u8]) -> Option<&'static str> {
    let kind = head.get(4..8)?;
    if kind == b"ftyp" && head.len() >= 12 {
        return Some("video/mp4");
    }
    QUICKTIME_BOXES.contains(&kind).then_some("video/quicktime")
}

fn is_heic(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp") && matches!(head.get(8..12), Some(b"heic" | b"heix" | b"heim" | b"heis"))
}

fn is_transport_stream(head: &[u8]) -> bool {
    [0, PACKET_BYTES, 2 * PACKET_BYTES].iter().all(|at| head.get(*at) == Some(&SYNC_BYTE))
}

/// A bitmap's second header begins with its own size, which is one of few.
fn is_bitmap(head: &[u8]) -> bool {
    matches!(head.get(14..18), Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::super::sniff;

    fn check(head: &[u8], expected: &str) {
        // What follows is binary, as it is in such files.
        let content = [head, &[0, 1, 2, 3, 0xFE, 0xFF, 0, 0][..]].concat();
        assert_eq!(sniff(&content).as_str(), expected, "{:?}", head.escape_ascii().to_string());
    }

    #[test]
    fn formats_are_known_by_their_signatures() {
        let mut bitmap = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        check(&bitmap, "image/bmp");
        bitmap[14] = 7;
        check(&bitmap, "application/octet-stream");
        for (head, expected) in [
            (&b"\xFF\xD8\xFF\xE0"[..], "image/jpeg"),
            (b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", "image/png"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            (b"II*\0", "image/tiff"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "image/heic"),
            (b"\0\0\0\x1Cftypavif\0\0\0\0avif", "image/avif"),
            (b"\0\0\0\x18ftypisom\0\0\0\0", "video/mp4"),
            (b"\0\0\0\x18ftypxxxx\0\0\0\0", "video/mp4"),
            (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
            (b"\0\0\0\x08wide", "video/quicktime"),
            (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
            (b"ID3\x03", "audio/mpeg"),
            (b"fLaC", "audio/flac"),
            (b"OggS\0", "audio/ogg"),
            (b"%PDF-1.7\n", "application/pdf"),
            (b"PK\x03\x04\x14\0", "application/zip"),
            (b"\x1F\x8B\x08", "application/gzip"),
            (b"\x28\xB5\x2F\xFD", "application/zstd"),
            (b"PAR1", "application/vnd.apache.parquet"),
            (b"LASF", "application/vnd.las"),
            (b"# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n", "application/vnd.pcd"),
            (b"VERSION 0.7\nFIELDS x y z\n", "application/vnd.pcd"),
            (b"ply\nformat binary_little_endian 1.0\n", "application/vnd.ply"),
            (b"MZ\x90", "application/octet-stream"),
            (b"\x64\x86", "application/octet-stream"),
        ] {
            check(head, expected);
        }
    }

    #[test]
    fn archives_and_streams_are_known_by_bytes_further_in() {
        let mut tar = vec![b'a'; 257];
        tar.extend_from_slice(b"ustar\x0000");
        check(&tar, "application/x-tar");
        let mut packets = vec![0x80; 600];
        for at in [0, 188, 376, 564] {
            packets[at] = 0x47;
        }
        check(&packets, "video/mp2t");
    }

    #[test]
    fn text_forms_of_point_clouds_and_documents_are_known_too() {
        for (text, expected) in [
            ("# .PCD v.7\nVERSION .7\nFIELDS x\nDATA ascii\n1\n", "application/vnd.pcd"),
            ("ply\r\nformat ascii 1.0\r\n", "application/vnd.ply"),
            ("VERSION 2 of this text", "text/plain"),
            ("ply\nwood", "text/plain"),
            ("%PDF-1.4\nall of it text", "application/pdf"),
            ("{\\rtf1\\ansi}", "application/rtf"),
        ] {
            assert_eq!(sniff(text.as_bytes()).as_str(), expected, "{text}");
        }
    }
}
