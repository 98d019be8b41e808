//! Who reads the log may hang: nobody waits for him.

use super::*;

/// A server whose log nobody may read, killed at the end of the test.
struct Unread(Child, SocketAddr);

impl Unread {
    /// Reads standard output until the server says where it listens, and no further.
    fn start(args: &[&str]) -> (Self, BufReader<ChildStdout>) {
        let mut command = Command::new(binary());
        command.args(["-v", "--port", "0"]).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starting");
        let mut log = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("listening on port ") {
            line.clear();
            assert!(log.read_line(&mut line).expect("its log") > 0, "it has ended");
        }
        let (_, rest) = line.split_once("listening on port ").expect("the port");
        let port = rest.split(' ').next().and_then(|port| port.parse().ok()).expect("a number");
        (Self(child, (Ipv4Addr::LOCALHOST, port).into()), log)
    }

    /// Causes more lines than a pipe holds, and gets all answers.
    fn is_served(&self) {
        let lines = "a lobby is one line with -v".len() * 2000;
        assert!(lines * 2 > 64 * 1024, "that would not be enough");
        let peer = raw::connect(self.1, loopback());
        for _ in 0..2000 {
            let request = compat_tests::gmnet::Query::default().request();
            assert!(raw::asks(&peer, &request, b'\n', WAIT), "no answer");
        }
    }

    /// It has to be gone within a second of SIGTERM.
    fn stops(mut self) {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM).expect("signalling");
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            match self.0.try_wait().expect("waiting") {
                Some(status) => return assert!(status.success(), "{status}"),
                None => assert!(Instant::now() < deadline, "it is still there"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nobody_waits_for_who_does_not_read_the_log() {
    let (server, _log) = Unread::start(&[]);
    server.is_served();
    server.stops();
}

#[test]
fn nobody_waits_for_a_log_file_that_takes_nothing() {
    let folder = Folder::new();
    let file = folder.file("fifo");
    assert!(Command::new("mkfifo").arg(&file).status().expect("mkfifo").success());
    // Nobody has opened it for reading, so that the server cannot even open it.
    let (server, _log) = Unread::start(&["--log", &file]);
    server.is_served();
    server.stops();
    // Or somebody has, and hangs.
    let _reader = read_pipe(&file);
    let (server, _log) = Unread::start(&["--log", &file]);
    server.is_served();
    kill(Pid::from_raw(server.0.id() as i32), Signal::SIGHUP).expect("signalling");
    server.is_served();
    server.stops();
}

/// Reads a named pipe, whether or not anybody has it open.
fn read_pipe(file: &str) -> fs::File {
    let flags = OFlag::O_NONBLOCK.bits();
    fs::OpenOptions::new().read(true).custom_flags(flags).open(file).expect("opening")
}

/// Waits until each of these texts has come out of a named pipe.
fn wait_in_pipe(pipe: &mut fs::File, texts: &[&str]) {
    let (deadline, mut all) = (Instant::now() + WAIT, Vec::new());
    while !texts.iter().all(|text| String::from_utf8_lossy(&all).contains(text)) {
        let came = String::from_utf8_lossy(&all);
        assert!(Instant::now() < deadline, "not all of {texts:?} came:\n{came}");
        // The server may not have opened it yet, or have nothing to say.
        let _ = pipe.read_to_end(&mut all);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_named_pipe_that_nobody_reads_is_named_as_such_and_its_lines_wait() {
    let folder = Folder::new();
    let file = folder.file("fifo");
    assert!(Command::new("mkfifo").arg(&file).status().expect("mkfifo").success());
    let mut command = Command::new(binary());
    command.args(["--port", "0", "--log", &file]);
    let master = Master::spawn(command);
    master.wait_for_log(&format!("log file {file} yet, its lines wait; nobody reads this named"));
    let asking = look_up(&master, loopback());
    master.signal(Signal::SIGHUP);
    let mut reader = read_pipe(&file);
    wait_in_pipe(&mut reader, &[&format!("{asking} asked"), "SIGHUP: reopening"]);

    // The same when it is opened again; what comes then goes to whoever reads it next.
    drop(reader);
    master.signal(Signal::SIGHUP);
    master
        .wait_for_log("it is a named pipe that nobody reads: start what reads it; until the next");
    let mut reader = read_pipe(&file);
    let asking = look_up(&master, loopback());
    wait_in_pipe(&mut reader, &[&format!("{asking} asked")]);
}
