//! Events by WebSocket: of a page in a real browser, of Node where that has WebSocket, and of `punch events`.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use compat_tests::events::{EventClient, EventError, Tls};
use compat_tests::folder::Folder;
use compat_tests::master::{Master, loopback};
use compat_tests::{raw, skipped};
use rcgen::generate_simple_self_signed;
use serde_json::json;

const WAIT: Duration = Duration::from_secs(20);

/// A browser takes a while to start.
const WITHIN: Duration = Duration::from_secs(120);

const SCRIPT: &str = include_str!("../clients/web.js");

/// The first of these commands that runs with these arguments.
fn found<'a>(commands: &[&'a [&'a str]], check: &[&str]) -> Option<&'a [&'a str]> {
    let runs = |command: &&&[&str]| {
        let mut process = Command::new(command[0]);
        process.args(&command[1..]).args(check).stdout(Stdio::null()).stderr(Stdio::null());
        process.status().is_ok_and(|status| status.success())
    };
    commands.iter().find(runs).copied()
}

/// Serves a page with the script, and tells what that says in the end.
fn serve(urls: &[String]) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("its address");
    let page = format!(
        "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><script>{SCRIPT}\n\
         exchange({}).catch(String).then((said) => fetch('/said', {{method: 'POST', body: said}}));\
         </script>",
        json!(urls)
    );
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let (mut asked, mut length) = (String::new(), 0);
            let _ = reader.read_line(&mut asked);
            for line in reader.by_ref().lines().map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(": ")
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.parse().unwrap_or(0);
                }
            }
            let mut said = vec![0; length];
            let _ = reader.read_exact(&mut said);
            if asked.starts_with("POST /said ") {
                let _ = tell.send(String::from_utf8_lossy(&said).into_owned());
            }
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{page}",
                page.len()
            );
        }
    });
    (at, told)
}

/// Of servers: one that is not there, then one that is.
fn urls(there: &Master) -> Vec<String> {
    let nobody = SocketAddr::from((loopback(), 6510));
    [nobody, there.addr()].map(|at| format!("ws://{at}/events")).to_vec()
}

