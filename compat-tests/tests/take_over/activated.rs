//! Beneath a service manager, which watches over the process and may have opened its sockets.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use compat_tests::activated::{activated, sockets};
use compat_tests::folder::Folder;
use compat_tests::line_of_masters::Masters;
use compat_tests::master::{binary, loopback};
use compat_tests::raw;

use super::fixtures::{WAIT, answers, answers_datagrams};

/// What the service manager is told.
struct Manager {
    folder: Folder,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = Folder::new();
        let socket = UnixDatagram::bind(folder.file("notify")).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        Self { folder, socket }
    }

    fn watches(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.folder.file("notify"));
    }

    fn hears(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    }

    /// The one that serves has begun: it is ready, and who it is was told before.
    #[track_caller]
    fn hears_of(&self, masters: &Masters) {
        assert_eq!(self.hears(), format!("MAINPID={}", masters.pid()));
        assert_eq!(self.hears(), "READY=1");
    }
}

#[test]
fn the_service_manager_is_told_who_goes_on() {
    let manager = Manager::new();
    let mut command = Command::new(binary());
    manager.watches(command.args(["--port", "0"]));
    let mut masters = Masters::spawn(command);
    assert_eq!(manager.hears(), "READY=1");
    for _ in 0..2 {
        masters.succeed();
        manager.hears_of(&masters);
    }
}

/// Which socket a descriptor of a process is, as the system names it.
fn socket_of(process: &str, descriptor: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/{process}/fd/{descriptor}")).ok()?;
    Some(link.to_string_lossy().into_owned()).filter(|name| name.starts_with("socket:"))
}

/// All sockets that a process has.
fn sockets_of(process: u32) -> Vec<String> {
    let all = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| socket_of(&process.to_string(), &name)).collect()
}

#[test]
fn sockets_of_the_service_manager_go_on() {
    let (tcp, udp) = sockets();
    let own = |descriptor: i32| socket_of("self", &descriptor.to_string()).unwrap();
    let given = [own(tcp.as_raw_fd()), own(udp.as_raw_fd())];
    let manager = Manager::new();
    let mut command = activated(&tcp, Some(&udp));
    // These are void, as the sockets are where they are.
    command.env("PUNCHD_PORT", "7").env("PUNCHD_BIND", "127.0.0.9");
    manager.watches(&mut command);
    let mut masters = Masters::watch(command);
    assert_eq!(manager.hears(), "READY=1");
    let at = tcp.local_addr().unwrap();
    let kept = raw::connect(at, loopback());
    for _ in 0..3 {
        masters.succeed();
        manager.hears_of(&masters);
        let has = sockets_of(masters.pid());
        assert!(given.iter().all(|socket| has.contains(socket)), "{given:?} are not among {has:?}");
        assert!(answers(&kept) && answers(&raw::connect(at, loopback())) && answers_datagrams(at));
    }
    drop((tcp, udp));
    let log = masters.end();
    assert!(!log.contains("is lost") && !log.contains("cannot listen"), "{log}");
    assert_eq!(log.matches(&format!("listening on port {}", at.port())).count(), 4, "{log}");
}
