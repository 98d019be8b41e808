//! Files of the log: where it goes, and what is lost on a full disk.

use super::*;

#[test]
fn a_quiet_server_still_fills_its_file_behind_what_was_there() {
    for (env, args) in [(("PUNCHD_TESTING", "0"), ["-q"]), (("PUNCHD_QUIET", "1"), ["--testing"])] {
        let folder = Folder::new();
        let file = folder.file("punchd.log");
        fs::write(&file, "an older line\n").expect("writing");
        let master = logging_to(&file, &[env], &args);
        look_up(&master, loopback());
        assert_eq!(master.stop(), "", "nothing on standard output");
        let log = fs::read_to_string(&file).expect("the log");
        let (older, log) = log.split_once('\n').expect("lines");
        assert_eq!(older, "an older line");
        assert!(log.lines().all(has_time_and_level), "{log}");
        for text in ["listening on port", "not found: ", "stopped"] {
            assert_eq!(log.matches(text).count(), 1, "{text}\n{log}");
        }
    }
}

#[test]
fn the_file_and_verbosity_by_environment() {
    let folder = Folder::new();
    let file = folder.file("punchd.log");
    let mut command = Command::new(binary());
    command.args(["--port", "0"]).env("PUNCHD_LOG", &file).env("PUNCHD_VERBOSE", "1");
    let master = Master::spawn(command);
    look_at_lobby(&master);
    let log = master.stop();
    assert!(log.contains("DEBUG") && log.contains("was told of 0 hosts in the lobby"), "{log}");
    assert_eq!(fs::read_to_string(&file).expect("the log").trim_end(), log);

    let normal = Master::start(&[]);
    look_at_lobby(&normal);
    let log = normal.stop();
    assert!(!log.contains("DEBUG"), "details only if asked for:\n{log}");
}

#[test]
fn logrotate_loses_no_line() {
    let folder = Folder::new();
    let (file, rotated) = (folder.file("punchd.log"), folder.file("punchd.log.1"));
    let master = logging_to(&file, &[], &[]);
    look_up(&master, loopback());
    fs::rename(&file, &rotated).expect("renaming");
    let before = look_up(&master, loopback());
    // Until SIGHUP it is the old file.
    wait_for_line(&rotated, &format!("{before} asked"));

    master.signal(Signal::SIGHUP);
    let deadline = Instant::now() + WAIT;
    while !fs::exists(&file).expect("looking") {
        assert!(Instant::now() < deadline, "no new file; the log:\n{}", master.log());
        std::thread::sleep(Duration::from_millis(2));
    }
    let after = look_up(&master, loopback());
    let log = master.stop();
    let (old, new) = (fs::read_to_string(&rotated), fs::read_to_string(&file));
    let (old, new) = (old.expect("the old file"), new.expect("the new file"));
    assert!(new.contains(&format!("{after} asked")), "{new}");
    assert!(!old.contains(&format!("{after} asked")), "{old}");
    assert_eq!((old + &new).trim_end(), log, "every line once, in the order of standard output");
}

#[test]
fn the_log_goes_on_when_the_new_file_cannot_be_made() {
    let folder = Folder::new();
    let logs = folder.file("logs");
    fs::create_dir(&logs).expect("making a folder");
    let file = format!("{logs}/punchd.log");
    let master = logging_to(&file, &[], &[]);
    let moved = folder.file("moved");
    fs::rename(&logs, &moved).expect("renaming");
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("WARN  cannot write the log file {file}: "));
    let asking = look_up(&master, loopback());
    let log = master.stop();
    assert!(
        log.contains("make its folder first; until the next SIGHUP logging continues"),
        "{log}"
    );
    let kept = fs::read_to_string(format!("{moved}/punchd.log")).expect("the log");
    assert!(kept.contains(&format!("{asking} asked")), "{kept}");
    // Two threads say something, and no order of theirs is promised.
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&kept), sorted(&log));
}

/// A server whose log file has a disk that is full.
fn logging_to_a_full_disk(file: &str) -> Master {
    symlink("/dev/full", file).expect("linking");
    let mut command = Command::new(binary());
    command.args(["--port", "0", "--log", file]);
    let master = Master::spawn(command);
    master.wait_for_log(&format!("ERROR cannot write the log file {file}: No space left"));
    master
}

/// How many lines are lost, as the log tells between these texts.
fn lost(log: &str, before: &str, behind: &str) -> usize {
    let count = |line: &str| line.split_once(before)?.1.strip_suffix(behind)?.parse().ok();
    log.lines().find_map(count).expect("a count")
}

