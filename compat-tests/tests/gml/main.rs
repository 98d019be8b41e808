//! The sample project, run for real: its GML against the built server and against the Rust peers.
//!
//! The GML is run by `gml-run`, which is named by `PUNCH_GML_RUN` or lies in `shared/gml/` beside
//! the workspace; where there is none these tests are skipped and say so.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

mod away;
mod events;
mod fixtures;
mod meeting;
mod ports;
mod restart;
mod room;
mod router;
mod runner;
mod ways;
