//! The process: arguments, logging, signals, then the event loop.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, error, info, log_enabled, warn};
use punchd::check;
use punchd::cli::relay::Place;
use punchd::cli::{self, Options};
use punchd::dialect::events::tls::Acceptor;
use punchd::dialect::gmnet::text::clean_into;
use punchd::dialect::{Name, stun};
use punchd::http::Guard;
use punchd::introductions::is_inside;
use punchd::limits::{self, Limits};
use punchd::logging;
use punchd::net::bind::{Alternates, Bound};
use punchd::net::signals::{Requests, stop_at_signals};
use punchd::net::{EventLoop, bind, files, sys};
use punchd::reloads::Reloads;
use punchd::server::{self, Server, window};
use rand::TryRng as _;
use rand::rngs::SysRng;

fn main() -> ExitCode {
    if sys::run(serve) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Serves until it is stopped. Returns whether that went well.
fn serve() -> bool {
    let mut options = Options::of_process();
    options.check().unwrap_or_else(|error| options.exit(&error));
    if options.owner.check {
        return check(&mut options);
    }
    let format = options.owner.log_format;
    if let Err(error) = logging::start(options.verbosity(), format, options.log.as_deref()) {
        eprintln!("punchd: {error}");
        return false;
    }
    warn_of_filters();
    std::panic::set_hook(Box::new(report_panic));
    let done = options.read_files().and_then(|()| run(&options));
    if let Err(error) = &done {
        report(&error.to_string());
    }
    log::logger().flush();
    done.is_ok()
}

/// Tells whether it would start. Returns that.
fn check(options: &mut Options) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let report = check::check(options, now, connections);
    let mut output = io::stdout().lock();
    // Who does not want to read it may still look at the code with which this ends.
    let _ = report.lines().try_for_each(|line| writeln!(output, "{line}"));
    report.is_good()
}

/// A word that RUST_LOG does not know is taken for a part of a program, of which alone lines are shown.
fn warn_of_filters() {
    let filters = std::env::var("RUST_LOG").unwrap_or_default();
    if !filters.is_empty() && filters != "off" && !log_enabled!(Level::Error) {
        eprintln!(
            "punchd: RUST_LOG={filters:?} shows nothing of this server; unset it, or set it to warn, \
             info or debug"
        );
    }
}

fn report(error: &str) {
    if log_enabled!(Level::Error) {
        error!("{error}");
    }
    // RUST_LOG may have switched off everything, and the log may go to a file while somebody waits at
    // the terminal; this must be seen all the same.
    let is_elsewhere = io::stderr().is_terminal() && !io::stdout().is_terminal();
    if is_elsewhere || !log_enabled!(Level::Error) {
        eprintln!("punchd: {error}");
    }
}

/// Says where a fault in the program is. A message may quote what a peer has sent.
fn report_panic(panic: &PanicHookInfo<'_>) {
    const MOST: usize = 300;
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    let mut what = String::new();
    let payload = panic.payload();
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("unknown").as_bytes();
    clean_into(said.get(..MOST).unwrap_or(said), &mut what);
    report(&format!("bug in punchd {}{place}: {what}", cli::BUILD));
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let window = options.http.window()?;
    let reloads = Reloads::new(options)?;
    let (tls, end) = (reloads.acceptor(), reloads.end());
    // Before any other thread is started, so that all of them leave signals to the loop.
    let requests = Requests::new(reloads)?;
    let most = connections(options)?;
    let mut config = options.server(most);
    SysRng.try_fill_bytes(&mut config.seed).map_err(|error| no_random_numbers(&error))?;
    config.events.tls = tls.clone();
    config.blocks = options.owner.blocks()?;
    let ghost_limit = Duration::from_secs(options.ghost_limit);
    let mut sockets = bind::inherited(ghost_limit)?;
    if sockets.is_empty() {
        let port = options.port.unwrap_or(cli::PORT);
        sockets = bind::bind(&options.bind, port, ghost_limit)?;
    } else {
        warn_of_what_is_ignored(options);
    }
    if options.start_wait > 0 && sockets.iter().any(|bound| bound.is_restart) {
        config.gmnet.start_wait = limits::WAITED + Duration::from_secs(options.start_wait);
    }
    let listening = listening(&sockets);
    let relay = place_of_relay(options, &sockets)?;
    config.relay = relay.as_ref().map(|place| place.config.clone());
    let alternates = if options.dialects.contains(&Name::Stun) {
        bind::alternates(&sockets, options.alt_port, options.alt_addr)
    } else {
        Alternates::default()
    };
    let also = tell_sockets(&mut config, &sockets, &alternates);
    let udp = alternates.sockets.into_iter().map(|(_, socket)| socket).collect();
    let limits = config.limits;
    let mut event_loop = EventLoop::new(sockets, udp, Server::new(config), limits)?;
    event_loop.obey(requests)?;
    stop_at_signals(event_loop.stopper())?;
    if let Some(Place { binds, config }) = &relay {
        event_loop.relay(binds, config)?;
    }
    let but = options.serves(end);
    options.without_effect().iter().for_each(|what| warn!("{what}"));
    info!("punchd {} {listening}{also}, up to {most} connections{but}", env!("CARGO_PKG_VERSION"));
    open_window(window, options, tls, &mut event_loop)?;
    if let Some(hint) = sys::hint() {
        info!("{hint}");
    }
    for ip in options.public_ip.iter().filter(|ip| is_inside(**ip)) {
        warn!(
            "--public-ip {ip} is an address of a local network, where only players in this network get \
             to: give the one by which players elsewhere reach this server"
        );
    }
    if let Some(Place { config, .. }) = &relay {
        info!("{config}");
        for ip in config.told.all().filter(|ip| is_inside(*ip)) {
            warn!(
                "the relay is told as {ip}, where only players in this network reach it: name the \
                 address by which others do with --relay-public"
            );
        }
    }
    sys::tell_ready();
    event_loop.run()?;
    info!("stopped");
    Ok(())
}

