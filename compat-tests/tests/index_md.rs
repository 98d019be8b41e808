//! PROTOCOL.md is a reference: its index has all that the server reads and sends, each with a link to
//! where it is described, and every link of the documents leads somewhere.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The sections of a document by the names that links have for them, without examples.
fn sections(text: &str) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let (mut name, mut is_example) = (String::new(), false);
    for line in text.lines() {
        is_example ^= line.starts_with("```");
        if line.starts_with('#') && !is_example {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            name = kept.collect::<String>().replace(' ', "-");
        }
        let section = all.entry(name.clone()).or_default();
        section.push_str(line);
        section.push('\n');
    }
    all
}

/// The targets of all links in a text.
fn links(text: &str) -> BTreeSet<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(to, _)| to).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let files = [
        "README.md",
        "PROTOCOL.md",
        "SECURITY.md",
        "compat-tests/README.md",
        "gml-client-sample/README.md",
    ];
    for file in files {
        let text = read(file);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').map_or((link, None), |(p, a)| (p, Some(a)));
            let beside = Path::new(file).parent().unwrap().join(path);
            let target = if path.is_empty() { PathBuf::from(file) } else { beside };
            assert!(root().join(&target).exists(), "{file}: {link}");
            if let Some(anchor) = anchor {
                let text = fs::read_to_string(root().join(target)).unwrap();
                assert!(sections(&text).contains_key(anchor), "{file}: {link}");
            }
        }
    }
}

/// The index: what each of its rows names, in backquotes, and where it sends to.
fn index() -> Vec<(Vec<String>, Vec<String>)> {
    let text = sections(&read("PROTOCOL.md")).remove("index").expect("an index");
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let rows = rows.map(|row| {
        let quoted = row.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let anchors = links(row).into_iter().map(|to| to.trim_start_matches('#').to_owned());
        (quoted, anchors.collect())
    });
    rows.collect()
}

/// The texts in quotes of a piece of source, if they are words.
fn words(source: &str) -> BTreeSet<String> {
    let quoted = source.split('"').skip(1).step_by(2);
    let is_word = |text: &&str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    quoted.filter(is_word).map(str::to_owned).collect()
}

/// What is between two texts.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from:?}"));
    rest.split_once(to).map_or(rest, |(inside, _)| inside)
}

/// All words that the server reads or sends, as its sources have them.
fn spoken() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let gmnet = read("src/dialect/gmnet/command.rs");
    all.extend(words(between(&gmnet, "match ", "_ => ")));
    let words_of_datagrams = read("src/dialect/sniff.rs");
    all.extend(words(between(&words_of_datagrams, "b\"reg\" | ", "=> Name::Rooms")));
    let answers = read("src/dialect/rooms/answer.rs");
    let answers = between(&answers, "pub enum Answer", "\n}\n");
    all.extend(answers.split("/// `").skip(1).map(|text| {
        text.chars().take_while(|letter| letter.is_ascii_alphanumeric()).collect::<String>()
    }));
    let events = read("src/dialect/events/executing.rs");
    all.extend(words(between(&events, "\"login\" =>", "=> self.punch_result")));
    all.extend(["login", "punch_result"].map(str::to_owned));
    // An error for all others.
    all.remove("unknown_request");
    let kinds = read("src/dialect/events/event.rs");
    all.extend(words(between(&kinds, "\"pass\" => Kind::Pass", "=> Kind::Response")));
    all.insert("pass".to_owned());
    // Passes: what is told under a name.
    let mut folders = vec![root().join("src/dialect/events")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let source = fs::read_to_string(path).unwrap();
                for name in words(&source) {
                    let passes = ["self_", "player_", "room_", "rooms_", "host_changed"];
                    let is_pass = passes.iter().any(|start| name.starts_with(start));
                    if is_pass || name == "introduce" {
                        all.insert(name);
                    }
                }
            }
        }
    }
    all
}

#[test]
fn the_index_has_every_word_that_the_server_reads_or_sends() {
    let spoken = spoken();
    assert!(spoken.len() > 60, "{spoken:?}");
    let named: BTreeSet<String> = index().into_iter().flat_map(|(words, _)| words).collect();
    let missing: Vec<_> = spoken.difference(&named).collect();
    assert!(missing.is_empty(), "not in the index: {missing:?}");
}

#[test]
fn the_index_has_every_first_byte() {
    let protocol = sections(&read("PROTOCOL.md"));
    let named: BTreeSet<String> = index().into_iter().flat_map(|(words, _)| words).collect();
    let bytes =
        protocol["first-bytes-of-messages"].lines().filter_map(|row| row.strip_prefix("| `"));
    let bytes: Vec<&str> = bytes.filter_map(|row| row.get(..2)).collect();
    assert_eq!(bytes.len(), 10);
    for byte in bytes {
        assert!(named.contains(byte), "{byte}");
    }
    let proto = between(&protocol["natpunch"], "oneof content {", "}");
    let index = &protocol["index"];
    for field in proto.lines().filter(|line| line.contains('=')) {
        let kind = field.split_whitespace().next().unwrap();
        let number = field.trim().trim_end_matches(';').rsplit(' ').next().unwrap();
        let row = index.lines().find(|row| {
            let numbers = row.split('|').nth(1).unwrap_or_default();
            numbers.split([',', ' ']).any(|word| word == number)
        });
        assert!(row.is_some_and(|row| row.contains(kind)), "{number} {kind}: {row:?}");
    }
}

/// One finds there what one has looked for.
#[test]
fn the_index_leads_to_what_it_names() {
    let protocol = sections(&read("PROTOCOL.md"));
    let index = index();
    assert!(index.len() > 40, "{index:?}");
    for (words, anchors) in index {
        for word in &words {
            let is_there = |anchor: &String| {
                let section = protocol.get(anchor).map_or("", String::as_str);
                let behind = ["`", ":", "\"", " ", "\n"].map(|end| format!("{word}{end}"));
                behind.iter().any(|text| section.contains(text.as_str()))
            };
            assert!(anchors.iter().any(is_there), "{word} is not in {anchors:?}");
        }
    }
}
