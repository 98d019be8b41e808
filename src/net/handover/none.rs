//! On systems where no process can take the place of another one yet.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Child;
use std::time::Duration;

use log::warn;

use super::{NOT_YET, Taken};
use crate::net::EventLoop;

/// Nobody asks.
#[derive(Debug)]
pub struct HandoverListener(Infallible);

impl HandoverListener {
    /// Opens nothing.
    ///
    /// # Errors
    /// Never.
    pub fn open(
        _: SocketAddr,
        _: Option<Infallible>,
        _: bool,
        _: &Successor,
    ) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(in crate::net) fn next_look(&self) -> Option<Duration> {
        match self.0 {}
    }

    pub(in crate::net) fn on_readable(&mut self) {
        match self.0 {}
    }

    pub(in crate::net) fn look(&mut self) {
        match self.0 {}
    }

    pub(in crate::net) fn close(&mut self) {
        match self.0 {}
    }
}

/// There is no process that comes after this one.
#[derive(Clone, Copy, Debug)]
pub struct Successor;

impl Successor {
    /// There is none.
    #[must_use]
    pub const fn of_process() -> Self {
        Self
    }

    pub(in crate::net) fn start(&self, _: SocketAddr) -> Option<io::Result<Child>> {
        Some(Err(io::Error::other(NOT_YET)))
    }
}

/// Nobody offers anything.
#[derive(Debug)]
pub struct Offer(Infallible);

impl Offer {
    /// Asks nobody.
    ///
    /// # Errors
    /// If somebody is to be asked: that this cannot be.
    pub fn ask(places: &[SocketAddr]) -> Result<Option<Self>, String> {
        if places.is_empty() { Ok(None) } else { Err(NOT_YET.into()) }
    }

    /// There is none.
    #[must_use]
    pub fn is_activated(&self) -> bool {
        match self.0 {}
    }

    /// There is none.
    #[must_use]
    pub fn connections(&self) -> usize {
        match self.0 {}
    }

    /// There is none.
    #[must_use]
    pub fn games(&self) -> Vec<SocketAddr> {
        match self.0 {}
    }

    /// There is none.
    pub fn tcp(&mut self, _: SocketAddr) -> Option<(SocketAddr, TcpListener)> {
        match self.0 {}
    }

    /// There is none.
    pub fn udp(&mut self, _: SocketAddr) -> Option<(SocketAddr, UdpSocket)> {
        match self.0 {}
    }

    /// There is none.
    pub fn alternate(&mut self, _: SocketAddr) -> Option<(SocketAddr, UdpSocket)> {
        match self.0 {}
    }

    /// There is none.
    pub fn window(&mut self, _: SocketAddr) -> Option<(SocketAddr, TcpListener)> {
        match self.0 {}
    }

    /// There is none.
    pub fn relay(&mut self, _: SocketAddr) -> Option<(SocketAddr, UdpSocket)> {
        match self.0 {}
    }

    /// There is none.
    pub fn handover_listener(&mut self, _: SocketAddr) -> Option<Infallible> {
        match self.0 {}
    }
}

impl EventLoop {
    /// There is no listener.
    ///
    /// # Errors
    /// Never.
    pub fn listen_for_handover(&mut self, handover: HandoverListener) -> io::Result<()> {
        match handover.0 {}
    }

    /// There is no offer.
    ///
    /// # Errors
    /// Never.
    pub fn take_over(&mut self, offer: Offer) -> Result<Taken, String> {
        match offer.0 {}
    }

    pub(in crate::net) fn note_successors(&mut self, all: Vec<io::Result<Child>>) {
        for error in all.into_iter().filter_map(Result::err) {
            warn!("SIGUSR2: {error}");
        }
    }

    pub(in crate::net) fn accept_handover(&mut self) {}

    pub(in crate::net) fn hand_over(&mut self) -> bool {
        false
    }
}
