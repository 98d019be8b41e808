//! What tests and the debug client `punch` are made of: GMnet peers over real sockets, and a
//! fixture that runs the real server.
//!
//! - [`activated`]: servers whose sockets somebody else has opened.
//! - [`amplification`]: what unproven addresses are sent, compared with what came from them.
//! - [`bench`]: players and questions that load a server, and what it needs for them.
//! - [`bounded`]: reading with an end, whatever the other side does.
//! - [`browser`]: a real browser without a screen, and what is in a page.
//! - [`company`]: players of every dialect, for what a server shows of them.
//! - [`datagrams`]: reading them, over what systems say in the place of one.
//! - [`master`]: starts the built `punchd`, or points at a running server (`PUNCH_MASTER`).
//! - [`failing`]: players of rooms who do not get through, for each reason.
//! - [`folder`]: a place for the files of a test.
//! - [`meddler`]: a master server that cuts and glues its replies, for games to bear.
//! - [`vector`]: recorded conversations, played against a server and compared byte for byte.
//! - [`fuzz`]: what the fuzz targets do with their bytes.
//! - [`events`]: [`events::EventClient`], a peer of the JSON events.
//! - [`gmnet`]: [`gmnet::Host`], [`gmnet::Client`] and [`gmnet::Lobby`], and the bytes they send.
//! - [`http`]: asks for what the server shows to its owner and to web sites.
//! - [`natpunch`]: a client of the natpunch dialect.
//! - [`natlab`]: commands behind made-up NATs, where the machine can do that.
//! - [`nat`]: what kind of NAT is in front of this machine.
//! - [`nats_server`]: the servers of NATS by which nodes of a cluster meet.
//! - [`raw`]: bare sockets, for peers that no game would be.
//! - [`rooms`]: [`rooms::Player`], who hosts or joins a room and then talks ENet through the hole.
//! - [`shown`]: what others have sent, made fit for a terminal.
//! - [`sim`]: the server in a made-up network, through seeded schedules.
//! - [`skipped`]: tests that can do nothing where they run, counted at the end.
//! - [`unplugged`]: the server without sockets and with a made-up clock.
//! - [`unplugged_nodes`]: the nodes of a cluster like that.
//!
//! What measures servers, runs them for a test or looks at segments is for Linux alone. `punch` and what it is
//! made of otherwise is for every system.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod activated;
pub mod amplification;
#[cfg(target_os = "linux")]
pub mod bench;
pub mod bounded;
#[cfg(target_os = "linux")]
pub mod browser;
#[cfg(target_os = "linux")]
pub mod company;
pub mod datagrams;
pub mod events;
#[cfg(target_os = "linux")]
pub mod failing;
pub mod folder;
pub mod fuzz;
pub mod gmnet;
pub mod http;
#[cfg(target_os = "linux")]
pub mod line_of_masters;
#[cfg(target_os = "linux")]
pub mod master;
pub mod meddler;
pub mod nat;
pub mod natlab;
pub mod natpunch;
#[cfg(target_os = "linux")]
pub mod nats_server;
pub mod raw;
pub mod rooms;
pub mod running;
pub mod shown;
pub mod sim;
pub mod skipped;
pub mod unplugged;
pub mod unplugged_nodes;
#[cfg(target_os = "linux")]
pub mod vector;
