//! What Linux alone has, for the systems that do without it.

use std::io;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

use super::Handed;
use crate::net::bind::set_keepalive;

/// Sets what accepted connections inherit, besides what every system knows.
pub(crate) fn prepare_listener(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}

/// Connections may not have what the listener has.
pub(crate) fn prepare_accepted(stream: &TcpStream, ghost: Duration) {
    // It is lost by now if these fail, or has to do without them.
    let _ = stream.set_nodelay(true);
    set_keepalive(&SockRef::from(stream), ghost);
}

/// How much memory this process has is not known here.
pub(crate) fn memory() -> Option<u64> {
    None
}

/// Threads have no priority of their own here that is worth it.
pub(crate) fn lower_priority() -> io::Result<()> {
    Ok(())
}

/// How long a connection has waited and its round trip are not known here.
pub(crate) fn age(_: &TcpStream) -> (Duration, Duration) {
    Default::default()
}

/// Not known here.
pub(crate) fn owner_of_port(_: u16, _: bool) -> Option<&'static str> {
    None
}

/// There is no socket activation.
pub(crate) fn handed() -> Handed {
    Handed::default()
}

pub(crate) fn notify_ready() -> io::Result<()> {
    Ok(())
}
