//! The thread that talks to NATS. It has a runtime of its own and no part in what is served: the event loop gives
//! it messages for other nodes, and finds those that came. What it cannot send is lost, as NATS does not keep it
//! either; nodes notice that and ask.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use futures_util::StreamExt as _;
use log::{debug, info, warn};
use mio::Waker;
use tokio::sync::mpsc::{self, Sender, UnboundedReceiver};
use tokio::time::{Instant, sleep_until, timeout};

use super::{now_since, relay::Gone};
use crate::cluster::Outbound;
use crate::limits;
use crate::timers::LogThrottle;

mod servers;
#[cfg(test)]
mod tests;

pub use servers::check_url;
use servers::{Tried, Tries};

/// Messages that wait for their way out, or for the event loop. There are more only if something stands still,
/// and then everything has to be told again anyway.
const WAITING: usize = 1024;

/// So long a connection may take until the owner is told that there is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a server may take to answer at first: one that stands still takes connections, and another may be there.
const CONNECT: Duration = Duration::from_secs(1);

/// How often the server is asked whether it lives: two times without an answer, and another is taken, before nodes
/// think that others are gone.
const PING: Duration = Duration::from_millis(500);

/// How long taking over waits for NATS at most: players of this node do not depend on it.
const READY: Duration = Duration::from_millis(500);

/// How long a message between nodes may be under way, as far as taking over waits for it: NATS servers tell each other
/// that this process listens, and what the one before has said last, which may go another way, has to come first.
const SETTLE: Duration = Duration::from_millis(250);

/// Messages that are kept while that lasts, each way. Who says more has said too much (`WAITING` is lost as well), and
/// tells everything again.
const SETTLING: usize = 8 * WAITING;

/// How long the last message may take in the end.
const LAST: Duration = Duration::from_millis(100);

/// Where this node meets the others.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The NATS servers.
    pub servers: &'a [String],
    /// What the cluster is called.
    pub cluster: &'a str,
    /// What this node is called.
    pub node: &'a str,
    /// Where its credentials are.
    pub credentials: Option<&'a Path>,
}

/// Options with the credentials in this file.
///
/// # Errors
/// If it cannot be read, or is no such file.
pub fn credentials(path: &Path) -> io::Result<ConnectOptions> {
    let text = std::fs::read_to_string(path)?;
    ConnectOptions::new().credentials(&text)
}

/// What the thread has to do.
#[derive(Debug)]
enum Order {
    Send(Outbound),
    /// What is sent first waits for what another process has sent before.
    Settle,
}

