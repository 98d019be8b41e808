//! Which program has a port, as far as Linux lets us see: for the error message only.

use std::fmt;
use std::fs;
use std::path::Path;

/// A process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: u32,
    name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' (process {})", self.name, self.pid)
    }
}

/// The process that has this port open for listening; none if the system does not tell, as for
/// other users' processes.
pub(crate) fn owner_of_port(port: u16, tcp: bool) -> Option<Owner> {
    let tables = if tcp { ["tcp", "tcp6"] } else { ["udp", "udp6"] };
    let inode = tables.iter().find_map(|table| {
        let text = fs::read_to_string(Path::new("/proc/net").join(table)).ok()?;
        text.lines().skip(1).find_map(|line| inode_of(line, port, tcp))
    })?;
    let link = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == &*link))?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(Owner { pid, name: name.trim().to_string() })
    })
}

/// Reads a line of `/proc/net/tcp` or its like: number, local address, remote address, state,
/// ..., inode in tenth place.
fn inode_of(line: &str, port: u16, tcp: bool) -> Option<u64> {
    const LISTENING: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let listens = !tcp || *fields.get(3)? == LISTENING;
    let inode = fields.get(9)?.parse().ok()?;
    (listens && u16::from_str_radix(local, 16) == Ok(port)).then_some(inode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, UdpSocket};

    #[test]
    fn the_process_that_has_a_port_is_named() {
        let (tcp, udp) = (
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
        );
        for (addr, is_tcp) in [(tcp.local_addr(), true), (udp.local_addr(), false)] {
            let owner = owner_of_port(addr.unwrap().port(), is_tcp).unwrap();
            assert_eq!(owner.pid, std::process::id());
        }
    }
}
