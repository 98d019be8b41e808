//! The owner's window: who looks in sees how many there are, who they are, how introductions ended, and
//! why. What it costs is bounded: rows come in pages, and one request is answered at a time.

mod api;
mod metrics;
mod samples;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use log::warn;
use serde::{Deserialize, Serialize};

use super::Server;
use super::answers::Answers;
use crate::blocks::Blocks;
use crate::clock::{Instant, Now, earliest};
use crate::dialect::events::tls::Acceptor;
use crate::dialect::{Census, ConnId, Name, Outbox, Reads, Shows as _};
use crate::http::{Answer, Answering, Body, For, Guard, Http, Method, Request, Status, page};
use crate::limits;
use crate::rates::Rates;
use crate::refusals::Reason;
use crate::timers::LogThrottle;
use samples::{Sample, Samples};

/// What the owner has decided about the window.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may look in.
    pub guard: Guard,
    /// What this server was built of.
    pub build: &'static str,
    /// What makes TLS connections, if there is a certificate.
    pub tls: Option<Acceptor>,
    /// The options in force, each with its value; without what is secret.
    pub options: Vec<(String, String)>,
}

/// What the process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Memory in bytes, where the system tells.
    pub memory: Option<u64>,
    /// How long it has used a CPU, where the system tells.
    pub cpu: Option<Duration>,
}

/// The window and who looks in.
#[derive(Debug)]
pub(super) struct Window {
    http: Http,
    view: View,
    answers: Answers,
    /// How often each address may ask that shows no token that is right.
    rates: Rates,
    /// Somebody has shown a wrong token.
    guessed: LogThrottle,
}

/// What there is to see beside what the server has anyway.
#[derive(Debug)]
struct View {
    config: Config,
    samples: Samples,
    /// The last usage, and when it was noted.
    noted: Option<(Instant, Usage)>,
    /// How much the relay had passed on when its rate was found last.
    passed: (Instant, u64),
    /// Part of a CPU that is used, and bytes a second that the relay passes on.
    cpu: Option<f64>,
    relayed: f64,
    /// When the server was started, in seconds since 1970: told the same each time, however the clock is set.
    started: OnceCell<u64>,
}

impl Window {
    pub(super) fn new(config: Config) -> Self {
        let view = View {
            config,
            samples: Samples::default(),
            noted: None,
            passed: (Instant::default(), 0),
            cpu: None,
            relayed: 0.0,
            started: OnceCell::new(),
        };
        let (http, answers) = (Http::new(For::Owner), Answers::default());
        let rates = Rates::new(limits::WINDOW_STRANGERS, 2);
        Self { http, view, answers, rates, guessed: LogThrottle::default() }
    }

    pub(super) fn reads(&self, id: ConnId) -> Reads {
        self.http.reads(id)
    }

    pub(super) fn note_unread(&mut self, id: ConnId, bytes: usize) {
        self.http.note_unread(id, bytes);
    }

    /// Ends what those look at who are blocked, except on this machine.
    pub(super) fn shut_out(&mut self, blocks: &Blocks, out: &mut Outbox) -> usize {
        self.http.close_of(|addr| !addr.is_loopback() && blocks.has(addr), out)
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        earliest([self.http.next_wakeup(), Some(self.view.samples.next())])
    }
}

/// What another process goes on with.
#[derive(Deserialize)]
pub(super) struct Kept {
    samples: Samples,
    answers: Answers,
}

