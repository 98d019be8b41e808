//! Refusals that honest players suffer, as behind the NAT of a mobile provider, who share one address: a
//! line of the log a minute for each reason and address, with the option that helps.

use std::net::IpAddr;

use log::info;

use super::Reason;
use crate::clock::Now;
use crate::dialect::Name;
use crate::timers::AddressLogThrottle;

/// When each was told last.
#[derive(Debug, Default)]
pub(super) struct Hints([AddressLogThrottle; Reason::ALL.len()]);

impl Hints {
    /// Says that something was refused, if no other line does.
    pub(super) fn say(&mut self, now: Now, speaks: Name, reason: Reason, addr: IpAddr) {
        let Some(why) = why(speaks, reason) else { return };
        let seldom = self.0.get_mut(reason as usize);
        if let Some(before) = seldom.and_then(|seldom| seldom.say(now.instant, addr)) {
            info!(
                dialect:% = speaks, event = "refused", address:% = addr, reason = reason.name();
                "{addr} refused ({speaks}): {why}{before}"
            );
        }
    }
}

/// What it is and what helps. Other reasons have lines of their own where they are found, or are nobody's
/// who is honest.
fn why(speaks: Name, reason: Reason) -> Option<&'static str> {
    match (reason, speaks) {
        (Reason::ConnectionsOfAddress, Name::Rooms) => Some(
            "its address has as many players in rooms as it may have; allow more with --max-per-address",
        ),
        (Reason::HostsOfAddress, Name::Rooms | Name::Events) => {
            Some("its address has as many rooms as it may have; allow more with --max-hosts")
        }
        (Reason::Requests, Name::Rooms) => {
            Some("its address takes places in rooms too fast; its players have to try again")
        }
        (Reason::Places, Name::Natpunch) => {
            Some("its address or the server has as many clients or lobbies as it may have")
        }
        (Reason::Data, Name::Rooms | Name::Events) => {
            Some("its address has more data of rooms than it may have; its games should send less")
        }
        (Reason::Guesses, _) => {
            Some("somebody there has guessed codes or passwords wrong too often, and has to wait")
        }
        _ => None,
    }
}
