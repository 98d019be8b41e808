//! Nodes whose NATS server asks for TLS and for credentials (`.creds`), as those for money do.
#![cfg(all(target_os = "linux", feature = "cluster"))]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::master::{Master, binary, loopback};
use compat_tests::skipped;
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(20);

/// A NATS server that takes only one user, and speaks TLS alone.
struct Secured {
    folder: PathBuf,
    port: u16,
    server: Child,
}

/// What `issuer` says of `subject`, as NATS has it: a JSON web token with an Ed25519 signature.
fn token(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let head = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let (issued_by, of) = (issuer.public_key(), subject.public_key());
    let claims =
        json!({"jti": "1", "iat": 1, "iss": issued_by, "sub": of, "name": "test", "nats": nats});
    let encode = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let text = format!("{}.{}", encode(&head), encode(&claims));
    let signature = issuer.sign(text.as_bytes()).expect("a signature");
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn credentials(account: &KeyPair, user: &KeyPair) -> String {
    let nats = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let (token, seed) = (token(account, user, &nats), user.seed().expect("a seed"));
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

/// One that nobody has now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The program, if it can be run.
fn program() -> Option<std::ffi::OsString> {
    let program = std::env::var_os("NATS_SERVER_BIN").unwrap_or_else(|| "nats-server".into());
    let mut version = Command::new(&program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        skipped::note("there is no nats-server in PATH, nor by NATS_SERVER_BIN");
        return None;
    }
    Some(program)
}

impl Secured {
    /// None if there is no such program here.
    fn start() -> Option<Self> {
        let program = program()?;
        let folder = std::env::temp_dir().join(format!("punchd-nats-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str| folder.join(name);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        fs::write(file("cert.pem"), made.cert.pem()).expect("writing");
        fs::write(file("key.pem"), made.signing_key.serialize_pem()).expect("writing");
        let [operator, account, user, stranger] = [
            KeyPair::new_operator(),
            KeyPair::new_account(),
            KeyPair::new_user(),
            KeyPair::new_user(),
        ];
        let of_operator = json!({"type": "operator", "version": 2});
        let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1});
        let of_account = json!({"type": "account", "version": 2, "limits": limits});
        fs::write(file("operator.jwt"), token(&operator, &operator, &of_operator))
            .expect("writing");
        fs::write(file("node.creds"), credentials(&account, &user)).expect("writing");
        // By an account that the operator does not know.
        let other = credentials(&KeyPair::new_account(), &stranger);
        fs::write(file("stranger.creds"), other).expect("writing");
        let port = free_port();
        let show = |name: &str| file(name).display().to_string();
        let config = format!(
            "listen: 127.0.0.1:{port}\noperator: {:?}\nresolver: MEMORY\n\
             resolver_preload: {{ {}: {:?} }}\ntls {{ cert_file: {:?}, key_file: {:?} }}\n",
            show("operator.jwt"),
            account.public_key(),
            token(&operator, &account, &of_account),
            show("cert.pem"),
            show("key.pem"),
        );
        fs::write(file("nats.conf"), config).expect("writing");
        let log = fs::File::create(file("nats.log")).expect("a log");
        let mut command = Command::new(program);
        command.arg("-c").arg(file("nats.conf")).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log);
        let server = command.spawn().expect("starting nats-server");
        let all = Self { folder, port, server };
        let end = Instant::now() + WAIT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let log = fs::read_to_string(all.folder.join("nats.log"));
            assert!(Instant::now() < end, "nats-server does not answer: {log:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(all)
    }

    fn node(&self, name: &str, credentials: Option<&str>, authority: &Path) -> Master {
        let mut command = Command::new(binary());
        command.args(["--port", "0", "--node", name]);
        command.args(["--cluster", &format!("tls://localhost:{}", self.port)]);
        let credentials = credentials.map(|name| self.folder.join(name));
        credentials.iter().for_each(|file| _ = command.arg("--cluster-creds").arg(file));
        command.env("SSL_CERT_FILE", authority);
        Master::spawn(command)
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn nodes_meet_by_tls_with_credentials() {
    let Some(nats) = Secured::start() else { return };
    let trusted = nats.folder.join("cert.pem");
    let [a, b] = ["a", "b"].map(|name| nats.node(name, Some("node.creds"), &trusted));
    a.wait_for_log("cluster: node b is there");
    let host = HostConfig::new(a.addr()).on(loopback()).with_data(&["Pong", "one"]);
    let host = Host::registered(host, WAIT).expect("registering");
    let lobby = || {
        let query = compat_tests::gmnet::Query::default();
        let lobby = compat_tests::gmnet::Lobby::fetch(b.addr(), Some(loopback()), &query, WAIT);
        lobby.expect("a lobby").entries.len()
    };
    let end = Instant::now() + WAIT;
    while lobby() != 1 {
        assert!(Instant::now() < end, "{}", b.log());
    }
    drop(host);
    // Who does not show them is told so, and serves its own players.
    for (name, credentials) in [("c", None), ("d", Some("stranger.creds"))] {
        let node = nats.node(name, credentials, &trusted);
        node.wait_for_log("cluster: NATS says: client error: nats: authorization violation");
        let log = node.stop();
        assert!(!log.contains("is there"), "{log}");
    }
    // And a server that is not trusted gets nothing.
    let node = nats.node("e", Some("node.creds"), Path::new("/dev/null"));
    node.wait_for_log("cluster: NATS says: client error: nats: IO error");
    let log = node.stop();
    assert!(!log.contains("is there"), "{log}");
}

#[test]
fn a_check_finds_credentials_that_are_none() {
    if !cfg!(feature = "cluster") {
        return skipped::note("this was built without --features cluster");
    }
    let file = std::env::temp_dir().join(format!("punchd-no-creds-{}", std::process::id()));
    fs::write(&file, "nothing of that kind").expect("writing");
    let mut command = Command::new(compat_tests::master::binary());
    command.args(["--check", "--port", "0", "--http", "off", "--cluster", "a", "--node", "a"]);
    let output = command.arg("--cluster-creds").arg(&file).output().expect("starting punchd");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    fs::remove_file(&file).expect("removing");
    assert!(text.contains(&format!("cannot use --cluster-creds {}: ", file.display())), "{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
}

#[test]
fn a_user_and_a_password_stand_in_the_address() {
    let Some(program) = program() else { return };
    let port = free_port();
    let mut command = Command::new(program);
    command.args([
        "-a",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "--user",
        "punchd",
        "--pass",
        "word",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = command.spawn().expect("starting nats-server");
    let node = |password: &str| {
        let url = format!("nats://punchd:{password}@127.0.0.1:{port}");
        Master::start(&["--cluster", &url, "--node", "a"])
    };
    node("word").wait_for_log("cluster: connected to NATS");
    node("other").wait_for_log("authorization violation");
    let _ = server.kill();
    let _ = server.wait();
}