impl Server {
    /// What the window has counted, if there is one.
    pub(super) fn save_window(&self) -> Option<impl Serialize> {
        #[derive(Serialize)]
        struct Kept<'a> {
            samples: &'a Samples,
            answers: &'a Answers,
        }
        let Window { view, answers, .. } = self.window.as_deref()?;
        Some(Kept { samples: &view.samples, answers })
    }

    /// Goes on with what the window of another process has counted.
    pub(super) fn load_window(&mut self, kept: Kept) {
        let Kept { samples, answers } = kept;
        if let Some(window) = &mut self.window {
            (window.view.samples, window.answers) = (samples, answers);
        }
    }

    /// The owner gets a window.
    pub fn open_window(&mut self, config: Config) {
        self.window = Some(Box::new(Window::new(config)));
    }

    /// Somebody looks in from this address.
    pub fn on_look(&mut self, now: Now, id: ConnId, addr: IpAddr) {
        if let Some(window) = &mut self.window {
            window.http.open(now.instant, id, addr);
        }
    }

    /// Whether somebody may not even look in because his address is blocked. Who is on the machine of the server
    /// may, as it is the owner who blocks all others, or tries to.
    pub fn is_shut_out(&mut self, now: Now, addr: IpAddr) -> bool {
        !addr.is_loopback() && self.is_blocked(now, addr)
    }

    /// There are as many as may look in: the one that is closed for another from this address.
    #[must_use]
    pub fn viewer_to_evict(&mut self, to: IpAddr) -> Option<ConnId> {
        self.window.as_mut()?.http.eviction_candidate(to)
    }

    /// Whether the window wants to know now what the process uses: each second while somebody looks, else
    /// once a minute.
    #[must_use]
    pub fn wants_usage(&self, now: Instant) -> bool {
        /// Over less than that a part of a CPU means nothing.
        const OFTEN: Duration = Duration::from_secs(1);
        let Some(window) = &self.window else { return false };
        let is_old =
            window.view.noted.is_none_or(|(at, _)| !window.http.is_empty() && now - at >= OFTEN);
        is_old || window.view.samples.next() <= now
    }

    /// What the process uses now.
    pub fn note_usage(&mut self, now: Instant, usage: Usage) {
        /// The relay's thread tells every five seconds what it has passed on.
        const RATED: Duration = Duration::from_secs(10);
        let passed = self.shared.relay.passed();
        let Some(window) = &mut self.window else { return };
        let view = &mut window.view;
        let (at, before) = view.passed;
        if now - at >= RATED {
            view.passed = (now, passed);
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let bytes = passed.saturating_sub(before) as f64;
            view.relayed = bytes / (now - at).as_secs_f64();
        }
        if let Some((at, before)) = view.noted.replace((now, usage)) {
            let over = (now - at).as_secs_f64().max(0.001);
            let used = usage.cpu.zip(before.cpu).map(|(now, then)| now.saturating_sub(then));
            view.cpu = used.map(|used| used.as_secs_f64() / over);
        }
    }

    /// The loop looks at what has come.
    pub fn begin_turn(&mut self, now: Instant) {
        self.window.iter_mut().for_each(|window| window.answers.begin_turn(now));
    }

    /// Whether there are answers that have not been told to be [sent](Self::note_sent).
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.window.as_ref().is_some_and(|window| window.answers.are_pending())
    }

    /// All answers so far have been handed to the kernel.
    pub fn note_sent(&mut self, now: Instant) {
        self.window.iter_mut().for_each(|window| window.answers.sent(now));
    }

    /// What came then in a dialect has an answer if there is more to do than before.
    pub(super) fn note_answer(&mut self, name: Name, came: Option<Instant>, has_answer: bool) {
        let Some(window) = self.window.as_mut().filter(|_| has_answer) else { return };
        match came {
            Some(came) => window.answers.note(name, came),
            None => window.answers.on_connection(name),
        }
    }

    /// Does something with the connections of the window, and answers what is asked by that.
    pub(super) fn with_window(
        &mut self,
        now: Now,
        act: impl FnOnce(&mut Http, &mut Answering<'_>),
    ) {
        let Some(mut window) = self.window.take() else { return };
        let Window { http, view, answers, rates, guessed } = &mut *window;
        let (mut guesses, mut floods) = (Vec::new(), Vec::new());
        act(http, &mut |addr, request| {
            let refusal = view.config.guard.refuses(request);
            // Who shows the right token in the address is sent on, and is no stranger.
            let is_wrong = |answer: &Answer| answer.status != Status::SeeOther;
            let is_stranger = match request.path {
                "/healthz" => !addr.is_loopback(),
                _ => refusal.as_ref().is_some_and(is_wrong),
            };
            if is_stranger && !rates.allow(now.instant, addr) {
                floods.push(addr);
                // To ask again takes a new connection.
                return Answer { closes: true, ..Answer::error(Status::TooManyRequests) };
            }
            let answer = view.answer(now, self, answers, request, refusal);
            if answer.status == Status::Unauthorized && view.config.guard.is_shown_one(request) {
                guesses.push(addr);
            }
            answer
        });
        for addr in floods {
            self.refused(now, Reason::Requests, addr);
        }
        for addr in guesses {
            self.refused(now, Reason::Guesses, addr);
            if let Some(before) = guessed.say(now.instant) {
                warn!(
                    address:% = addr, reason = Reason::Guesses.name();
                    "{addr} asks for the owner's window with a wrong token{before}"
                );
            }
        }
        self.window = Some(window);
    }

    /// The time has come that the window has asked for.
    pub(super) fn wake_window(&mut self, now: Now, out: &mut Outbox) {
        let Some(window) = &self.window else { return };
        if window.view.samples.next() <= now.instant {
            let sample = self.sample();
            if let Some(window) = &mut self.window {
                window.view.samples.add(now, sample);
            }
        }
        self.with_window(now, |http, answering| http.wake(now, out, answering));
    }

    /// How many there are in all dialects together.
    fn census(&self) -> Census {
        self.dialects.all().map(|dialect| dialect.census()).fold(
            Census::default(),
            |sum, census| Census {
                hosts: sum.hosts + census.hosts,
                clients: sum.clients + census.clients,
            },
        )
    }

    /// The numbers of this moment.
    fn sample(&self) -> Sample {
        let Census { hosts, clients } = self.census();
        let view = self.window.as_ref().map(|window| &window.view);
        let total = self.shared.journal.total();
        Sample {
            hosts,
            clients,
            connections: self.connections.len(),
            through: total.through(),
            failed: total.failed,
            relayed: self.shared.relay.len(),
            passed: self.shared.relay.passed(),
            memory: view.and_then(|view| view.noted).and_then(|(_, usage)| usage.memory),
            cpu: view.and_then(|view| view.noted).and_then(|(_, usage)| usage.cpu),
        }
    }

    /// What is wrong with the server, if anything is.
    fn ailment(&self) -> Option<String> {
        if self.is_stopping {
            return Some("the server is stopping".into());
        }
        if self.has_lost_relay {
            return Some("the relay has stopped, start punchd anew".into());
        }
        let mut spoken =
            Name::ALL.into_iter().filter_map(|name| Some((name, self.dialects.get(name)?)));
        let broken = spoken.find(|(_, dialect)| !dialect.speaks());
        broken.map(|(name, _)| format!("the dialect {name} has failed and begins anew in a moment"))
    }
}

