//! The trace context that AWS's own services write, in the form that we carry on.

/// Turns an X-Ray header (`Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`) into a W3C
/// `traceparent`; nothing when it names no parent.
pub(super) fn traceparent(header: &str) -> Option<String> {
    let part = |wanted: &str| {
        let mut parts = header.split(';').filter_map(|part| part.trim().split_once('='));
        parts.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let mut root = part("Root")?.splitn(3, '-');
    let (version, time, rest) = (root.next()?, root.next()?, root.next()?);
    let (trace, parent) = (format!("{time}{rest}"), part("Parent")?);
    let sampled = u8::from(part("Sampled") == Some("1"));
    (version == "1" && is_id(&trace, 32) && is_id(parent, 16)).then(|| format!("00-{trace}-{parent}-0{sampled}"))
}

fn is_id(text: &str, length: usize) -> bool {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == length && text.bytes().all(hexadecimal) && text.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::traceparent;

    #[test]
    fn an_x_ray_header_becomes_a_traceparent() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        let expected = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        assert_eq!(traceparent(header).as_deref(), Some(expected));
        let unsampled = header.replace("Sampled=1", "Sampled=0; Lineage=a:b");
        assert_eq!(traceparent(&unsampled).unwrap(), expected.replace("-01", "-00"));
    }

    #[test]
    fn a_header_without_a_parent_or_with_odd_ids_becomes_nothing() {
        for header in [
            "",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd86;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0000000000000000",
            "Root=1-5759e988-xd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
        ] {
            assert_eq!(traceparent(header), None, "{header}");
        }
    }
}
