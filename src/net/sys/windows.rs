//! Windows.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::windows::io::AsHandle as _;
use std::path::Path;

use socket2::Socket;

use super::Request;
pub(crate) use super::not_linux::*;
pub(crate) use super::windows_service::{run_as_wanted, stop_service_by};

/// Errors of Winsock (winsock2.h), which the standard library has no names for.
const WSAEMFILE: i32 = 10024;
const WSAEAFNOSUPPORT: i32 = 10047;
const WSAENOBUFS: i32 = 10055;

/// mio asks the system about a socket once, and again only after an operation that would block.
pub(crate) const READS_END_IN_NOTHING: bool = true;

/// How long this process has used a CPU is not known here.
pub(crate) fn cpu_time() -> Option<std::time::Duration> {
    None
}

/// Sockets are told of in any order.
pub(crate) const EVENTS_IN_ORDER: bool = false;

/// What reads the certificate again, for `--help`.
pub(crate) const RELOADS: &str = "read at the start";

/// What opens the log file again, for `--help`.
pub(crate) const REOPENS: &str = "it may be renamed";

/// The same in a sentence.
pub(crate) const UNTIL_REOPENED: &str = "until that works";

/// An IPv6 socket calls IPv4 addresses of this machine as they are.
pub(super) const MAPS_OWN_IPV4: bool = false;

/// What shows the addresses of this machine.
pub(crate) const ADDRESSES: &str = "'ipconfig'";

/// Whether the system has no memory for this right now, so that it is worth trying again later.
pub(crate) fn is_memory_pressure(error: &io::Error) -> bool {
    error.raw_os_error() == Some(WSAENOBUFS)
}

/// Whether the system has no socket left.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    error.raw_os_error() == Some(WSAEMFILE)
}

/// Whether the system does not know this kind of address at all.
pub(crate) fn is_unknown_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(WSAEAFNOSUPPORT)
}

/// Why the system permits nobody to have a port, and what to do about it with this option.
pub(crate) fn no_permission(option: &str) -> String {
    format!(
        "another program has it for itself alone, or Windows keeps it for others ('netsh int ipv4 show \
         excludedportrange protocol=tcp', and protocol=udp, show which); use another one with {option}"
    )
}

/// Nothing lets a program have such a port.
pub(crate) fn or_permit(_: &Path) -> String {
    String::new()
}

/// There is no limit to raise.
pub(crate) fn how_to_raise(_: u64) -> String {
    "end other programs".into()
}

/// Connections of a server before this one are in nobody's way. The option that Unixes have for it
/// would let a second server take the port here.
pub(crate) fn allow_lingering(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Windows asks about a new program once, and not everybody says yes. Only for who reads it in a window.
pub(super) fn firewall_hint() -> Option<String> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let program = std::env::current_exe().unwrap_or_else(|_| "punchd.exe".into());
    Some(format!(
        "to let players through the Windows firewall, once, as administrator: netsh advfirewall firewall \
         add rule name=punchd dir=in action=allow program=\"{}\"",
        program.display()
    ))
}

/// There are no signals by which the owner could ask for anything.
#[derive(Debug)]
pub(crate) struct Signals;

impl Signals {
    pub(crate) fn hold() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn listen(self, _: impl Fn(Request) -> bool + Send + 'static) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn without_signals<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    work()
}

/// There is no limit but memory.
pub(crate) fn open_files() -> io::Result<(u64, u64)> {
    Ok((u64::MAX, u64::MAX))
}

pub(crate) fn allow_files(_: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Opens a file. A named pipe has no place among files here.
pub(crate) fn open_at_once(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

pub(crate) fn wait_from_now_on(_: &File) -> io::Result<()> {
    Ok(())
}

pub(crate) fn is_unread_pipe(_: &Path, _: &io::Error) -> bool {
    false
}

/// Whether an open file has another name by now, so that its own is free or means another file. That
/// one was made later, or has another length: nobody but this process writes to both.
pub(crate) fn was_renamed(file: &File, path: &Path) -> bool {
    let known = |file: Metadata| Some((file.created().ok()?, file.len()));
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => known(open) != known(named),
        (Ok(_), Err(error)) => error.kind() == io::ErrorKind::NotFound,
        (Err(_), _) => false,
    }
}

/// There is no journal.
pub(crate) fn is_standard_output(_: &str) -> bool {
    false
}

/// Whether there is such a folder. Whether files can be made there Windows tells only who makes one.
pub(crate) fn may_make_files(folder: &Path) -> io::Result<()> {
    folder.metadata().map(drop)
}

/// Whether standard error goes where standard output goes. Windows does not tell.
pub(crate) fn is_one_output() -> bool {
    false
}

/// Standard output without the buffer that Rust has for it.
pub(crate) fn standard_output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_that_was_renamed_is_told_from_one_that_was_not() {
        let folder = std::env::temp_dir().join(format!("punchd-renamed-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, other) = (folder.join("a.log"), folder.join("b.log"));
        let append = || OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let mut file = append();
        assert!(!was_renamed(&file, &path));
        file.write_all(b"line\n").unwrap();
        assert!(!was_renamed(&file, &path));
        fs::rename(&path, &other).unwrap();
        assert!(was_renamed(&file, &path), "its name is free");
        let new = append();
        assert!(was_renamed(&file, &path), "its name means another file");
        assert!(!was_renamed(&new, &path));
        drop((file, new));
        fs::remove_dir_all(&folder).unwrap();
    }
}
