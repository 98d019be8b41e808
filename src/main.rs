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
use punchd::net::handover::{self, HandoverListener, Offer, Successor, Taken};
use punchd::net::signals::{Requests, stop_at_signals};
use punchd::net::{Ended, EventLoop, bind, files, sys};
use punchd::reloads::{Reloads, warn_of_all};
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
    let wrong = match options.read_files() {
        Ok(()) => run(&options).err().into_iter().collect(),
        Err(wrong) => wrong,
    };
    wrong.iter().for_each(|error| report(&error.to_string()));
    log::logger().flush();
    wrong.is_empty()
}

/// Tells whether it would start. Returns that.
fn check(options: &mut Options) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let report = check::check(options, now, |options| connections(options, None));
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
    // Before anything else is put where this program was.
    let successor = Successor::of_process();
    let window = options.http.window()?;
    let reloads = Reloads::new(options)?;
    let (tls, end) = (reloads.acceptor(), reloads.end());
    // Before any other thread is started, so that all of them leave signals to the loop.
    let mut requests = Requests::new(reloads)?;
    let mut offer = ask(options)?;
    let most = connections(options, offer.as_ref())?;
    let mut config = options.server(most);
    SysRng.try_fill_bytes(&mut config.seed).map_err(|error| no_random_numbers(&error))?;
    config.events.tls = tls.clone();
    config.blocks = options.owner.blocks()?;
    warn_of_all(&config.blocks);
    let (sockets, is_activated) = sockets(options, offer.as_mut())?;
    // The clock goes on, so after a hand-over it waits no longer than before.
    let is_restart = offer.is_some() || sockets.iter().any(|bound| bound.is_restart);
    if options.start_wait > 0 && is_restart {
        config.gmnet.start_wait = limits::WAITED + Duration::from_secs(options.start_wait);
    }
    let listening = listening(&sockets);
    let relay = place_of_relay(options, &sockets)?;
    config.relay = relay.as_ref().map(|place| place.config.clone());
    let alternates = if options.speaks(Name::Stun) {
        bind::alternates(&sockets, options.alt_port, options.alt_addr, offer.as_mut())
    } else {
        Alternates::default()
    };
    alternates.unavailable.iter().for_each(|what| warn!("{}", what.why));
    let also = tell_sockets(&mut config, &sockets, &alternates);
    let main: Vec<SocketAddr> = sockets.iter().map(|bound| bound.addr).collect();
    if let Some(place) = &relay {
        Options::relay_clash(&config.stun.sockets, place).map_or(Ok(()), Err)?;
    }
    let udp = alternates.sockets.into_iter().map(|(_, socket)| socket).collect();
    let limits = config.limits;
    let at = sockets.first().map(|bound| bound.addr);
    let mut event_loop = EventLoop::new(sockets, udp, Server::new(config), limits)?;
    if let Some(at) = at {
        let handed = offer.as_mut().and_then(|offer| offer.handover_listener(at));
        match HandoverListener::open(at, handed, is_activated, &successor) {
            Ok(handover) => {
                handover.map_or(Ok(()), |handover| event_loop.listen_for_handover(handover))?;
                requests.succeed_by(successor, at);
            }
            Err(error) => warn!("no process can take over from this one: {error}"),
        }
    }
    event_loop.obey(requests)?;
    stop_at_signals(event_loop.stopper())?;
    if let Some(Place { binds, config }) = &relay {
        event_loop.relay(binds, config, offer.as_mut())?;
    }
    let opened = match options.window_clash(&main) {
        Some(why) => {
            warn!("{why}");
            None
        }
        None => open_window(window, options, tls, &mut event_loop, offer.as_mut())?,
    };
    // Before: what other nodes say meanwhile waits here.
    join_cluster(options, &mut event_loop)?;
    #[cfg(feature = "cluster")]
    if offer.is_some() {
        event_loop.wait_for_nodes();
    }
    let taken = offer.map(|offer| event_loop.take_over(offer)).transpose()?;
    let but = options.serves(end);
    options.without_effect().iter().for_each(|what| warn!("{what}"));
    options.lists().warnings().iter().for_each(|what| warn!("{what}"));
    cli::unknown_variables().iter().for_each(|what| warn!("{what}"));
    info!("punchd {} {listening}{also}, up to {most} connections{but}", env!("CARGO_PKG_VERSION"));
    opened.iter().for_each(|line| info!("{line}"));
    if let Some(hint) = sys::hint() {
        info!("{hint}");
    }
    for ip in options.public_ip.iter().filter(|ip| is_inside(**ip)) {
        warn!(
            "--public-ip {ip} is an address of a local network, which only players in this network can \
             reach: give the one by which players elsewhere reach this server"
        );
    }
    if let Some(place @ Place { config, .. }) = &relay {
        info!("{config}");
        let binds: Vec<IpAddr> = main.iter().map(SocketAddr::ip).collect();
        let warning = options.relay_warning(place, &binds, bind::own_addresses());
        warning.iter().for_each(|what| warn!("{what}"));
        for ip in config.told.all().filter(|ip| is_inside(*ip)) {
            warn!(
                "the relay is told as {ip}, where only players in this network reach it: name the \
                 address by which others do with --relay-public"
            );
        }
    }
    match taken {
        Some(taken) => tell_taken(&taken),
        None => sys::tell_ready(),
    }
    match event_loop.run()? {
        Ended::Stopped => info!("stopped"),
        // The log has said who goes on.
        Ended::HandedOver => {}
    }
    Ok(())
}

