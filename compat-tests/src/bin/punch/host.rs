//! `punch host`: a game that can be joined.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use compat_tests::gmnet::{Error, GAP, Host, HostConfig, HostEvent, STEP, wire};
use compat_tests::shown::quoted;

use crate::causes;
use crate::common::{interrupted, local_ip, port, printable, say, seconds};
use crate::endings::Ending;
use crate::masters::{Masters, Named, SILENT};
use crate::script::{Action, Moment, Role, Script, move_master};
use crate::unruly::Unruly;

/// How long the master server may take to confirm the registration.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);
/// How often a host without a master server tries to get one again.
const RETRY: Duration = Duration::from_secs(2);
/// How often a host looks whether its connection still works: that of GMnet ENGINE.
const PING: Duration = Duration::from_secs(180);
/// How often a host that knows another master server asks whether its own is there.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// With `--once`: how long it must be quiet before the one player is taken to be done.
const QUIET: Duration = Duration::from_secs(1);

/// Register a host and welcome players until Ctrl-C
#[derive(clap::Args)]
#[command(after_help = "It answers data requests, and sends back whatever else players send.")]
pub(crate) struct Args {
    #[command(flatten)]
    master: Named,
    /// UDP port of the game; 0 for any
    #[arg(long, default_value_t = 0, value_parser = port)]
    port: u16,
    /// Local address to use
    #[arg(long, value_name = "IP", value_parser = local_ip)]
    bind: Option<IpAddr>,
    /// Exit after the first player has left
    #[arg(long)]
    once: bool,
    /// End after so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Data string 1, by custom the name of the game
    #[arg(long, default_value = "", hide_default_value = true)]
    data1: String,
    /// Data string 2, and so on to --data8
    #[arg(long, default_value = "", hide_default_value = true)]
    data2: String,
    #[arg(long, default_value = "", hide = true)]
    data3: String,
    #[arg(long, default_value = "", hide = true)]
    data4: String,
    #[arg(long, default_value = "", hide = true)]
    data5: String,
    #[arg(long, default_value = "", hide = true)]
    data6: String,
    #[arg(long, default_value = "", hide = true)]
    data7: String,
    #[arg(long, default_value = "", hide = true)]
    data8: String,
    #[command(flatten)]
    unruly: Unruly,
    /// Knock at clients, but never welcome them
    #[arg(long, help_heading = "To test a game")]
    never_welcome: bool,
}

impl Args {
    fn into_config(self, master: SocketAddr) -> HostConfig {
        let Self { data1, data2, data3, data4, data5, data6, data7, data8, .. } = self;
        HostConfig {
            bind: self.bind,
            port: self.port,
            line: self.unruly.line(),
            gap: GAP,
            never_welcome: self.never_welcome,
            shows_nat: self.unruly.is_none(),
            repeats: self.unruly.is_none(),
            data: [data1, data2, data3, data4, data5, data6, data7, data8],
            ..HostConfig::new(master)
        }
    }
}

pub(crate) fn run(args: Args) -> Result<(), String> {
    // Before signals are only noted, as reading it may take for ever.
    let mut script = args.unruly.script(Role::Host)?;
    let interrupted = interrupted()?;
    let end = args.duration.map(|duration| Instant::now() + duration);
    let once = args.once;
    let mut masters = args.master.masters(args.bind)?;
    let shown = masters.current();
    let mut own_master = args.unruly.master(shown)?;
    let mut config = args.into_config(shown);
    if let Some(own) = &own_master {
        masters = Masters::only(own.honest());
        config.master = own.honest();
        // The own master server is there to see what the client makes of it.
        config.only_told = true;
    }
    let shown = own_master.is_some().then_some(shown);
    let (mut host, mut again) = register(config, masters, shown)?;
    script = script.map(Script::start);
    let mut last_heard = Instant::now();
    let mut last_ping = Instant::now();
    let (mut hangs, mut ends, mut left) = (false, false, false);
    loop {
        while let Some(action) = script.as_mut().and_then(|script| next(script, &host)) {
            match action {
                Action::MasterDown => move_master(&mut own_master, false)?,
                Action::MasterUp => move_master(&mut own_master, true)?,
                Action::Hang => hangs = true,
                Action::Resume => hangs = false,
                Action::End => ends = true,
                other => {
                    left = other == Action::Leave || (left && other != Action::Register);
                    act(&mut host, other)?;
                }
            }
        }
        if hangs && !ends && !interrupted() {
            std::thread::sleep(STEP);
            continue;
        }
        match host.step() {
            Ok(happened) => {
                for event in happened.iter().filter(|event| !again.is_answer(event)) {
                    last_heard = Instant::now();
                    say(tell(event));
                }
            }
            Err(error @ Error::Malformed { .. }) => say(format!("a game would fail here: {error}")),
            Err(error) => return Err(error.to_string()),
        }
        let quiet = !host.players().is_empty() && last_heard.elapsed() > QUIET;
        if ends || interrupted() || end.is_some_and(|end| Instant::now() >= end) || (once && quiet)
        {
            say("gone");
            return Ok(());
        }
        let pause = if host.has_master() { PING } else { RETRY };
        if !left && again.goes_on(&mut host) {
            last_ping = Instant::now();
            say(again.register(&mut host));
        } else if last_ping.elapsed() > pause && !left {
            last_ping = Instant::now();
            say(again.ping(&mut host));
        }
        std::thread::sleep(STEP);
    }
}

