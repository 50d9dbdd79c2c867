//! Networks and volumes.

use std::collections::HashMap;

use bollard::models::{Network, NetworkCreateRequest, NetworkDisconnectRequest, Volume, VolumeCreateRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptions, RemoveVolumeOptions};
use encamp_core::{Cx, Error, ErrorKind, Opened, Removal, Result, Retry, Stamp, Target};
use serde_json::json;

use super::Engine;
use crate::convert::labels_of;
use crate::error::{Effect, Failure, foreign};

impl Engine {
    /// Opens the network of a stamp. Names of networks are no keys, so it is looked for before it is made.
    pub(crate) async fn open_network(&self, cx: &Cx, stamp: &Stamp, request: NetworkCreateRequest) -> Result<Opened> {
        if let Some(opened) = self.network_there(cx, stamp).await? {
            return Ok(opened);
        }
        match self.send_network(cx, request).await {
            Ok(id) => Ok(opened_network(stamp, &id)),
            Err(failure) if failure.status() == Some(409) => match self.network_there(cx, stamp).await? {
                Some(opened) => Ok(opened),
                None => Err(self.failed(failure, Effect::Change)),
            },
            Err(failure) => Err(self.failed(failure, Effect::Change)),
        }
    }

    /// Our network, if there is one. A second one of the same name would keep every machine from starting, so it
    /// is removed again: it is ours, it came of a request that was sent twice, and the first one is in use.
    async fn network_there(&self, cx: &Cx, stamp: &Stamp) -> Result<Option<Opened>> {
        let (ours, others) = self.networks_of(cx, stamp).await?;
        if let Some(other) = others.first() {
            return Err(foreign("network", stamp.key.as_str(), other));
        }
        let mut ours = ours.into_iter();
        let first = ours.next().map(|id| opened_network(stamp, &id));
        for second in ours {
            match self.change(cx, self.docker.remove_network(&second)).await {
                Err(failure) if failure.status() != Some(404) => return Err(self.failed(failure, Effect::Change)),
                _ => {}
            }
        }
        Ok(first)
    }

    /// The ids of the networks with the stamp's key as their name, the oldest first: those that carry the stamp,
    /// and the others.
    async fn networks_of(&self, cx: &Cx, stamp: &Stamp) -> Result<(Vec<String>, Vec<String>)> {
        let key = stamp.key.as_str();
        let options = ListNetworksOptions {
            filters: Some(HashMap::from([("name".to_owned(), vec![key.to_owned()])])),
        };
        let ask = || self.docker.list_networks(Some(options.clone()));
        let listed = self.read_settled(cx, ask).await;
        let mut listed = listed.map_err(|failure| self.failed(failure, Effect::Read))?;
        listed.sort_by(|one, other| (&one.created, &one.id).cmp(&(&other.created, &other.id)));
        // The filter matches parts of names.
        let named = listed
            .into_iter()
            .filter(|network| network.name.as_deref() == Some(key));
        let (ours, others): (Vec<Network>, Vec<Network>) =
            named.partition(|network| stamp.matches_labels(&labels_of(network.labels.as_ref())));
        let ids = |networks: Vec<Network>| networks.into_iter().filter_map(|network| network.id).collect();
        Ok((ids(ours), ids(others)))
    }

    /// Up to 1.43 of the interface the engine compares names only when asked to, and the client's type has lost
    /// the field for it.
    async fn send_network(&self, cx: &Cx, request: NetworkCreateRequest) -> Result<String, Failure> {
        let mut body = serde_json::to_value(&request).map_err(bollard::errors::Error::from)?;
        body["CheckDuplicate"] = json!(true);
        let bytes = bytes::Bytes::from(body.to_string());
        let docker = self
            .docker
            .clone()
            .with_request_modifier(move |sent| sent.map(|_| bollard::body_full(bytes.clone())));
        let made = self.change(cx, docker.create_network(request)).await?;
        Ok(made.id)
    }

    /// Opens the volume of a stamp. An existing one keeps its labels, so they are compared.
    pub(crate) async fn open_volume(&self, cx: &Cx, stamp: &Stamp, request: VolumeCreateRequest) -> Result<Opened> {
        let sent = self.change(cx, self.docker.create_volume(request)).await;
        let volume = sent.map_err(|failure| self.failed(failure, Effect::Change))?;
        if !stamp.matches(&volume.name, &volume.labels.clone().into_iter().collect()) {
            return Err(foreign("volume", stamp.key.as_str(), &volume.name));
        }
        // A machine that comes late makes the volume once more; with these it is found and removed again.
        let data = json!({ "volume": volume.name, "labels": stamp.labels });
        Ok(Opened::new(volume.name, data))
    }

