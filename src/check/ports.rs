//! Which ports the server would get. They are opened as at the start, and let go of at the end.

use std::net::{IpAddr, SocketAddr};

use super::Report;

use crate::cli::{Options, PORT, http};
use crate::dialect::Name;
use crate::introductions::is_inside;
use crate::limits;
use crate::net::bind::{self, Bound};
use crate::net::relay;

/// The ports of the games.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// Where the server would listen.
    pub(super) addrs: Vec<SocketAddr>,
    /// There, or if somebody has that, at the same addresses.
    sockets: Vec<Bound>,
    /// Somebody has the port, most likely the server that runs.
    is_taken: bool,
}

/// Opens the ports of the games, which a server that runs may have.
pub(super) fn try_games(options: &Options, report: &mut Report) -> Tried {
    let port = options.port.unwrap_or(PORT);
    let error = match bind::bind(&options.bind, port, limits::GHOST) {
        Ok(sockets) => {
            let addrs = sockets.iter().map(|bound| bound.addr).collect();
            return Tried { addrs, sockets, is_taken: false };
        }
        Err(error) => error,
    };
    let is_taken = error.is_taken();
    if is_taken {
        report.warnings.push(format!("{error}; if that is the server to be replaced, all is well"));
    } else {
        report.faults.push(error.to_string());
    }
    // Any free port will do to see which addresses there are.
    let sockets = bind::bind(&options.bind, 0, limits::GHOST).unwrap_or_default();
    let addrs = sockets.iter().map(|bound| SocketAddr::new(bound.addr.ip(), port)).collect();
    Tried { addrs, sockets, is_taken }
}

/// Opens the owner's window.
pub(super) fn try_window(options: &Options, tried: &Tried, report: &mut Report) {
    let Some(at) = report.take(options.http.window()).flatten() else { return };
    if let Some(why) = options.window_clash(&tried.addrs) {
        report.unavailable.push(why);
        return;
    }
    match bind::window(at, None) {
        Err(what) if !what.is_taken => return report.unavailable.push(what.why),
        Err(what) => note(what, tried, report),
        Ok(_) => {}
    }
    report.serves.push(format!("the owner, at http://{at}/"));
    report.warnings.extend(http::warning(at));
}

/// Opens what STUN has beside the ports of the games. Returns where that is.
pub(super) fn try_stun(options: &Options, tried: &Tried, report: &mut Report) -> bind::Alternates {
    if !options.speaks(Name::Stun) {
        return bind::Alternates::default();
    }
    let main = tried.addrs.first().map_or(0, SocketAddr::port);
    let next = options.alt_port.or_else(|| if main == 0 { Some(0) } else { main.checked_add(1) });
    if next == Some(main) && main != 0 && tried.is_taken {
        // The socket that stands for the one of the games has another port.
        report.unavailable.push(bind::no_alternate(main));
        return bind::Alternates::default();
    }
    let mut all = bind::alternates(&tried.sockets, next, options.alt_addr, None);
    for what in std::mem::take(&mut all.unavailable) {
        note(what, tried, report);
    }
    all
}

/// Opens the ports of the relay. `udp` are the ones of STUN.
pub(super) fn try_relay(
    options: &Options,
    tried: &Tried,
    udp: &bind::Alternates,
    report: &mut Report,
) {
    let binds: Vec<IpAddr> = tried.addrs.iter().map(SocketAddr::ip).collect();
    let place = options.relay_place(&binds, bind::own_addresses());
    let Some(place) = report.take(place).flatten() else { return };
    let others = udp.sockets.iter().map(|(addr, _)| *addr);
    let sockets: Vec<SocketAddr> = tried.addrs.iter().copied().chain(others).collect();
    if let Some(why) = Options::relay_clash(&sockets, &place) {
        report.faults.push(why);
        return;
    }
    match relay::open_all(&place.binds, &place.config.ports, &mut |_| None) {
        Err(error) if error.is_taken() && tried.is_taken => {}
        Err(error) if error.is_taken() => report.warnings.push(error.to_string()),
        Err(error) => report.faults.push(error.to_string()),
        Ok(_) => {}
    }
    report.serves.push(place.config.to_string());
    let own = bind::own_addresses();
    report.warnings.extend(options.relay_warning(&place, &binds, own));
    for ip in place.config.told.all().filter(|ip| is_inside(*ip)) {
        report.warnings.push(format!(
            "the relay is told as {ip}, where only players in this network reach it (--relay-public)"
        ));
    }
}

/// What a server that runs has, it has for the next one.
fn note(what: bind::Unavailable, tried: &Tried, report: &mut Report) {
    match what.is_taken {
        true if tried.is_taken => {}
        true => report.warnings.push(what.why),
        false => report.unavailable.push(what.why),
    }
}
