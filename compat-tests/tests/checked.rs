//! What the owner is told of his options and files before and while the server runs: `--check`, the end of
//! the certificate, options that do nothing, and the log as JSON.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compat_tests::folder::Folder;
use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::master::{Master, binary, loopback};
use nix::sys::signal::Signal;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(20);

/// What `--check` prints, and the code with which it ends.
fn checked(args: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(binary());
    let output = command.arg("--check").args(args).env_remove("RUST_LOG").output();
    let output = output.expect("starting punchd");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).expect("UTF-8"), output.status.code())
}

/// Makes a certificate that ends so many days from now.
fn certificate(folder: &Folder, days: i64) -> [String; 2] {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    // The end of that day, as near as a test has to know it.
    let at = i64::try_from(unix / 86_400).expect("a day") + days;
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("names");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(at as u64 * 86_400);
    let key = KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    let paths = [folder.file("cert.pem"), folder.file("key.pem")];
    fs::write(&paths[0], made.pem()).expect("writing");
    fs::write(&paths[1], key.serialize_pem()).expect("writing");
    paths
}

#[test]
fn a_check_tells_what_would_be_served_though_the_port_is_taken() {
    let folder = Folder::new();
    let [cert, key] = certificate(&folder, 100);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let list = folder.file("blocked");
    fs::write(&list, "203.0.113.7\n").expect("the list");
    let log = folder.file("punchd.log");
    let (text, code) = checked(&[
        "--port",
        &port,
        "--bind",
        "0.0.0.0",
        "--key",
        "a,b",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--block",
        &list,
        "--log",
        &log,
        "--dialects",
        "gmnet,events",
    ]);
    assert_eq!(code, Some(0), "{text}");
    let first = text.lines().next().expect("a line");
    let begin = format!("would serve: on port {port} (TCP and UDP, address 0.0.0.0), up to ");
    assert!(first.starts_with(&begin), "{text}");
    assert!(
        first.contains("; 2 keys; only gmnet, events; with TLS, certificate until 20"),
        "{text}"
    );
    assert!(
        text.contains("would serve: all but 1 blocked addresses and networks (--block)"),
        "{text}"
    );
    assert!(text.ends_with("all is well\n"), "{text}");
    assert!(fs::metadata(&log).is_err(), "nothing is made");
}

#[test]
fn a_check_names_what_is_doubtful_and_what_is_wrong() {
    let folder = Folder::new();
    let [cert, key] = certificate(&folder, 3);
    let (text, code) =
        checked(&["--tls-cert", &cert, "--tls-key", &key, "--public-ip", "10.0.0.7"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("doubtful: the certificate in "), "{text}");
    assert!(
        text.contains("doubtful: --public-ip 10.0.0.7 is an address of a local network"),
        "{text}"
    );
    assert!(text.ends_with("it would start; 2 doubtful\n"), "{text}");
    let (text, code) = checked(&["--dialects", "stun", "--key", "a", "--bind", "127.0.0.1"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("doubtful: --key has no effect, as --dialects leaves out "), "{text}");
    assert!(text.contains("doubtful: only this machine can reach it (--bind)"), "{text}");

    let list = folder.file("blocked");
    fs::write(&list, "nonsense\n").expect("the list");
    let missing = folder.file("none/punchd.log");
    let (text, code) = checked(&[
        "--tls-cert",
        &cert,
        "--tls-key",
        &cert,
        "--block",
        &list,
        "--log",
        &missing,
        "--key-file",
        &folder.file("none"),
        "--bind",
        "192.0.2.1",
    ]);
    assert_eq!(code, Some(1), "{text}");
    for wrong in [
        "there is no private key in ",
        "line 1: \"nonsense\"",
        "cannot write the log file ",
        "cannot read ",
        "this machine has no address 192.0.2.1",
    ] {
        let is_named = text.lines().any(|line| line.starts_with("wrong: ") && line.contains(wrong));
        assert!(is_named, "{wrong}:\n{text}");
    }
    assert!(text.ends_with("it would not start: 5 wrong, 0 doubtful\n"), "{text}");
    for options in [&["--port", "x"][..], &["--quiet", "--verbose"]] {
        assert_eq!(checked(options).1, Some(1), "{options:?}");
    }
}

#[test]
fn a_certificate_that_ends_soon_or_has_ended_is_told_at_the_start_and_at_sighup() {
    let folder = Folder::new();
    let [cert, key] = certificate(&folder, 100);
    let master = Master::start(&["--tls-cert", &cert, "--tls-key", &key]);
    assert!(master.log().contains("; with TLS, certificate until 20"), "{}", master.log());
    certificate(&folder, 3);
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("the certificate in {cert} expires in "));
    assert_eq!(master.log().matches("expires in ").count(), 1, "{}", master.log());
    certificate(&folder, -3);
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("the certificate in {cert} has expired, on 20"));
    drop(master);
    let master = Master::start(&["--tls-cert", &cert, "--tls-key", &key]);
    master.wait_for_log(&format!("the certificate in {cert} has expired, on 20"));
}

#[test]
fn options_that_do_nothing_are_named_at_the_start() {
    let log = Master::start(&["--dialects", "rooms", "--lobby-ports", "--alt-port", "0"]).stop();
    assert!(
        log.contains("WARN  --lobby-ports has no effect, as --dialects leaves out gmnet"),
        "{log}"
    );
    assert!(log.contains("WARN  --alt-port has no effect, as --dialects leaves out stun"), "{log}");
}

/// The fixture reads the log as text, so this one goes to a file as well.
#[test]
fn each_line_of_a_log_in_json_is_an_object_with_the_same_names() {
    let folder = Folder::new();
    let file = folder.file("punchd.log");
    let master = Master::start(&["--log", &file, "--log-format", "json", "--games", "Pong"]);
    let evil = "\"}\u{1b}[1m\\\u{202e}";
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(&[evil]);
    assert!(Host::registered(config, WAIT).is_err());
    let log = [master.stop(), fs::read_to_string(&file).expect("the log")];
    for log in log {
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        let lines: Vec<Value> = lines.collect();
        assert!(lines.len() >= 4, "{log}");
        for line in &lines {
            let time = line["time"].as_str().expect("a time");
            assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
            assert!(["INFO", "WARN"].contains(&line["level"].as_str().expect("a level")), "{line}");
            assert!(line["message"].is_string(), "{line}");
        }
        let refused = lines.iter().find(|line| line["dialect"] == "gmnet").expect("a line");
        let address = refused["address"].as_str().expect("an address");
        let message = refused["message"].as_str().expect("a message");
        assert!(message.starts_with(&format!("{address} refused (gmnet): its game ")), "{message}");
        assert!(message.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{message}");
    }
}