#[test]
fn two_peers_of_a_page_exchange_passes_and_requests() {
    let browsers: &[&[&str]] = &[&["chromium"], &["chromium-browser"], &["google-chrome"]];
    let Some(browser) = found(browsers, &["--version"]) else {
        return skipped::note("there is no chromium");
    };
    let master = Master::start(&[]);
    let (page, told) = serve(&urls(&master));
    let folder = Folder::new();
    let mut child = Command::new(browser[0])
        // Without a sandbox, as tests may be run by root, for whom it has none. With a port for debuggers it
        // stays until it is ended.
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", folder.file("profile")))
        .arg(format!("http://{page}/"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starting the browser");
    let said = told.recv_timeout(WITHIN);
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(said.as_deref(), Ok("all arrived"));
    let log = master.stop();
    assert!(log.contains("\"ben\"") && log.contains("made the room"), "{log}");
}

#[test]
fn two_peers_of_node_do_so_too() {
    const HAS: [&str; 2] = ["-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"];
    let nodes: &[&[&str]] = &[&["node"], &["node", "--experimental-websocket"]];
    let Some(node) = found(nodes, &HAS) else {
        return skipped::note("there is no node, or it has no WebSocket (20.10 or later has)");
    };
    let master = Master::start(&[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/web.js");
    let mut command = Command::new(node[0]);
    command.args(&node[1..]).arg(script).args(urls(&master));
    let output = command.output().expect("running node");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert_eq!(said[0].trim_end(), "all arrived", "{said:?}");
}

/// Who has an older Node, or gives no address, is told so.
#[test]
fn the_page_says_in_node_what_it_needs() {
    let Some(node) = found(&[&["node"]], &["--version"]) else {
        return skipped::note("there is no node");
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/web.js");
    let run = |before: &[&str], more: &[&str]| {
        let mut command = Command::new(node[0]);
        let output = command.args(before).arg(script).args(more).output().expect("running node");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        said
    };
    assert!(run(&[], &[]).starts_with("usage: node web.js ws://"));
    let folder = Folder::new();
    let without = folder.file("without.js");
    std::fs::write(&without, "delete globalThis.WebSocket").expect("writing");
    let said = run(&["-r", &without], &["ws://127.0.0.1:1/events"]);
    assert!(said.contains("has no WebSocket: use Node 22"), "{said}");
}

/// A server with a certificate, and who trusts it.
fn encrypted(folder: &Folder) -> (Master, Tls) {
    let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.file(name));
    std::fs::write(&cert, made.cert.pem()).expect("writing");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writing");
    let master = Master::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let tls = Tls::trusting(cert.as_ref(), "localhost").expect("trusted");
    (master, tls)
}

#[test]
fn pages_and_programs_meet_with_tls_and_without() {
    let folder = Folder::new();
    let (master, tls) = encrypted(&folder);
    let connect = [EventClient::connect, EventClient::connect_web];
    let mut all: Vec<EventClient> = Vec::new();
    for (n, tls) in [None, Some(&tls)].into_iter().flat_map(|tls| [(0, tls), (1, tls)]) {
        let mut client = connect[n](master.addr(), tls).expect("connecting");
        client.login(&format!("p{}", all.len()), "").expect("logged in");
        all.push(client);
    }
    for from in 0..4 {
        for to in (0..4).filter(|to| *to != from) {
            let data = json!({"from": from, "text": "x".repeat(40_000)});
            all[from].pass(Some(&format!("p{to}")), "hello", data.clone()).expect("sent");
            let pass = all[to].wait_for("hello", WAIT).expect("it arrives");
            assert_eq!((pass.from, pass.data), (Some(format!("p{from}")), data));
        }
    }
    let made = all[1].make_room(json!({"name": "Of a page"})).expect("a room");
    let joined = all[0].join_room(&made.room);
    joined.expect("a place");
}

#[test]
fn it_is_not_there_without_events_and_says_what_it_is_with_them() {
    let master = Master::start(&[]);
    let mut stream = raw::connect(master.addr(), loopback());
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").expect("sending");
    let (answer, has_ended) = raw::read_to_end(&stream, WAIT);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(has_ended && answer.starts_with("HTTP/1.1 426 "), "{answer}");
    let master = Master::start(&["--dialects", "gmnet,stun"]);
    let refused = EventClient::connect_web(master.addr(), None).expect_err("refused");
    assert!(matches!(refused, EventError::Socket { .. }), "{refused}");
}

#[test]
fn the_bounds_of_connections_hold_for_pages() {
    let master = Master::start(&["--max-per-address", "3"]);
    let mut pages: Vec<EventClient> = Vec::new();
    for n in 0..3 {
        let mut page = EventClient::connect_web(master.addr(), None).expect("connecting");
        page.login(&format!("p{n}"), "").expect("logged in");
        pages.push(page);
    }
    assert!(EventClient::connect_web(master.addr(), None).is_err(), "the fourth of an address");
    // Who says goodbye makes room.
    pages.clear();
    let deadline = Instant::now() + WAIT;
    while EventClient::connect_web(master.addr(), None).is_err() {
        assert!(Instant::now() < deadline, "there is no room again");
    }
}

#[test]
fn punch_events_comes_by_websocket() {
    let master = Master::start(&[]);
    let server = master.addr().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.args(["events", "--ws", "--id", "ann", "--master", &server]);
    command.args(["--do", "create Tower 4", "--do", "rooms"]);
    let output = command.output().expect("running punch");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("logged in as ann"), "{output:?}");
    assert!(said.contains("Tower"), "{said}");
    assert!(master.stop().contains("logged in as \"ann\""));
}
