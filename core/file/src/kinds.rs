//! The kinds and provider instances that a file may speak of.

use std::collections::BTreeMap;
use std::sync::Arc;

use encamp_core::{InstanceName, Kind, KindName, Network};

/// Which kinds there are, and which instance is of which kind.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    /// By name.
    pub kinds: BTreeMap<KindName, Arc<dyn Kind>>,
    /// The kind of each instance.
    pub instances: BTreeMap<InstanceName, KindName>,
}

impl Kinds {
    /// Whether machines on an instance share the network of the controller's host.
    pub(crate) fn shares_host(&self, instance: &InstanceName) -> bool {
        let kind = self.instances.get(instance).and_then(|kind| self.kinds.get(kind));
        kind.is_some_and(|kind| kind.info().most.network == Network::Host)
    }
}

/// Whether a kind cannot have this name, because every machine has a key of it, now or later.
pub fn is_reserved(kind: &KindName) -> bool {
    let name = kind.as_str();
    crate::machines::KEYS.contains(&name) || LATER.contains(&name)
}

/// Keys of machines that later versions know.
pub(crate) const LATER: [&str; 6] = ["include", "extends", "matrix", "near", "apart", "mount"];
