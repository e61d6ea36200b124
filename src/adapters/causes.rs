//! An error of a library in words: what failed, and why, to the first cause.

use std::error::Error;

/// The error and its causes in one line; a cause that repeats what was said is left out.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !line.ends_with(&said) {
            line = format!("{line}: {said}");
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Link>>);

    #[test]
    fn each_cause_is_told_once_and_in_one_line() {
        let link = |said, cause: Option<Link>| Link(said, cause.map(Box::new));
        let refused = link("connection\nrefused", None);
        let error = link("dispatch failure", Some(link("io error", Some(link("connection\nrefused", Some(refused))))));
        assert_eq!(causes(&error), "dispatch failure: io error: connection refused");
    }
}
