//! README: what it tells to type works together.

use std::ops::RangeInclusive;
use std::path::Path;

const README: &str = include_str!("../../README.md");
const PROTOCOL: &str = include_str!("../../PROTOCOL.md");
const SAMPLE: &str = include_str!("../../gml-client-sample/README.md");
const CREATE: &str = include_str!("../../gml-client-sample/objects/obj_demo/Create_0.gml");

/// The UDP ports that a server has or may be told to have: its own, that for STUN, the relay's.
const TAKEN: [RangeInclusive<u16>; 2] = [6510..=6511, 20000..=21023];

/// The service may write nowhere but in the folder that its unit asks for.
#[test]
fn the_log_file_is_where_the_unit_may_write() {
    let unit = README.split("# /etc/systemd/system/punchd.service").nth(1).unwrap();
    let unit = unit.split("```").next().unwrap();
    assert!(unit.contains("ProtectSystem=strict"), "{unit}");
    let folder = unit.lines().find_map(|line| line.strip_prefix("LogsDirectory=")).unwrap();
    let files: Vec<&str> = README
        .split("--log /")
        .skip(1)
        .filter_map(|rest| rest.split([' ', '`', '\n']).next())
        .collect();
    assert!(!files.is_empty());
    for file in files {
        let file = Path::new("/").join(file);
        assert_eq!(file.parent(), Some(Path::new("/var/log").join(folder).as_path()), "{file:?}");
    }
}

/// By default systemd gives a service up that has ended five times in ten seconds.
#[test]
fn the_service_is_started_again_however_often_it_ends() {
    let unit = README.split("# /etc/systemd/system/punchd.service").nth(1).unwrap();
    let unit = unit.split("```").next().unwrap();
    for line in ["Restart=always", "StartLimitIntervalSec=0"] {
        assert!(unit.lines().any(|of| of == line), "no {line}: {unit}");
    }
}

/// A game that hosts on the machine of the master server needs a port of its own.
#[test]
fn no_example_has_a_port_of_the_server_for_a_game() {
    let mut games: Vec<u16> = Vec::new();
    let mut after = |text: &str, words: &str| {
        for rest in text.split(words).skip(1) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            games.extend(digits.parse::<u16>());
        }
    };
    after(CREATE, "game_port = ");
    after(SAMPLE, "punch_host_create(\"203.0.113.7\", 6510, ");
    after(SAMPLE, "\"192.168.1.20\", ");
    after(README, "punchd --port ");
    after(PROTOCOL, "game_port = ");
    assert!(games.len() >= 3, "{games:?}");
    for port in games {
        assert!(!TAKEN.iter().any(|taken| taken.contains(&port)), "{port}");
    }
}

/// Each promise has a figure, and tests that are there.
#[test]
fn promises_have_figures_and_tests() {
    let table = README.split("\n## Promises\n").nth(1).unwrap().split("\n\n").nth(1).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().skip(2).map(|row| row.split('|').collect()).collect();
    assert!((5..=10).contains(&rows.len()), "{}", rows.len());
    let sources = [concat!(env!("CARGO_MANIFEST_DIR"), "/tests"), SOURCE].map(Path::new);
    for row in rows {
        let [_, promise, figure, tests, _] = row[..] else { panic!("{row:?}") };
        assert!(figure.contains(|c: char| c.is_ascii_digit()), "{promise}: {figure:?}");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{promise}: {tests:?}");
        for name in names.into_iter().filter(|name| !name.starts_with("cargo ")) {
            assert!(is_test(name, &sources), "{promise}: there is no {name}");
        }
    }
}

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../src");

/// Whether there is a program of tests with this name, or a module of the server somewhere in its folders.
fn is_test(name: &str, [programs, source]: &[&Path; 2]) -> bool {
    let path = name.replace("::", "/");
    let is_at = |folder: &Path| {
        folder.join(format!("{path}.rs")).exists() || folder.join(&path).join("mod.rs").exists()
    };
    // `mod tests` may be in the file above it.
    let is_within = |folder: &Path| {
        let above = path.strip_suffix("/tests").map(|above| folder.join(format!("{above}.rs")));
        let text = above.and_then(|above| std::fs::read_to_string(above).ok());
        text.is_some_and(|text| text.contains("mod tests"))
    };
    let is_program = is_at(programs) || programs.join(&path).join("main.rs").exists();
    let dialects = source.join("dialect");
    is_program || [*source, dialects.as_path()].into_iter().any(|at| is_at(at) || is_within(at))
}
