//! What has only begun, and what is known of a player before it is needed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use compat_tests::failing::{self, Nat, Peer};
use compat_tests::http::get;
use compat_tests::line_of_masters::Masters;
use compat_tests::master::loopback;
use compat_tests::raw;

use super::fixtures::{WAIT, answers_datagrams};
use super::relayed;

/// Reads until this has come.
#[track_caller]
fn hears(stream: &mut TcpStream, text: &str) {
    stream.set_read_timeout(Some(WAIT)).unwrap();
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&heard).contains(text) {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "no {text:?} in {:?}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&buffer[..length]);
    }
}

/// Nobody knows yet which dialect these speak, or what they want.
#[test]
fn connections_that_have_just_begun_go_on() {
    const LOGIN: &str =
        "{\"type\":\"request\",\"name\":\"login\",\"data\":{\"id\":\"ID\"},\"request_id\":1}\n";
    const LOBBY: &str = "GET /lobby HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut masters = Masters::start(&["--public-lobby"]);
    let asked = [("version\n", "\n"), (LOGIN, "udp_token"), (LOBBY, "")];
    let mut begun: Vec<(TcpStream, String, &str)> = Vec::new();
    for (request, answer) in asked {
        for sent in [0, 1, 3] {
            // One that is gone may be there for a moment still.
            let request = request.replace("ID", &format!("ann{sent}"));
            let (first, rest) = request.split_at(sent);
            let mut stream = raw::connect(masters.addr(), loopback());
            stream.write_all(first.as_bytes()).unwrap();
            begun.push((stream, rest.into(), answer));
        }
    }
    masters.succeed();
    masters.succeed();
    for (mut stream, rest, answer) in begun {
        // One of HTTP may have ended.
        let sent = stream.write_all(rest.as_bytes());
        match answer {
            "" => assert!(raw::read_to_end(&stream, WAIT).1),
            _ => {
                sent.unwrap();
                hears(&mut stream, answer);
            }
        }
    }
    assert_eq!(get(masters.addr(), "/lobby").unwrap().status, 200);
}

/// What the NATs do in front of two was seen before, so that the next process tells them of the relay at once.
#[test]
fn what_is_known_of_nats_goes_on() {
    let relay = loopback();
    let options = relayed::options(relay);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut masters = Masters::start(&options);
    let host = Peer::host(masters.first(), failing::address(90, 1), Nat::Symmetric, "Night");
    let away = Peer::host(masters.first(), failing::address(91, 1), Nat::Symmetric, "Away");
    masters.succeed();
    let alternate = masters.first().alternate_port().unwrap();
    assert!(answers_datagrams((masters.addr().ip(), alternate).into()), "the alternate port");
    let client = Peer::join(masters.first(), away.at().ip(), Nat::Unknown, &host.room, "");
    let _ = client.told_of(relay);
    let _ = host.told_of(relay);
}