/// Becomes one with other nodes, if that is wanted.
#[cfg(feature = "cluster")]
fn join_cluster(options: &Options, event_loop: &mut EventLoop) -> io::Result<()> {
    let cluster = &options.cluster;
    let Some(node) = cluster.node.as_deref().filter(|_| !cluster.cluster.is_empty()) else {
        return Ok(());
    };
    event_loop.join(punchd::net::cluster::Place {
        servers: &cluster.cluster,
        cluster: &cluster.cluster_name,
        node,
        credentials: cluster.cluster_creds.as_deref(),
    })
}

#[cfg(not(feature = "cluster"))]
fn join_cluster(_: &Options, _: &mut EventLoop) -> io::Result<()> {
    Ok(())
}

/// Asks the running punchd for its place, if that is wanted.
fn ask(options: &Options) -> Result<Option<Offer>, String> {
    let port = options.port.unwrap_or(cli::PORT);
    let offer = Offer::ask(&options.take_over.places(&options.bind, port))?;
    if offer.is_none() && options.take_over != handover::From::Nobody {
        info!("--take-over: no punchd runs there, so this one starts without hosts and players");
    }
    Ok(offer)
}

/// The sockets of the games, from wherever they come, and whether a service manager has opened them.
fn sockets(
    options: &Options,
    offer: Option<&mut Offer>,
) -> Result<(Vec<Bound>, bool), Box<dyn Error>> {
    let ghost_limit = Duration::from_secs(options.ghost_limit);
    let port = options.port.unwrap_or(cli::PORT);
    let (sockets, is_activated) = match offer {
        Some(offer) if offer.is_activated() => (bind::take_all(ghost_limit, offer), true),
        Some(offer) => {
            let games = offer.games();
            let sockets = bind::bind_or_take(&options.bind, port, ghost_limit, offer)?;
            let is_elsewhere = !games.is_empty() && offer.games() == games;
            if is_elsewhere {
                let [first, ..] = &games[..] else { return Err("it listens nowhere".into()) };
                return Err(format!(
                    "the running punchd listens at {first}, and this one would listen elsewhere, where no game looks \
                     for it: give it --port {}",
                    first.port()
                )
                .into());
            }
            (sockets, false)
        }
        None => match bind::inherited(ghost_limit)? {
            none if none.is_empty() => (bind::bind(&options.bind, port, ghost_limit)?, false),
            sockets => (sockets, true),
        },
    };
    if is_activated {
        warn_of_what_is_ignored(options);
    }
    Ok((sockets, is_activated))
}

/// Says in the log what has come from the process before this one.
fn tell_taken(taken: &Taken) {
    let Taken { pid, connections, sockets, pause } = taken;
    let pause = pause.as_secs_f64() * 1000.0;
    let count =
        |many: usize, what: &str| format!("{many} {what}{}", if many == 1 { "" } else { "s" });
    let (connections, sockets) = (count(*connections, "connection"), count(*sockets, "socket"));
    info!("took over from process {pid}: {connections}, {sockets}, pause {pause:.1} ms");
}

/// Tokens and IDs have to be such that nobody guesses them.
fn no_random_numbers(error: &impl Display) -> String {
    format!(
        "the system gives no random numbers ({error}), without which nothing here can be secret: does this \
         program see a /dev/urandom, and may it call getrandom?"
    )
}

/// Lets the owner look in, if he wants to, and returns how. That he cannot is no reason not to serve anybody.
fn open_window(
    wanted: Option<SocketAddr>,
    options: &Options,
    tls: Option<Acceptor>,
    event_loop: &mut EventLoop,
    offer: Option<&mut Offer>,
) -> io::Result<Option<String>> {
    let Some(wanted) = wanted else { return Ok(None) };
    match bind::window(wanted, offer) {
        Ok((at, listener)) => {
            let token = options.http.token().map_err(io::Error::other)?;
            let (build, options) = (cli::BUILD, options.in_force.clone());
            let has_token = token.is_some();
            let config = window::Config { guard: Guard { at, token }, build, tls, options };
            event_loop.open_window(listener, config)?;
            cli::http::warning(at).iter().for_each(|what| warn!("{what}"));
            let token = if has_token { ", for those who have the token" } else { "" };
            let place = match at.ip().is_unspecified() {
                true => format!("http://ADDRESS:{}/, with any address of this machine", at.port()),
                false => format!("http://{at}/"),
            };
            Ok(Some(format!("the owner's window is at {place}{token}")))
        }
        Err(what) => {
            warn!("{}", what.why);
            Ok(None)
        }
    }
}

/// Where the relay is, if the owner wants one.
fn place_of_relay(options: &Options, sockets: &[Bound]) -> Result<Option<Place>, String> {
    let binds: Vec<IpAddr> = sockets.iter().map(|bound| bound.addr.ip()).collect();
    options.relay_place(&binds, bind::own_addresses())
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
    config.events.port = main.first().map_or(0, |bound| bound.addr.port());
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
fn connections(options: &Options, offer: Option<&Offer>) -> Result<usize, files::FilesError> {
    let looking = options.http.http.0.map_or(0, |_| limits::WINDOW_CONNECTIONS + 1);
    let sockets = options.relay.most_sockets() + looking;
    // All that there are are taken over, however few are to be let in from now on.
    let present = offer.map_or(0, Offer::connections);
    if let Some(wanted) = options.max_connections {
        return files::make_room(wanted.max(present), sockets).map(|()| wanted);
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