impl View {
    /// What is answered to a request, to which the guard has this `refusal`.
    fn answer(
        &self,
        now: Now,
        server: &Server,
        answers: &Answers,
        request: &Request<'_>,
        refusal: Option<Answer>,
    ) -> Answer {
        let is_health = request.path == "/healthz";
        // A health check need not know the token.
        if let Some(refusal) = refusal.filter(|_| !is_health) {
            return refusal;
        }
        if request.method == Method::Options {
            return Answer::error(Status::MethodNotAllowed);
        }
        if is_health {
            return health(server);
        }
        let is_for_token = self.config.guard.token.is_some();
        if let Some(body) = page::find(request.path) {
            return Answer { is_for_token, ..Answer::of(body) };
        }
        // A fault in what is written here is no reason to end everything else.
        let answer = catch_unwind(AssertUnwindSafe(|| self.data(now, server, answers, request)));
        let answer = answer.unwrap_or_else(|_| Answer::error(Status::Internal));
        Answer { is_for_token, ..answer }
    }

    fn data(&self, now: Now, server: &Server, answers: &Answers, request: &Request<'_>) -> Answer {
        if let Err(why) = api::check(request) {
            return Answer::because(Status::BadRequest, &why);
        }
        match request.path {
            "/metrics" => metrics::metrics(self, now, server, answers),
            "/api/v1/status" => Answer::json(&self.status(now, server)),
            "/api/v1/hosts" => Answer::json(&api::hosts(now, server, request)),
            "/api/v1/refusals" => Answer::json(&api::refusals(server)),
            "/api/v1/introductions" => Answer::json(&api::introductions(server, request)),
            _ => Answer::error(Status::NotFound),
        }
    }
}

fn health(server: &Server) -> Answer {
    match server.ailment() {
        None => Answer::of(Body::Text("ok\n".into())),
        Some(why) => Answer {
            status: Status::Unavailable,
            ..Answer::of(Body::Text(format!("{why}\n").into()))
        },
    }
}

/// How long the server has been there.
pub(super) fn uptime(now: Now) -> Duration {
    now.instant - begin()
}

/// When it was started.
fn begin() -> Instant {
    Instant::default() + limits::WAITED
}
