//! What is skipped is counted and named at the end of a run.

use std::path::PathBuf;

use compat_tests::folder::Folder;
use compat_tests::skipped::{self, summary};

#[test]
fn a_run_ends_with_a_line_that_counts_and_names_what_was_skipped() {
    assert_eq!(summary(""), "no test was skipped");
    let one = "stun\twith_coturn\tno turnutils\n";
    let line = "1 test was skipped, though counted as passed: stun (no turnutils): with_coturn";
    assert_eq!(summary(one), line);
    // A test that notes two reasons, or one twice, is one test.
    let notes = "gml\tb\tno gml-run\ngml\ta\tno gml-run\ngml\ta\tno gml-run\ngml\ta\tno sound\n";
    let line = summary(&format!("{one}{notes}"));
    assert!(line.starts_with("3 tests were skipped, though counted as passed: "), "{line}");
    assert!(line.contains("gml (no gml-run): a, b; gml (no sound): a; stun"), "{line}");
    assert_eq!(line.lines().count(), 1);
}

/// What says so in another way is not counted.
#[test]
fn no_test_is_skipped_without_a_note() {
    let mut folders: Vec<PathBuf> = vec![
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests").into(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/../src").into(),
    ];
    let mut sources: Vec<PathBuf> =
        vec![concat!(env!("CARGO_MANIFEST_DIR"), "/src/natlab.rs").into()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|end| end == "rs") => sources.push(path),
                _ => {}
            }
        }
    }
    assert!(sources.len() > 300, "{sources:?}");
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap();
        let printed = [concat!("println!(\"", "skip"), concat!("\"skip", "ped: {")]
            .iter()
            .any(|way| text.contains(way));
        assert!(!printed, "{}: use compat_tests::skipped::note", source.display());
    }
}

#[test]
fn a_note_has_the_name_of_its_test() {
    let folder = Folder::new();
    let file = folder.file("notes.txt");
    // In a process of its own, whose notes go elsewhere.
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    command.args(["--exact", "notes", "--ignored", "--test-threads=2"]);
    let output = command.env("PUNCH_SKIPPED", &file).output().unwrap();
    assert!(output.status.success());
    let notes = std::fs::read_to_string(&file).unwrap();
    assert_eq!(notes, "skipped_tests\tnotes\tno such thing\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("skipped: skipped_tests::notes: no such"), "{said}");
}

#[test]
#[ignore = "run by a_note_has_the_name_of_its_test"]
fn notes() {
    skipped::note("no such\tthing");
}
