//! PROTOCOL.md, chapter HTTP, and what README tells to type: all is asked of a server with players in every
//! dialect, and the answers have the form that is told.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::Write as _;
use std::time::Duration;

use compat_tests::company::{Company, start_with_window};
use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::http::{Response, get, get_with};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(20);
const TOKEN: &str = "0123456789abcdef0123";

#[test]
fn every_reason_of_a_refusal_is_in_the_table() {
    let text = include_str!("../../PROTOCOL.md");
    let table = text.split("\n#### Reasons\n").nth(1).expect("the table");
    let table = table.split("\n## ").next().expect("its end");
    let rows: Vec<&str> =
        table.lines().filter(|line| line.starts_with("| `") && !line.contains("`words`")).collect();
    for reason in punchd::refusals::Reason::ALL {
        let begin = format!("| `{}` | {} | ", reason.name(), reason.words());
        assert!(rows.iter().any(|row| row.starts_with(&begin)), "{begin}");
    }
    assert_eq!(rows.len(), punchd::refusals::Reason::ALL.len());
}

/// A block marked `http`: what is asked on which side, and what is answered.
struct Example<'a> {
    is_public: bool,
    target: &'a str,
    status: u16,
    body: &'a str,
}

impl<'a> Example<'a> {
    fn read(block: &'a str) -> Option<Self> {
        let (kind, block) = block.split_once("\nGET ")?;
        let (target, answer) = block.split_once("\n\n")?;
        let (status, body) = answer.split_once('\n')?;
        let is_public = kind.trim() == "public";
        Some(Self { is_public, target, status: status.parse().ok()?, body })
    }
}

fn examples(text: &str) -> Vec<Example<'_>> {
    let blocks = text.split("\n```http").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.map(|block| Example::read(block).expect("an example")).collect()
}

/// Where an answer has not the form of the example, if anywhere.
fn differs(example: &Value, answer: &Value, path: &str) -> Option<String> {
    match (example, answer) {
        (_, Value::Null) | (Value::Null, _) => None,
        (Value::Object(wanted), Value::Object(found)) => {
            // An option that allows more is told where there is one, and own data has any keys.
            let is_free = path.ends_with(".data") || path.contains(".limits[]");
            let more = found.keys().find(|key| !wanted.contains_key(*key) && !is_free);
            let fewer = wanted.keys().find(|key| !found.contains_key(*key) && !is_free);
            if let Some(key) = more.or(fewer) {
                return Some(format!("{path}.{key}"));
            }
            let both = wanted.iter().filter_map(|(key, value)| Some((key, value, found.get(key)?)));
            both.into_iter()
                .find_map(|(key, value, found)| differs(value, found, &format!("{path}.{key}")))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            let first = wanted.first().unwrap_or(&Value::Null);
            found.iter().find_map(|found| differs(first, found, &format!("{path}[]")))
        }
        (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_)) => None,
        _ => Some(path.to_owned()),
    }
}

