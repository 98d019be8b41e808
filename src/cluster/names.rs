//! Which node is meant, and what it is called.

use serde::{Deserialize, Serialize};

use crate::limits::cluster as limits;

/// Another node, for as long as this process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(u8);

impl NodeId {
    /// The node in that place; there are few.
    pub(crate) fn of(place: usize) -> Self {
        Self(u8::try_from(place).unwrap_or(u8::MAX))
    }

    /// Its place.
    pub(super) fn place(self) -> usize {
        self.0.into()
    }
}

/// What nodes are called.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<Box<str>>);

impl Names {
    /// The name of a node.
    #[must_use]
    pub fn of(&self, node: NodeId) -> &str {
        self.0.get(node.place()).map_or("?", |name| name)
    }

    /// Whether there is, or was, such a node.
    #[must_use]
    pub fn has(&self, node: NodeId) -> bool {
        node.place() < self.0.len()
    }

    /// That is a node's name from now on.
    pub(super) fn set(&mut self, node: NodeId, name: &str) {
        match self.0.get_mut(node.place()) {
            Some(known) => *known = name.into(),
            None => self.0.push(name.into()),
        }
    }
}

/// Whether this can be the name of a node or of a cluster: letters, digits, `-` and `_`.
///
/// # Errors
/// If it cannot.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.len() <= limits::NAME && name.chars().all(is_fine) {
        return Ok(());
    }
    let most = limits::NAME;
    Err(format!("want up to {most} letters, digits, - or _"))
}
