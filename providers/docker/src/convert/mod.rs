//! Pure translation: request → what the engine takes, what the engine says → observation.

mod body;
mod machine;
mod observation;
mod reference;
mod scope;

pub(crate) use body::{Body, Offer, platform_of, request_hash, with_needs};
pub(crate) use machine::{Reach, container};
pub(crate) use observation::{
    OUT_OF_MEMORY, engine_site, found_image, found_machine, found_network, found_volume, grace_of, identity_of,
    labels_of, mounted_in, observed, phase_of,
};
pub(crate) use reference::Reference;
pub(crate) use scope::{Item, items, network_request, volume_request};

/// The label that holds the hash of the frozen request.
pub(crate) const REQUEST_LABEL: &str = "encamp.request";

/// The label that holds how long the command has to end before it is destroyed.
pub(crate) const GRACE_LABEL: &str = "encamp.stop-grace";

/// The repository under which snapshots keep their key as a tag.
pub(crate) const SNAPSHOT_REPOSITORY: &str = "encamp-snapshot";

/// The repository of built images; the tag is the hash of what was built.
pub(crate) const BUILD_REPOSITORY: &str = "encamp-build";

/// The name of the scope item that is the environment's network.
pub(crate) const NETWORK_ITEM: &str = "net";
