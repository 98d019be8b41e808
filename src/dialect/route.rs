//! By which way a peer is reached.

use serde::{Deserialize, Serialize};

use super::Via;
use crate::cluster::NodeId;

/// By a socket of this node, or by one of another node that passes on what comes from it. Another process learns anew
/// from the other nodes who is behind them.
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
