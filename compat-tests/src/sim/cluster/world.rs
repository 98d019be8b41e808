//! One schedule: the nodes, those who use them, and what happens next.

use std::time::Duration;

use punchd::clock::Instant;

use super::Summary;
use super::faults::Wrong;
use super::nodes::{Defect, Nodes};
use super::plan::{END, NODES};
use super::stage::{Event, Stage};
use super::{events, gmnet, natpunch, plan, rooms};
use crate::sim::rng::Rng;
use crate::sim::trace::Trace;

/// A schedule that is being run.
#[derive(Debug)]
pub struct World {
    stage: Stage,
    gmnet: gmnet::Cast,
    rooms: rooms::Cast,
    events: events::Cast,
    natpunch: natpunch::Cast,
    summary: Summary,
}

impl World {
    /// The schedule of a seed.
    #[must_use]
    pub fn new(seed: u64, defect: Defect, trace: Trace) -> Self {
        let mut stage = Stage::new(Rng::new(seed), Nodes::new(defect), trace);
        (stage.faults.all, stage.delay) = plan::faults(&mut stage.rng);
        for n in 0..NODES {
            let at = Instant::from_micros(stage.rng.within(0..50_000));
            stage.at(at, Event::Start(n));
        }
        for fault in stage.faults.all.clone() {
            stage.note("fault", &format!("{fault:?}"));
            if let Wrong::Dead(n) = fault.what {
                stage.at(fault.from, Event::Kill(n));
                stage.at(fault.to, Event::Start(n));
            }
        }
        Self {
            gmnet: gmnet::Cast::new(&mut stage),
            rooms: rooms::Cast::new(&mut stage),
            events: events::Cast::new(&mut stage),
            natpunch: natpunch::Cast::new(&mut stage, seed),
            summary: Summary { schedules: 1, ..Summary::default() },
            stage,
        }
    }

    /// When it is.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        Duration::from_micros(self.stage.now.micros()).as_secs_f64()
    }

    /// What has happened.
    #[must_use]
    pub fn into_trace(self) -> Trace {
        self.stage.trace
    }

    /// What came of it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = self.summary;
        let Self { gmnet, rooms, events, natpunch, .. } = self;
        for of_cast in [gmnet.summary(), rooms.summary(), events.summary(), natpunch.summary()] {
            summary.add(&of_cast);
        }
        (summary.messages, summary.bytes) = self.stage.nodes.sent;
        summary.trace = self.stage.trace.hash();
        summary
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// With the first promise that is broken.
    pub fn run(&mut self) -> Result<(), String> {
        /// Turns in which what is done piece by piece is done, at the most.
        const AWAKE: u32 = 100;
        let end = Instant::default() + END;
        let mut awake = 0;
        while let Some(at) = self.stage.next_time().filter(|at| *at <= end) {
            self.summary.steps += 1;
            self.stage.now = self.stage.now.max(at);
            let wakes = self.stage.nodes.next_wakeup().is_some_and(|due| due <= self.stage.now);
            if wakes {
                awake += 1;
                if awake > AWAKE {
                    return Err("a node does not sleep".into());
                }
                self.stage.wake();
            } else {
                awake = 0;
                let Some(event) = self.stage.pop() else { return Ok(()) };
                self.handle(event)?;
            }
            while let Some(done) = self.stage.pop_done() {
                self.gmnet.hear(&mut self.stage, &done);
                self.rooms.hear(&mut self.stage, &done)?;
                self.events.hear(&mut self.stage, &done)?;
                self.natpunch.hear(&mut self.stage, &done)?;
            }
            self.stage.post();
        }
        self.check_end()
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        let stage = &mut self.stage;
        match event {
            Event::Start(n) => {
                if !stage.nodes.lives(n) {
                    stage.nodes.start(n);
                    stage.faults.born.insert(n, stage.now);
                    stage.note("start", &n.to_string());
                }
            }
            Event::Kill(n) => {
                if stage.nodes.lives(n) {
                    self.kill(n);
                }
            }
            Event::Message(to, bytes) => stage.hear(to, &bytes),
            Event::Gmnet(event) => self.gmnet.handle(stage, event)?,
            Event::Rooms(event) => self.rooms.handle(stage, event)?,
            Event::Events(event) => self.events.handle(stage, event)?,
            Event::Natpunch(event) => self.natpunch.handle(stage, event)?,
        }
        Ok(())
    }

    fn kill(&mut self, n: usize) {
        let stage = &mut self.stage;
        stage.note("death", &n.to_string());
        stage.nodes.kill(n);
        self.summary.deaths += 1;
        self.gmnet.on_death(stage, n);
        self.rooms.on_death(stage, n);
        self.events.on_death(stage, n);
        self.natpunch.on_death(stage, n);
        for times in 0..20 {
            if let Some(hello) = stage.nodes.undead(n, times) {
                let wait = Duration::from_millis(500) * u32::from(times);
                (0..NODES).for_each(|to| stage.after(wait, Event::Message(to, hello.clone())));
            }
        }
    }

    /// All have left: nothing is left of them at any node.
    fn check_end(&self) -> Result<(), String> {
        for n in 0..NODES {
            let left = self.stage.nodes.kept(n);
            if !left.is_empty() {
                return Err(format!("all have left, but node {n} keeps {left:?}"));
            }
        }
        Ok(())
    }
}