/// Tokens and IDs have to be such that nobody guesses them.
fn no_random_numbers(error: &impl Display) -> String {
    format!(
        "the system gives no random numbers ({error}), without which nothing here can be secret: does this \
         program see a /dev/urandom, and may it call getrandom?"
    )
}

/// Lets the owner look in, if he wants to. That he cannot is no reason not to serve anybody.
fn open_window(
    wanted: Option<SocketAddr>,
    options: &Options,
    tls: Option<Acceptor>,
    event_loop: &mut EventLoop,
) -> io::Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    match bind::window(wanted) {
        Ok((at, listener)) => {
            let token = options.http.http_token.clone();
            let (build, options) = (cli::BUILD, options.in_force.clone());
            let has_token = token.is_some();
            let config = window::Config { guard: Guard { at, token }, build, tls, options };
            event_loop.open_window(listener, config)?;
            let token = if has_token { ", for who has the token" } else { "" };
            info!("the owner looks in at http://{at}/{token}");
        }
        Err(why) => warn!(
            "nobody can look in at http://{wanted}/: {why}; choose another place with --http, or --http off"
        ),
    }
    Ok(())
}

/// Where the relay is, if the owner wants one.
fn place_of_relay(options: &Options, sockets: &[Bound]) -> Result<Option<Place>, String> {
    let binds: Vec<IpAddr> = sockets.iter().map(|bound| bound.addr.ip()).collect();
    options.relay.place(&binds, options.public_ips(), bind::own_addresses())
}

/// The sockets were handed over, whatever the options say.
fn warn_of_what_is_ignored(options: &Options) {
    let given = [("--port", options.port.is_some()), ("--bind", !options.bind.is_empty())];
    let given: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if !given.is_empty() {
        warn!(
            "ignored: {}; the service manager has opened the sockets, and the .socket unit sets \
             their port (ListenStream=, ListenDatagram=)",
            given.join(", ")
        );
    }
}

/// Tells the dialects which sockets there are, and the owner which of them to open in a firewall.
fn tell_sockets(config: &mut server::Config, main: &[Bound], alternates: &Alternates) -> String {
    let port = main.first().map(|bound| bound.addr.port());
    let both =
        main.iter().map(|bound| bound.addr).chain(alternates.sockets.iter().map(|(addr, _)| *addr));
    let sockets: Vec<SocketAddr> = both.collect();
    let alternate_port = sockets.iter().map(SocketAddr::port).find(|other| Some(*other) != port);
    config.gmnet.sockets = main.iter().map(|bound| bound.addr).collect();
    if let Some(any) = main.iter().find(|bound| bound.addr.ip().is_unspecified()) {
        let own = bind::own_addresses().map(|ip| SocketAddr::new(ip, any.addr.port()));
        config.gmnet.sockets.extend(own);
    }
    config.gmnet.alternate_port = alternate_port;
    config.alternates_from = u8::try_from(main.len()).ok();
    config.stun = stun::Config { sockets, alternate_port, alternate_addr: alternates.addr };
    alternate_port.map(|port| format!(", STUN on UDP port {port} too")).unwrap_or_default()
}

/// How many connections can be served: what the owner asked for, else as many as usual and
/// possible.
fn connections(options: &Options) -> Result<usize, files::FilesError> {
    let looking = options.http.http.0.map_or(0, |_| limits::WINDOW_CONNECTIONS + 1);
    let sockets = options.relay.most_sockets() + looking;
    if let Some(wanted) = options.max_connections {
        return files::make_room(wanted, sockets).map(|()| wanted);
    }
    files::make_room_for_most(Limits::default().connections, sockets)
}

fn listening(sockets: &[Bound]) -> String {
    let port = sockets.first().map_or(0, |bound| bound.addr.port());
    let addrs: Vec<String> = sockets.iter().map(|bound| bound.addr.ip().to_string()).collect();
    format!("listening on port {port} (TCP and UDP, address {})", addrs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_sentence_that_there_are_no_random_numbers() {
        let why = no_random_numbers(&"OS Error: 2");
        assert!(why.starts_with("the system gives no random numbers (OS Error: 2)"), "{why}");
        assert!(why.contains("/dev/urandom"), "{why}");
    }
}