#[test]
fn the_examples_are_answered_as_they_say() {
    let options = ["--public-lobby", "--relay", "--relay-ports", "20100-20131"];
    let (master, window) = start_with_window(&options);
    let _company = Company::come(&master, ["My Game", "3/8"], "Meeting");
    // What no dialect begins with.
    let mut odd = raw::connect(master.addr(), loopback());
    odd.write_all(b"\x47\0\0\0{\"type").expect("sending");
    raw::read_to_end(&odd, WAIT);
    let protocol = include_str!("../../PROTOCOL.md");
    let examples = examples(protocol);
    assert!(examples.len() >= 7, "{} examples", examples.len());
    for Example { is_public, target, status, body } in examples {
        let server = if is_public { master.addr() } else { window };
        let answer = get(server, target).expect("an answer");
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        if answer.header("Content-Type") == Some("application/json") {
            let wanted: Value = serde_json::from_str(body).expect("JSON");
            let answered = answer.json();
            assert_eq!(differs(&wanted, &answered, ""), None, "{target}: {answered:#}");
            // What there is an example of has to be there.
            for key in ["hosts", "introductions", "refusals", "gmnet", "rooms", "events"] {
                let is_there = answered[key].as_array().is_none_or(|list| !list.is_empty());
                assert!(is_there, "{target}: no {key} in {answered:#}");
            }
        } else {
            assert_eq!(answer.body.trim_end(), body, "{target}");
        }
        let allows = answer.header("Access-Control-Allow-Origin");
        assert_eq!(allows, is_public.then_some("*"), "{target}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    }
    let status = get(window, "/api/v1/status").expect("an answer").json();
    assert_eq!((&status["hosts"], &status["introductions"]["direct"]), (&3.into(), &1.into()));
    let log = master.log();
    let found = get(window, "/api/v1/introductions").expect("an answer").json();
    let why = found["introductions"][0]["why"].as_str().expect("a sentence");
    assert!(log.contains(why), "{why} is not in the log:\n{log}");
}

/// What README tells to type, asked by this program, as `curl` may not be there.
#[test]
fn what_readme_tells_to_type_is_answered() {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## The owner's window").expect("the section");
    let section = section.split("\n## ").next().expect("a section");
    assert!(section.contains("ssh -L 6580:127.0.0.1:6580 "), "{section}");
    let (master, window) = start_with_window(&["--public-lobby", "--http-token", TOKEN]);
    let lines: Vec<&str> = section.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(lines.len() >= 7, "{lines:?}");
    for line in lines {
        let (_, url) = line.split_once("http://").expect("where");
        let url = url.trim_end_matches('\'');
        let (at, target) = url.split_once('/').expect("what");
        let server = if at.ends_with(":6510") { master.addr() } else { window };
        assert!(at == "127.0.0.1:6580" || at == "127.0.0.1:6510", "{line}");
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("Host", at), ("Authorization", bearer.as_str())];
        let answer = get_with(server, &format!("/{target}"), &headers).expect("an answer");
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
    }
}

#[test]
fn who_has_no_token_and_who_comes_by_another_name_sees_nothing() {
    let status = |answer: std::io::Result<Response>| answer.expect("an answer").status;
    let (_master, window) = start_with_window(&["--http-token", TOKEN]);
    assert_eq!(status(get(window, "/")), 401);
    assert_eq!(status(get(window, "/api/v1/hosts")), 401);
    assert_eq!(status(get(window, "/healthz")), 200);
    let welcome = get(window, &format!("/?token={TOKEN}")).expect("an answer");
    assert_eq!((welcome.status, welcome.header("Location")), (303, Some("/")));
    let cookie = welcome.header("Set-Cookie").and_then(|cookie| cookie.split(';').next());
    let headers = [("Host", "anything"), ("Cookie", cookie.expect("a cookie"))];
    let page = get_with(window, "/", &headers).expect("an answer");
    assert!(page.status == 200 && page.body.contains("<title>punchd</title>"), "{page:?}");
    let (_master, window) = start_with_window(&[]);
    assert_eq!(status(get_with(window, "/", &[("Host", "evil.example")])), 421);
    assert_eq!(status(get_with(window, "/window.js", &[("Host", "127.0.0.1:1")])), 200);
}

/// Others may run a server on the same machine.
#[test]
fn a_port_that_is_taken_is_no_reason_not_to_serve() {
    let (_first, window) = start_with_window(&[]);
    let second = Master::start(&["--http", &window.to_string()]);
    second.wait_for_log(&format!("the owner's window cannot open at http://{window}/: port "));
    let log = second.stop();
    assert!(log.contains("--http off"), "what to do: {log}");
}

/// Nobody who looks in, or tries to, keeps a player out.
#[test]
fn a_crowd_at_the_window_keeps_nobody_out() {
    let (master, window) = start_with_window(&["--max-connections", "16"]);
    let crowd: Vec<_> =
        (0..100).filter_map(|_| std::net::TcpStream::connect_timeout(&window, WAIT).ok()).collect();
    assert!(crowd.len() > 40, "{}", crowd.len());
    assert_eq!(get(window, "/healthz").expect("an answer").status, 200);
    let config = |_| HostConfig::new(master.addr()).on(loopback()).with_data(&["Pong"]);
    let hosts = (0..16).map(config).map(|config| Host::registered(config, WAIT));
    let hosts: Result<Vec<_>, _> = hosts.collect();
    let hosts = hosts.expect("all are registered");
    assert_eq!(hosts.len(), 16);
    let status = get(window, "/api/v1/status").expect("an answer").json();
    assert_eq!(status["connections"], 16);
}
