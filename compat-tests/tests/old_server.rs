//! `punch` and the fixtures against a server that works as the old one: UDP and TCP in threads of their
//! own, one host and one client port for each address, and what PROTOCOL.md calls D1 and so on.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compat_tests::gmnet::{Client, ClientConfig, GAP, Host, HostConfig};
use compat_tests::master::loopback;

const WAIT: Duration = Duration::from_secs(10);

/// How long its UDP thread sleeps before it looks at a datagram: the request of a peer that does not wait
/// a step comes before it.
const UDP_IS_LATE: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Entry {
    port: u16,
    data: Vec<String>,
    control: Option<TcpStream>,
}

#[derive(Default)]
struct Tables {
    hosts: HashMap<IpAddr, Entry>,
    clients: HashMap<IpAddr, u16>,
}

type Shared = Arc<Mutex<Tables>>;

fn lock(tables: &Shared) -> std::sync::MutexGuard<'_, Tables> {
    tables.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the server, which ends with this process.
fn start() -> SocketAddr {
    let listener = TcpListener::bind((loopback(), 0)).expect("a port");
    let addr = listener.local_addr().expect("its address");
    let udp = UdpSocket::bind(addr).expect("the same port");
    let tables = Shared::default();
    let of_udp = Arc::clone(&tables);
    std::thread::spawn(move || read_datagrams(&udp, &of_udp));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tables = Arc::clone(&tables);
            std::thread::spawn(move || serve(stream, &tables));
        }
    });
    addr
}

fn read_datagrams(udp: &UdpSocket, tables: &Shared) {
    let mut buffer = [0; 1024];
    while let Ok((len, from)) = udp.recv_from(&mut buffer) {
        std::thread::sleep(UDP_IS_LATE);
        let word =
            String::from_utf8_lossy(buffer[..len].get(12..).unwrap_or_default()).into_owned();
        let mut tables = lock(tables);
        match word.trim_end_matches(['\0', '\n']) {
            "reg" => {
                let entry = tables.hosts.entry(from.ip()).or_default();
                entry.port = from.port();
                // D12: hides a host that has registered.
                entry.data.splice(..entry.data.len().min(1), ["<INV>".to_owned()]);
            }
            "connect" => _ = tables.clients.insert(from.ip(), from.port()),
            _ => {}
        }
    }
}

fn serve(stream: TcpStream, tables: &Shared) {
    let peer = stream.peer_addr().expect("its address").ip();
    let mut writer = stream.try_clone().expect("a copy");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut next = || lines.next().map(|line| line.trim_matches('\0').to_owned());
    let mut is_host = false;
    while let Some(word) = next() {
        let mut take = |n: usize| (0..n).filter_map(|_| next()).collect::<Vec<_>>();
        let answer = match word.as_str() {
            "reg2" => {
                let mut lines = take(9);
                let parts =
                    lines.first().map(|version| version.split('.').map(|n| n.parse::<u32>()));
                let parts: Vec<u32> = parts.into_iter().flatten().flatten().collect();
                if parts < vec![1, 2, 0] {
                    break;
                }
                let mut tables = lock(tables);
                let entry = tables.hosts.entry(peer).or_default();
                entry.control = writer.try_clone().ok();
                entry.data = lines.split_off(1);
                is_host = true;
                continue;
            }
            "connect" => connect(tables, peer, &take(1)),
            "lobby2" => lobby(tables, take(11).get(7).map_or("", String::as_str)),
            "version" => b"\xf61.2.5\n".to_vec(),
            "istesting" => b"\xf8\0".to_vec(),
            "testinginfos" => b"\xf7\0".to_vec(),
            _ => continue,
        };
        if writer.write_all(&answer).is_err() {
            break;
        }
    }
    if is_host {
        // D9: whichever connection of the address it is.
        lock(tables).hosts.remove(&peer);
    }
}

fn connect(tables: &Shared, client: IpAddr, asked: &[String]) -> Vec<u8> {
    let mut tables = lock(tables);
    // D4: the port of the client is forgotten with each question. D2: if it is not there, it is 0.
    let port = tables.clients.remove(&client).unwrap_or_default();
    let host = asked.first().and_then(|ip| ip.parse().ok()).and_then(|ip| tables.hosts.get(&ip));
    let Some(Entry { port: host_port, control: Some(control), .. }) = host else {
        return b"\xfe".to_vec();
    };
    // D1: no NUL at the end.
    let told =
        [b"\xff", client.to_string().as_bytes(), b"\0", port.to_string().as_bytes()].concat();
    let _ = (&*control).write_all(&told);
    [b"\xff", asked[0].as_bytes(), b"\0", host_port.to_string().as_bytes(), b"\0"].concat()
}

