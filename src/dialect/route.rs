//! By which way a peer is reached.

use serde::{Deserialize, Serialize};

use super::Via;
use crate::cluster::NodeId;

/// By a socket of this node, or by one of another node that passes on what comes from it. For another process the nodes
/// are written apart, as that may not know all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Via", into = "Via")]
pub(super) struct Route {
    pub(super) via: Via,
    pub(super) node: Option<NodeId>,
}

impl From<Via> for Route {
    fn from(via: Via) -> Self {
        Self { via, node: None }
    }
}

impl From<Route> for Via {
    fn from(route: Route) -> Self {
        route.via
    }
}