fn next(script: &mut Script, host: &Host) -> Option<Action> {
    script.next(|moment| match moment {
        Moment::Told => !host.told().is_empty(),
        Moment::Connected => !host.players().is_empty(),
    })
}

fn act(host: &mut Host, action: Action) -> Result<(), String> {
    match action {
        Action::Register => host.register().map_err(|error| error.to_string())?,
        Action::Leave => host.unregister(),
        Action::Data1(text) => {
            let mut data = host.config().data.clone();
            data[0] = text;
            host.commit(data);
        }
        Action::Send(bytes) => {
            for player in host.players() {
                host.send(player, &bytes);
            }
        }
        // The others are not of a host alone.
        _ => {}
    }
    Ok(())
}

/// Registers with the first master server that is there, and says how later registrations can be confirmed.
/// The own master server is shown by another address.
fn register(
    mut config: HostConfig,
    mut masters: Masters,
    shown: Option<SocketAddr>,
) -> Result<(Host, Again), String> {
    let data1 = printable(&config.data[0]);
    let bind = config.bind;
    // The first that takes the registration, and does not confirm it.
    let mut silent = None;
    let registered = masters.ask(
        |masters| {
            config.master = masters.current();
            let mut host = Host::start(config.clone())?;
            match host.confirm(masters.patience(CONFIRM_WITHIN)) {
                Ok(()) => Ok((host, true)),
                Err(Error::NoAnswer { .. }) if !masters.are_several() => Ok((host, false)),
                Err(error) => {
                    if matches!(error, Error::NoAnswer { .. }) {
                        silent.get_or_insert(masters.clone());
                    }
                    Err(error)
                }
            }
        },
        |error, master| Ending::is_dead(error, master, bind),
    );
    let (host, is_confirmed) = match registered {
        Ok(registered) => registered,
        Err(error) => {
            let is_dead = Ending::is_dead(&error, masters.current(), bind);
            let Some(silent) = silent.filter(|_| is_dead) else {
                return Err(not_registered(&error, masters.current(), bind));
            };
            masters = silent;
            config.master = masters.current();
            let started = Host::start(config);
            (started.map_err(|error| not_registered(&error, masters.current(), bind))?, false)
        }
    };
    say("registered");
    if !is_confirmed {
        say(NOT_CONFIRMED);
    }
    let port = host.local().port();
    let master = shown.unwrap_or(masters.current());
    say(format!("\"{data1}\" at {master}, UDP port {port}; Ctrl-C ends it"));
    let now = Instant::now();
    let again =
        Again { masters, is_confirmed, has_explained: false, heard: now, asked: now, had: true };
    Ok((host, again))
}

/// Why a host is not registered, and what to do about it.
fn not_registered(error: &Error, master: SocketAddr, bind: Option<IpAddr>) -> String {
    let unknown = "`punch probe` checks what it can do.";
    match error {
        Error::Socket { doing, .. } if *doing != "send to" => {
            format!("{error}\n{}", causes::of_gmnet(error).unwrap_or(unknown))
        }
        _ => {
            let advice = Ending::behind(error, master, bind).unwrap_or(match error {
                Error::MasterClosed { .. } => REFUSED,
                _ => causes::of_gmnet(error).unwrap_or(unknown),
            });
            format!("the registration was refused: {error}\n{advice}")
        }
    }
}

/// Why a server that speaks GMnet ends the connection of a host.
const REFUSED: &str = "It speaks GMnet, and has closed the connection after the registration: either it \
                       admits only some games, and wants to see their name or key (--games, --key): give \
                       it with --data1; or this address has as many hosts as it may have (--max-hosts). \
                       The server's log says which.";

/// Where no answer has come to who has registered.
const NOT_CONFIRMED: &str = "(not confirmed, as no answer comes: this master server does not tell its \
                             version, or is none; `punch lobby` shows whether the host is there)";