fn lobby(tables: &Shared, filter8: &str) -> Vec<u8> {
    let tables = lock(tables);
    let of = |entry: &Entry, n: usize| entry.data.get(n).cloned().unwrap_or_default();
    let listed = tables.hosts.iter().filter(|(_, entry)| {
        of(entry, 0) != "<INV>" && (filter8.is_empty() || of(entry, 7) == filter8)
    });
    let listed = listed.map(|(ip, entry)| {
        let data = (0..8).map(|n| format!(r#""data{}":"{}","#, n + 1, of(entry, n)));
        format!(r#"{{"ip":"{ip}",{}"createdTime":1}}"#, data.collect::<String>())
    });
    format!("\u{f9}[{}]\n", listed.collect::<Vec<_>>().join(",")).chars().map(|c| c as u8).collect()
}

fn punch(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    let output = command.args(args).stdin(Stdio::null()).output().expect("running punch");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Who compares the two servers is told what is a defect of the old one, and no more.
#[test]
fn the_probe_tells_the_defects_of_the_old_server_by_name() {
    let (master, own) = (start().to_string(), loopback().to_string());
    let (code, said) = punch(&["probe", &master, "--bind", &own, "--wait", "1"]);
    assert_eq!(code, Some(0), "{said}");
    let line = |name: &str| said.lines().find(|line| line.starts_with(name)).expect("its line");
    for name in ["TCP", "version", "lobby2", "reg2", "UDP and connect", "not found"] {
        assert!(line(name).contains(" works "), "{said}");
    }
    assert!(line("end of the host's message").contains("(D1)"), "{said}");
    assert!(line("two players at once").contains("(D"), "{said}");
    assert!(line("older protocol").contains("(D25)"), "{said}");
    for name in ["rooms", "events", "natpunch", "STUN"] {
        assert!(!line(name).contains("FAILS"), "{said}");
    }
    assert!(said.contains("GMnet GATE.PUNCH 1.2.5, does as well: see PROTOCOL.md"), "{said}");
}

/// As unmodified games do: the UDP packet comes a step before the request.
#[test]
fn hosts_and_clients_that_keep_the_gap_of_a_step_meet_every_time() {
    let master = start();
    for _ in 0..10 {
        let at = loopback();
        let config = HostConfig { gap: GAP, ..HostConfig::new(master).on(at) };
        let host = Host::registered(config, WAIT).expect("registering").spawn();
        let config = ClientConfig { gap: GAP, ..ClientConfig::new(master, at).on(loopback()) };
        let client = Client::join(config).expect("joining");
        assert_eq!(client.host().map(|host| host.ip()), Some(at));
        drop((client, host));
    }
    // Those that do not are told of port 0, which shows that the gap is what it needs.
    let at = loopback();
    let gap = Duration::ZERO;
    let host = Host::registered(HostConfig { gap, ..HostConfig::new(master).on(at) }, WAIT);
    let mut host = host.expect("registering");
    let config = ClientConfig { gap, ..ClientConfig::new(master, at).on(loopback()) };
    let timeout = Duration::from_millis(200);
    let _ = Client::look_up(ClientConfig { timeout, ..config });
    let is_told = host.run_until(WAIT, |host| !host.told().is_empty()).expect("hosting");
    assert!(is_told && host.told()[0].client.port() == 0, "{:?}", host.told());
}

#[test]
fn punch_host_and_punch_join_meet_there() {
    let (master, at, own) = (start().to_string(), loopback().to_string(), loopback().to_string());
    let mut host = Command::new(env!("CARGO_BIN_EXE_punch"));
    host.args(["host", "--master", &master, "--bind", &at, "--data1", "Old", "--for", "60"]);
    let mut host = host.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a host");
    let mut lines =
        BufReader::new(host.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("registered")));
    let (code, said) = punch(&["join", &at, "--master", &master, "--bind", &own]);
    let _ = host.kill();
    let _ = host.wait();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("data1=Old"), "{said}");
}

/// For comparing by hand: says where it is, and serves until it is stopped.
///
/// `cargo test -p compat-tests --test old_server -- --ignored --nocapture`
#[test]
#[ignore = "serves until it is stopped"]
fn stays_for_comparing_by_hand() {
    println!("PUNCH_MASTER={}", start());
    loop {
        std::thread::park();
    }
}
