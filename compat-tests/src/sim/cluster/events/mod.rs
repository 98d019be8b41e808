//! Peers of events.
use super::Summary;
use super::nodes::Done;
use super::stage::Stage;
#[derive(Clone, Copy, Debug)]
pub enum Event {}
#[derive(Debug)]
pub struct Cast;
impl Cast {
    pub fn new(_: &mut Stage) -> Self {
        Self
    }
    pub fn summary(&self) -> Summary {
        Summary::default()
    }
    pub fn hear(&mut self, _: &mut Stage, _: &Done) -> Result<(), String> {
        Ok(())
    }
    pub fn handle(&mut self, _: &mut Stage, _: Event) -> Result<(), String> {
        Ok(())
    }
    pub fn on_death(&mut self, _: &mut Stage, _: usize) {}
}
