//! The paths that a file of Rust names, read from its text: enough of the grammar for that, and no more.

/// A path such as `["crate", "domain", "task"]`, and the inline modules of its file that it stands in, outermost first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: Vec<String>,
    pub(super) inside: Vec<String>,
}

/// Returns every path that Rust text names; the branches of a group (`a::{b, c::d}`) are paths of their own.
pub(super) fn named_in(text: &str) -> Vec<Named> {
    let tokens = tokens(text);
    let (mut found, mut at) = (Vec::new(), 0);
    // The inline modules around us, each with the brace depth at which it was opened.
    let (mut depth, mut modules) = (0, Vec::<(i32, String)>::new());
    while at < tokens.len() {
        if is_name(&tokens[at]) {
            let mut paths = Vec::new();
            let is_module = tokens[at] == "mod" && tokens.get(at + 2).is_some_and(|next| next == "{");
            at = path_from(&tokens, at, &[], &mut paths);
            let inside: Vec<String> = modules.iter().map(|(_, name)| name.clone()).collect();
            found.extend(paths.into_iter().map(|path| Named { path, inside: inside.clone() }));
            if is_module {
                modules.push((depth, tokens[at].clone()));
            }
            continue;
        }
        match tokens[at].as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                modules.retain(|(opened_at, _)| *opened_at < depth);
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Cuts Rust text into words, `::` and single signs, without comments, strings and spaces.
fn tokens(text: &str) -> Vec<String> {
    let signs: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < signs.len() {
        let rest = &signs[at..];
        if let Some(length) = skipped(rest) {
            at += length;
        } else if is_word(rest[0]) {
            let length = rest.iter().take_while(|sign| is_word(**sign)).count();
            found.push(rest[..length].iter().collect());
            at += length;
        } else if rest.starts_with(&[':', ':']) {
            found.push("::".to_owned());
            at += 2;
        } else {
            if !rest[0].is_whitespace() {
                found.push(rest[0].to_string());
            }
            at += 1;
        }
    }
    found
}

fn is_word(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// Returns the length of the comment or literal that starts here, if one does.
fn skipped(rest: &[char]) -> Option<usize> {
    let until = |end: &[char], from: usize| {
        (from..rest.len()).find(|at| rest[*at..].starts_with(end)).map_or(rest.len(), |at| at + end.len())
    };
    match rest {
        ['/', '/', ..] => Some(until(&['\n'], 2)),
        ['/', '*', ..] => Some(block_comment(rest)),
        ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..] => raw_string(rest),
        ['"', ..] => Some(quoted(rest, 1)),
        ['b' | 'c', '"', ..] => Some(quoted(rest, 2)),
        ['\'', '\\', ..] => Some(until(&['\''], 3)),
        ['\'', _, '\'', ..] => Some(3), // a character; without the second quote it is a lifetime
        _ => None,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], from: usize) -> usize {
    let mut at = from;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string(rest: &[char]) -> Option<usize> {
    let start = rest.iter().position(|sign| *sign == 'r')? + 1;
    let hashes = rest[start..].iter().take_while(|sign| **sign == '#').count();
    if rest.get(start + hashes) != Some(&'"') {
        return None; // a raw identifier
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = start + hashes + 1;
    let length = (body..rest.len()).find(|at| rest[*at..].starts_with(&end)).map_or(rest.len(), |at| at + end.len());
    Some(length)
}

fn is_name(token: &str) -> bool {
    token.chars().next().is_some_and(is_word)
}

/// Reads the path that starts at `at`, after `prefix`; adds what it spells and returns where it ends.
fn path_from(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    while is_name(token(at)) {
        path.push(tokens[at].clone());
        at += 1;
        if token(at) != "::" {
            break;
        }
        at += 1;
        if token(at) == "{" {
            return group_from(tokens, at + 1, &path, found);
        }
    }
    found.push(path);
    at
}

fn group_from(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    while at < tokens.len() && tokens[at] != "}" {
        match tokens[at].as_str() {
            "as" => at += 2, // another name for what stands before it
            "self" => {
                found.push(prefix.to_vec());
                at += 1;
            }
            name if is_name(name) => at = path_from(tokens, at, prefix, found),
            _ => at += 1,
        }
    }
    at + 1
}