/// The thread, as the event loop sees it. Dropping it ends the thread.
#[derive(Debug)]
pub struct Connection {
    /// None in the end, which the thread sees.
    outbound: Option<Sender<Order>>,
    heard: Receiver<Vec<u8>>,
    /// What came before this process has taken over.
    early: VecDeque<Vec<u8>>,
    is_woken: Arc<AtomicBool>,
    is_connected: Arc<AtomicBool>,
    /// Says once that what others send from now on comes here.
    ready: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Connection {
    /// Starts the thread, which looks for the servers as long as it takes, and wakes `main` when something comes.
    ///
    /// # Errors
    /// If the credentials cannot be read, a server has no address that can be one, or the system has no more threads.
    pub fn start(
        place: Place<'_>,
        main: Arc<Waker>,
        started: std::time::Instant,
    ) -> io::Result<Self> {
        let mut options = ConnectOptions::new();
        if let Some(path) = place.credentials {
            options = credentials(path).map_err(|error| {
                io::Error::other(format!("cannot use --cluster-creds {}: {error}", path.display()))
            })?;
        }
        let servers = place.servers.iter().map(|url| ServerAddr::from_str(url));
        let servers = servers.collect::<io::Result<Vec<_>>>();
        let servers = servers.map_err(|error| io::Error::other(format!("--cluster: {error}")))?;
        // The library does not take it from there by itself.
        let named = servers.iter().find(|server| server.username().is_some());
        if let Some((user, password)) = named.and_then(|of| Some((of.username()?, of.password()?)))
        {
            options = options.user_and_password(user.to_owned(), password.to_owned());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (outbound, taken) = mpsc::channel(WAITING);
        let (inbound, heard) = sync_channel(WAITING);
        let (happened, events) = mpsc::unbounded_channel();
        let (subscribed, ready) = sync_channel(1);
        let is_woken = Arc::new(AtomicBool::new(false));
        let (tries, tried) = (Tries::default(), Tried::default());
        let seen = tried.clone();
        let options = options
            .name(format!("punchd {}", place.node))
            .no_echo()
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(move |in_vain| tries.pause(in_vain, Instant::now()))
            .reconnect_to_server_callback(move |servers, _| {
                seen.see(servers);
                // The library chooses.
                async { None }
            })
            .ping_interval(PING)
            .connection_timeout(CONNECT)
            .subscription_capacity(WAITING)
            .client_capacity(WAITING)
            .event_callback(move |event| {
                // If this fails the thread ends.
                let _ = happened.send(event);
                async {}
            });
        let is_connected = Arc::new(AtomicBool::new(false));
        let prefix = format!("punchd.{}", place.cluster);
        let task = Task {
            prefix,
            node: place.node.to_owned(),
            inbound: InboundQueue { inbound, main, is_woken: Arc::clone(&is_woken) },
            events,
            is_connected: Arc::clone(&is_connected),
            subscribed,
            settling: Settling::default(),
            until: None,
            tried,
            warnings: LogThrottle::default(),
            silent: LogThrottle::default(),
            unsent: LogThrottle::default(),
            started,
        };
        let run = move || {
            if let Err(error) = runtime.block_on(task.run(options, servers, taken)) {
                warn!("cluster: {error}");
            }
            // The name of a server may be looked up for as long as the system likes.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("cluster".into()).spawn(run)?;
        let (outbound, thread) = (Some(outbound), Some(thread));
        let early = VecDeque::new();
        Ok(Self { outbound, heard, early, is_woken, is_connected, ready, thread })
    }

    /// Waits until what others send comes here, as far as that is soon: what they say to the process before is kept
    /// for this one from then on.
    pub fn wait_until_ready(&mut self) {
        if self.ready.recv_timeout(READY).is_err() {
            return;
        }
        let until = Instant::now() + SETTLE;
        let left = || until.saturating_duration_since(Instant::now());
        while self.early.len() < SETTLING
            && let Ok(bytes) = self.heard.recv_timeout(left())
        {
            self.early.push_back(bytes);
        }
        let _ = self.outbound.as_ref().map(|outbound| outbound.try_send(Order::Settle));
    }

    /// Sends a message, if there is a way.
    pub fn send(&self, message: Outbound) {
        // It is full if NATS takes nothing, and closed if the thread is gone, as is heard.
        let order = Order::Send(message);
        let _ = self.outbound.as_ref().map(|outbound| outbound.try_send(order));
    }

    /// Whether NATS is there.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// The next message that came. After none this is to be asked again once the loop was woken.
    ///
    /// # Errors
    /// If the thread is gone.
    pub fn message(&mut self) -> Result<Option<Vec<u8>>, Gone> {
        if let Some(bytes) = self.early.pop_front() {
            return Ok(Some(bytes));
        }
        // Before looking: what comes from now on wakes the loop.
        self.is_woken.store(false, Ordering::SeqCst);
        match self.heard.try_recv() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Gone),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.outbound = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Gives messages to the event loop.
#[derive(Debug)]
struct InboundQueue {
    inbound: SyncSender<Vec<u8>>,
    main: Arc<Waker>,
    /// The loop was woken, and has not looked since: waking it takes a system call.
    is_woken: Arc<AtomicBool>,
}

impl InboundQueue {
    fn give(&self, bytes: &[u8]) {
        // If it is full the loop has too much to do, and asks later for what is lost.
        let _ = self.inbound.try_send(bytes.to_vec());
        if !self.is_woken.swap(true, Ordering::SeqCst) {
            let _ = self.main.wake();
        }
    }
}

/// So that the loop hears of it when the thread ends.
impl Drop for InboundQueue {
    fn drop(&mut self) {
        let _ = self.main.wake();
    }
}

/// What waits until that which another process of this node has said last is there.
#[derive(Debug, Default)]
struct Settling {
    is_wanted: bool,
    /// None: nothing is to be sent yet.
    until: Option<Instant>,
    held: Vec<Outbound>,
}

impl Settling {
    /// Returns the message if it can be sent now.
    fn pass(&mut self, message: Outbound) -> Option<Outbound> {
        if !self.is_wanted {
            return Some(message);
        }
        self.until.get_or_insert_with(|| Instant::now() + SETTLE);
        if self.held.len() < SETTLING {
            self.held.push(message);
        }
        None
    }
}

/// What the thread does.
#[derive(Debug)]
struct Task {
    prefix: String,
    node: String,
    inbound: InboundQueue,
    events: UnboundedReceiver<Event>,
    is_connected: Arc<AtomicBool>,
    subscribed: SyncSender<()>,
    settling: Settling,
    /// When the owner is told that there is no connection.
    until: Option<Instant>,
    tried: Tried,
    warnings: LogThrottle,
    silent: LogThrottle,
    unsent: LogThrottle,
    started: std::time::Instant,
}

impl Task {
    async fn run(
        mut self,
        options: ConnectOptions,
        servers: Vec<ServerAddr>,
        mut outbound: mpsc::Receiver<Order>,
    ) -> Result<(), async_nats::Error> {
        let client = options.connect(servers).await?;
        let mut all = client.subscribe(format!("{}.all", self.prefix)).await?;
        let mut own = client.subscribe(format!("{}.to.{}", self.prefix, self.node)).await?;
        let (to_flush, subscribed) = (client.clone(), self.subscribed.clone());
        tokio::spawn(async move {
            if to_flush.flush().await.is_ok() {
                // Nobody may wait for it.
                let _ = subscribed.try_send(());
            }
        });
        self.until = Some(Instant::now() + PATIENCE);
        loop {
            let until = self.until.unwrap_or_else(Instant::now);
            let settled = self.settling.until.unwrap_or_else(Instant::now);
            tokio::select! {
                order = outbound.recv() => match order {
                    Some(Order::Settle) => self.settling.is_wanted = true,
                    Some(Order::Send(message)) => {
                        if let Some(message) = self.settling.pass(message) {
                            self.publish(&client, message).await;
                        }
                    }
                    None => break,
                },
                () = sleep_until(settled), if self.settling.until.is_some() => {
                    for message in std::mem::take(&mut self.settling).held {
                        self.publish(&client, message).await;
                    }
                }
                came = next(&mut all, &mut own) => match came {
                    Some(message) => self.inbound.give(&message.payload),
                    None => break,
                },
                Some(event) = self.events.recv() => {
                    self.note(&event);
                    if event == Event::Connected {
                        self.check_room(&client);
                    }
                    if event == Event::Connected
                        && let Ok(Ok(servers)) = timeout(CONNECT, client.server_pool()).await
                    {
                        self.tried.see(servers);
                        self.say_who_is_silent();
                    }
                }
                () = sleep_until(until), if self.until.is_some() => self.say_that_there_is_none(),
            }
        }
        for message in std::mem::take(&mut self.settling).held {
            self.publish(&client, message).await;
        }
        // That this node ends, if anybody listens.
        let _ = timeout(LAST, client.flush()).await;
        Ok(())
    }

    /// Sends a message. What cannot leave now is of no use later, and one that the server does not take is no reason to
    /// send no others.
    async fn publish(&mut self, client: &Client, message: Outbound) {
        if client.connection_state() != State::Connected {
            return;
        }
        let subject = match &message.to {
            Some(node) => format!("{}.to.{node}", self.prefix),
            None => format!("{}.all", self.prefix),
        };
        // It waits while the server takes nothing, and if that is dead until there is another one. Nothing else is done
        // meanwhile.
        let why = match timeout(LAST, client.publish(subject, message.bytes.into())).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the NATS server takes nothing".into(),
        };
        if let Some(before) = self.unsent.say(now_since(self.started)) {
            warn!("cluster: a message to other nodes is not sent: {why}{before}");
        }
    }

    /// Tells the owner if a server does not take all that nodes say.
    fn check_room(&self, client: &Client) {
        let (most, longest) = (client.max_payload(), limits::cluster::MESSAGE);
        if most < longest {
            warn!(
                "cluster: the NATS server takes messages of {most} bytes at most, but those of nodes have up to \
                 {longest}: set its max_payload to 1MB"
            );
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Connected => {
                info!("cluster: connected to NATS as node {}", self.node);
                self.until = None;
                self.is_connected.store(true, Ordering::Relaxed);
            }
            Event::Disconnected => {
                debug!("cluster: the connection to a NATS server is lost");
                self.until.get_or_insert_with(|| Instant::now() + PATIENCE);
                self.is_connected.store(false, Ordering::Relaxed);
            }
            Event::ServerError(_) | Event::ClientError(_) | Event::SlowConsumer(_) => {
                if let Some(before) = self.warnings.say(now_since(self.started)) {
                    warn!("cluster: NATS says: {event}{before}");
                }
            }
            Event::LameDuckMode | Event::Draining | Event::Closed => {
                debug!("cluster: NATS: {event}");
            }
        }
    }

    fn say_that_there_is_none(&mut self) {
        self.until = None;
        if !self.is_connected.load(Ordering::Relaxed) {
            let why = self.tried.failures().map(|why| format!(": {why}")).unwrap_or_default();
            warn!(
                "cluster: no NATS server answers, serving only this node's players and still trying{why}"
            );
        }
    }

    fn say_who_is_silent(&mut self) {
        if let Some(why) = self.tried.failures()
            && let Some(before) = self.silent.say(now_since(self.started))
        {
            warn!("cluster: not all NATS servers of --cluster answer: {why}{before}");
        }
    }
}

/// The next message of either subject; none: there will be no more.
async fn next(all: &mut Subscriber, own: &mut Subscriber) -> Option<async_nats::Message> {
    tokio::select! {
        message = all.next() => message,
        message = own.next() => message,
    }
}
