//! README, "What the log says": it has every line about peers that an owner is shown.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// So much of a line has to be found there: README has an example in place of each value, and leaves
/// out how long lines end.
const LETTERS: usize = 24;

/// What is about the server itself: its files, its sockets, its options. Such lines say what to do.
const OWN: [&str; 7] = ["net", "logging", "cli", "cli.rs", "main.rs", "build.rs", "reloads.rs"];

/// The sources of all that is said about peers.
fn sources() -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let (mut sources, mut folders) = (Vec::new(), vec![src]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name();
            let is_of_tests = name == "tests" || name == "tests.rs";
            match entry.path() {
                _ if is_of_tests || OWN.iter().any(|own| name == *own) => {}
                path if path.is_dir() => folders.push(path),
                path => sources.push(path),
            }
        }
    }
    sources
}

/// The text in quotes that this begins with, behind blanks.
fn literal(behind: &str) -> Option<String> {
    let mut text = String::new();
    let mut letters = behind.trim_start().strip_prefix('"')?.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Some(text),
            '\\' => match letters.next()? {
                // The line goes on in the next one of the source.
                '\n' => while letters.next_if(|letter| letter.is_whitespace()).is_some() {},
                escaped => text.push(escaped),
            },
            letter => text.push(letter),
        }
    }
    None
}

/// What comes behind the level and the fields of a line, which stand before its format and end with a semicolon.
fn behind_fields(call: &str) -> &str {
    let call = call.trim_start().trim_start_matches("level,").trim_start();
    if call.starts_with('"') {
        return call;
    }
    let (mut depth, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, letter) in call.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' => depth += 1,
            ')' if depth == 0 => return call,
            ')' => depth -= 1,
            ';' => return &call[at + 1..],
            _ => {}
        }
    }
    call
}

/// All formats of lines that are shown without -v.
fn formats(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut all = Vec::new();
    for call in ["info!(", "warn!(", "log!(", "format_args!("] {
        for (at, _) in source.match_indices(call) {
            let before = &source[..at];
            // Arguments of anything but a line are no lines.
            let statement = before.rfind([';', '{']).map_or(before, |start| &before[start..]);
            if call != "format_args!(" || statement.contains("say(") || statement.contains("line =")
            {
                all.extend(literal(behind_fields(&source[at + call.len()..])));
            }
        }
    }
    all
}

/// The longest part of a format between its values.
fn longest_part(format: &str) -> String {
    let parts = format.split('{').map(|part| part.split_once('}').map_or(part, |(_, text)| text));
    let longest = parts.max_by_key(|part| part.trim().len()).unwrap_or_default().trim();
    longest.chars().take(LETTERS).collect::<String>().trim().to_owned()
}

#[test]
fn every_line_about_peers_is_in_the_readme() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let start = readme.find("## What the log says").unwrap();
    let end = start + readme[start..].find("\n## Who gets through to whom").unwrap();
    let table = &readme[start..end];
    let mut seen = 0;
    let mut missing = Vec::new();
    for source in sources() {
        for format in formats(&fs::read_to_string(&source).unwrap()) {
            seen += 1;
            let part = longest_part(&format);
            // Nothing but values: what they are is somewhere else.
            if part.len() > 3 && !table.contains(&part) {
                missing.push(format!("{}: {format}", source.display()));
            }
        }
    }
    assert!(seen > 50, "{seen} lines");
    assert!(
        missing.is_empty(),
        "{} of {seen} lines are missing:\n{}",
        missing.len(),
        missing.join("\n")
    );
}
