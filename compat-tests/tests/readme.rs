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