#[test]
fn a_full_disk_is_told_once_and_what_is_lost_is_counted() {
    let folder = Folder::new();
    let file = folder.file("punchd.log");
    let master = logging_to_a_full_disk(&file);
    let failures = |log: &str| log.matches("cannot write the log file").count();
    for _ in 0..5 {
        look_up(&master, loopback());
    }
    assert_eq!(failures(&master.log()), 1, "{}", master.log());
    // Whoever asks for it to be opened again wants to know.
    master.signal(Signal::SIGHUP);
    let deadline = Instant::now() + WAIT;
    while failures(&master.log()) < 2 {
        assert!(Instant::now() < deadline, "{}", master.log());
        std::thread::sleep(Duration::from_millis(2));
    }
    fs::remove_file(&file).expect("unlinking");
    master.signal(Signal::SIGHUP);
    master.wait_for_log("is written again");
    let asking = look_up(&master, loopback());
    let log = master.stop();
    assert_eq!(failures(&log), 2, "{log}");
    let kept = fs::read_to_string(&file).expect("the log");
    assert!(kept.lines().all(has_time_and_level) && kept.contains(&format!("{asking} asked")));
    let lost = lost(&log, &format!("the log file {file} is written again; "), " lines are lost");
    assert!(lost > 6, "{log}");
    assert_eq!(lost + kept.lines().count(), log.lines().count(), "{log}\n\n{kept}");
}

#[test]
fn lines_that_a_full_disk_lost_are_counted_at_the_end() {
    let folder = Folder::new();
    let file = folder.file("punchd.log");
    let master = logging_to_a_full_disk(&file);
    look_up(&master, loopback());
    let log = master.stop();
    let behind = format!(" lines are lost: the log file {file} could not be written");
    let lost = lost(&log, "WARN  ", &behind);
    assert_eq!(lost + 1, log.lines().count(), "{log}");
}

#[test]
fn a_console_that_takes_nothing_is_told_in_the_file() {
    let folder = Folder::new();
    let file = folder.file("punchd.log");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("opening");
    let mut command = Command::new(binary());
    command.args(["--port", "0", "--log", &file]).stdout(full);
    let mut server = command.spawn().expect("starting");
    let deadline = Instant::now() + WAIT;
    let said = "ERROR cannot write the log to standard output: No space left";
    let log = || fs::read_to_string(&file).unwrap_or_default();
    while !log().contains(said) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    kill(Pid::from_raw(server.id() as i32), Signal::SIGTERM).expect("signalling");
    assert!(server.wait().expect("waiting").success());
    assert_eq!(log().matches(said).count(), 1, "{}", log());
    let behind = " lines are lost: the log to standard output could not be written";
    assert!(lost(&log(), "WARN  ", behind) > 1, "{}", log());
}

/// Both places of the log may be on the disk that is full.
#[test]
fn what_goes_wrong_with_the_log_is_said_on_standard_error_once() {
    let folder = Folder::new();
    let file = folder.file("punchd.log");
    symlink("/dev/full", &file).expect("linking");
    let mut command = Command::new(binary());
    command.args(["--port", "0", "--log", &file]).env_remove("RUST_LOG");
    let mut server =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starting");
    let mut log = BufReader::new(server.stdout.take().expect("piped")).lines();
    let mut wait_for = |text: &str| {
        let found = log.find(|line| line.as_ref().is_ok_and(|line| line.contains(text)));
        found.expect("the line").expect("text")
    };
    let pid = Pid::from_raw(server.id().cast_signed());
    wait_for("ERROR cannot write the log file");
    // It is tried again, and fails again.
    kill(pid, Signal::SIGHUP).expect("signalling");
    wait_for("ERROR cannot write the log file");
    fs::remove_file(&file).expect("unlinking");
    fs::create_dir(&file).expect("a folder in its place");
    for _ in 0..2 {
        kill(pid, Signal::SIGHUP).expect("signalling");
        wait_for("logging continues in the old file");
    }
    kill(pid, Signal::SIGTERM).expect("signalling");
    assert!(server.wait().expect("waiting").success());
    let mut errors = String::new();
    server.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
    let lines: Vec<&str> = errors.lines().collect();
    let begins =
        |line: &str| line.starts_with(&format!("punchd: cannot write the log file {file}: "));
    assert!(lines.len() == 2 && lines.iter().all(|line| begins(line)), "{errors}");
    assert!(lines[0].contains("No space left") && lines[1].contains("directory"), "{errors}");
}

#[test]
fn sighup_says_only_what_it_does() {
    let master = Master::start(&[]);
    master.signal(Signal::SIGHUP);
    master.wait_for_log("SIGHUP: nothing to do");
    assert!(!master.log().contains("reopening"), "{}", master.log());
}

#[test]
fn rust_log_wins_over_quiet_and_verbose() {
    let mut quiet = Command::new(binary());
    quiet.args(["--port", "0", "--quiet"]).env("RUST_LOG", "info");
    let _shows_where_it_listens = Master::spawn(quiet);

    let folder = Folder::new();
    let file = folder.file("punchd.log");
    let master = logging_to(&file, &[("RUST_LOG", "punchd=info")], &["-v"]);
    look_at_lobby(&master);
    let log = master.stop();
    assert!(log.contains("INFO") && !log.contains("DEBUG"), "{log}");
    assert_eq!(fs::read_to_string(&file).expect("the log").trim_end(), log);
}

/// Whatever is started below a service inherits the variable, and what it writes elsewhere has its time.
#[test]
fn lines_have_their_times_where_the_output_is_not_that_of_the_journal() {
    let mut command = Command::new(binary());
    command.args(["--port", "0"]).env("JOURNAL_STREAM", "1:1");
    let log = Master::spawn(command).stop();
    assert!(log.lines().all(has_time_and_level), "{log}");
}