/// How a host comes back that has lost its connection.
struct Again {
    masters: Masters,
    /// Whether the server answers who asks whether he is registered.
    is_confirmed: bool,
    /// Whether it was said why the host is not let in any more.
    has_explained: bool,
    /// When the server has answered last.
    heard: Instant,
    /// When it was asked last whether it is there.
    asked: Instant,
    /// Whether there was a connection to it.
    had: bool,
}

impl Again {
    /// Looks whether the connection still works, registers again if not, and says what has come of it.
    fn ping(&mut self, host: &mut Host) -> String {
        if host.has_master() && host.ping().is_ok_and(|works| works) {
            return "the connection to the master server still works".to_owned();
        }
        self.register(host)
    }

    /// Registers again, with the first master server that is there, and says what has come of it.
    fn register(&mut self, host: &mut Host) -> String {
        let is_confirmed = self.is_confirmed;
        // As at the start: the first that takes the registration, and does not confirm it.
        let mut silent = None;
        let registered = self.masters.ask(
            |masters| {
                host.move_to(masters.current())?;
                if !is_confirmed && !masters.are_several() {
                    return Ok(false);
                }
                let confirmed = host.confirm(masters.patience(CONFIRM_WITHIN));
                if matches!(confirmed, Err(Error::NoAnswer { .. })) && masters.are_several() {
                    silent.get_or_insert(masters.clone());
                }
                confirmed.map(|()| true)
            },
            // Who is refused has no better place to go to, but to another server.
            |_, _| true,
        );
        let registered = match (registered, silent) {
            (Err(_), Some(silent)) => {
                self.masters = silent;
                host.move_to(self.masters.current()).map(|()| false)
            }
            (registered, _) => registered,
        };
        (self.heard, self.had) = (Instant::now(), host.has_master());
        let error = match registered {
            Ok(is_confirmed) => return self.registered(is_confirmed),
            Err(error) => error,
        };
        self.had = false;
        host.unregister();
        let said = format!("{error}; trying again");
        let &HostConfig { master, bind, .. } = host.config();
        if std::mem::replace(&mut self.has_explained, true) {
            return said;
        }
        let why = Ending::behind(&error, master, bind);
        let refused = matches!(error, Error::MasterClosed { .. }).then_some(REFUSED);
        why.or(refused).map_or(said.clone(), |why| format!("{said}\n{why}"))
    }

    /// What it says of that.
    fn registered(&mut self, is_confirmed: bool) -> String {
        (self.is_confirmed, self.has_explained) = (is_confirmed, false);
        let which = match self.masters.are_several() {
            true => format!(" at {}", self.masters.current()),
            false => String::new(),
        };
        let rest = if is_confirmed { String::new() } else { format!("\n{NOT_CONFIRMED}") };
        format!("registered again{which}{rest}")
    }

    /// Whether this only shows that the server is there, as it was asked.
    fn is_answer(&mut self, event: &HostEvent) -> bool {
        let HostEvent::Ignored(bytes) = event else { return false };
        let is_answer = self.masters.are_several() && bytes.first() == Some(&wire::VERSION);
        if is_answer {
            self.heard = Instant::now();
        }
        is_answer
    }

    /// Whether the server is gone and there is another one to register with. Asks now and then whether it is
    /// still there: the end of a machine ends no connection.
    fn goes_on(&mut self, host: &mut Host) -> bool {
        if !self.masters.are_several() {
            return false;
        }
        let had = std::mem::replace(&mut self.had, host.has_master());
        let master = self.masters.current();
        if !host.has_master() {
            return had && self.masters.go_on(format_args!("the master server {master} is gone"));
        }
        let is_asked = self.asked > self.heard;
        if self.is_confirmed && !is_asked && self.heard.elapsed() >= ASK_EVERY {
            self.asked = Instant::now();
            // A connection that is broken has no answer.
            let _ = host.ask_version();
        }
        if !is_asked || self.asked.elapsed() < SILENT {
            return false;
        }
        host.unregister();
        self.masters.go_on(format_args!("the master server {master} says nothing any more"))
    }
}

fn tell(event: &HostEvent) -> String {
    match event {
        HostEvent::Told(told) if told.lost => {
            format!("told about client {}, too close behind another: games miss it", told.client)
        }
        HostEvent::Told(told) => format!("told about client {}, knocking", told.client),
        HostEvent::AskedForPort => {
            "the master server asks for the UDP port, knocking there".to_owned()
        }
        HostEvent::Connected(player) => format!("player connected: {player}"),
        HostEvent::DataSent(player) => format!("data strings sent to {player}"),
        HostEvent::Received(player, payload) => {
            format!("{} bytes from {player}, sent back", payload.len())
        }
        HostEvent::MasterGone => "the master server closed the connection".to_owned(),
        HostEvent::Ignored(bytes) => {
            format!("ignored from the master server: {}", quoted(bytes))
        }
    }
}