    /// Removes the network or the volume of a stamp, whichever is there.
    pub(crate) async fn close(&self, cx: &Cx, target: &Target) -> Result<Removal> {
        self.at(&target.site)?;
        let stamp = &target.stamp;
        let ((ours, others), volume) = tokio::try_join!(self.networks_of(cx, stamp), self.volume_of(cx, stamp))?;
        let mut removal = Removal::Gone;
        for id in &ours {
            if self.close_network(cx, id).await? == Removal::Pending {
                removal = Removal::Pending;
            }
        }
        if let Some(volume) = &volume
            && self.close_volume(cx, &volume.name).await? == Removal::Pending
        {
            removal = Removal::Pending;
        }
        match others.first() {
            Some(other) if ours.is_empty() && volume.is_none() => Err(foreign("network", stamp.key.as_str(), other)),
            _ => Ok(removal),
        }
    }

    /// Our volume, if there is one; one that is not ours is a conflict.
    async fn volume_of(&self, cx: &Cx, stamp: &Stamp) -> Result<Option<Volume>> {
        let key = stamp.key.as_str();
        match self.read(cx, self.docker.inspect_volume(key)).await {
            Ok(volume) if stamp.matches(&volume.name, &volume.labels.clone().into_iter().collect()) => Ok(Some(volume)),
            Ok(volume) => Err(foreign("volume", key, &volume.name)),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(self.failed(failure, Effect::Read)),
        }
    }

    /// Machines are gone by now; whatever is still attached is a stranger and would keep the network alive.
    async fn close_network(&self, cx: &Cx, id: &str) -> Result<Removal> {
        let options = None::<InspectNetworkOptions>;
        let ask = || self.docker.inspect_network(id, options.clone());
        let network = match self.read_settled(cx, ask).await {
            Ok(network) => network,
            Err(failure) if failure.status() == Some(404) => return Ok(Removal::Gone),
            Err(failure) => return Err(self.failed(failure, Effect::Read)),
        };
        let attached = network.containers.unwrap_or_default();
        let is_empty = attached.is_empty();
        for (id_there, attached) in attached {
            // What a container left behind that is gone; it is let go by that container's name.
            let left = id_there.starts_with("ep-");
            let request = NetworkDisconnectRequest {
                container: attached.name.filter(|_| left).unwrap_or(id_there),
                force: Some(true),
            };
            match self.change(cx, self.docker.disconnect_network(id, request)).await {
                Err(failure) if failure.status() != Some(404) => return Err(self.failed(failure, Effect::Change)),
                _ => {}
            }
        }
        match self.change(cx, self.docker.remove_network(id)).await {
            Ok(()) => Ok(Removal::Gone),
            Err(failure) if failure.status() == Some(404) => Ok(Removal::Gone),
            Err(failure) if failure.text().contains("active endpoints") => {
                if is_empty {
                    let name = network.name.as_deref().unwrap_or(id);
                    return Err(miscounted(name).caused_by(failure.text().to_owned()));
                }
                Ok(Removal::Pending)
            }
            Err(failure) => Err(self.failed(failure, Effect::Change)),
        }
    }

    async fn close_volume(&self, cx: &Cx, name: &str) -> Result<Removal> {
        let options = RemoveVolumeOptions { force: false };
        match self.change(cx, self.docker.remove_volume(name, Some(options))).await {
            Ok(()) => Ok(Removal::Gone),
            Err(failure) => match failure.status() {
                Some(404) => Ok(Removal::Gone),
                // A machine that is on its way out still holds it.
                Some(409) => Ok(Removal::Pending),
                _ => Err(self.failed(failure, Effect::Change)),
            },
        }
    }
}

/// A fault of Docker's: endpoints that come and go at the same time may be counted wrongly (moby/moby#42119).
fn miscounted(network: &str) -> Error {
    let text =
        format!("the daemon counts endpoints of the network {network} that are not there, and keeps it for them");
    let error = Error::new(ErrorKind::Unavailable, text).retry(Retry::Safe);
    error.next_step("restart the daemon, which counts them anew then: systemctl restart docker")
}

fn opened_network(stamp: &Stamp, id: &str) -> Opened {
    Opened::new(id, json!({ "network": stamp.key.as_str() }))
}
