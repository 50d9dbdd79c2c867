//! Containers: made, started, stopped, destroyed, looked at.

use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptions, KillContainerOptions, RemoveContainerOptions, StopContainerOptions,
};
use encamp_core::{
    Access, Create, Created, Cx, Error, ErrorKind, Observed, Phase, Removal, Result, Retry, Stamp, Target,
};

use super::Engine;
use super::podman::still_ends;
use crate::convert::{OUT_OF_MEMORY, REQUEST_LABEL, grace_of, identity_of, observed, phase_of, request_hash};
use crate::error::{Effect, Failure, foreign, missing};

/// While another call with the same name is being served, its container cannot be looked at yet.
const RESERVED_PAUSE: Duration = Duration::from_millis(20);
const RESERVED_LOOKS: u32 = 1500;

impl Engine {
    /// Sends one request under a key; what stands there already is adopted where it is the same request.
    pub(crate) async fn create(
        &self,
        cx: &Cx,
        stamp: &Stamp,
        platform: Option<String>,
        body: ContainerCreateBody,
    ) -> Result<Created> {
        let key = stamp.key.as_str();
        let request = body
            .labels
            .as_ref()
            .and_then(|labels| labels.get(REQUEST_LABEL))
            .cloned();
        let options = CreateContainerOptions {
            name: Some(key.to_owned()),
            platform: platform.unwrap_or_default(),
        };
        let sent = self.change(cx, self.docker.create_container(Some(options), body)).await;
        match sent {
            Ok(made) => Ok(Created::new(made.id, Phase::Held)),
            Err(failure) if name_is_taken(&failure) => self.adopt(cx, stamp, request.as_deref()).await,
            Err(failure) => Err(self.failed(failure, Effect::Change)),
        }
    }

    /// Whether the controller's folders are there, which not every engine asks. A request that was sent before and has
    /// made its machine is answered with that, although they may be gone by now.
    pub(crate) async fn mounts_are_there(&self, cx: &Cx, create: &Create) -> Result<Option<Created>> {
        let Some(missing) = create.mounts.iter().find(|mount| !mount.from.is_dir()) else {
            return Ok(None);
        };
        if self.look(cx, create.stamp.key.as_str()).await?.is_some() {
            let request = request_hash(create)?;
            return self.adopt(cx, &create.stamp, Some(&request)).await.map(Some);
        }
        Err(Error::new(ErrorKind::Invalid, "there is no such folder to mount")
            .with("folder", missing.from.display())
            .with("at", &missing.to))
    }

    /// The container that holds the key, if it is the one that was asked for.
    async fn adopt(&self, cx: &Cx, stamp: &Stamp, request: Option<&str>) -> Result<Created> {
        let key = stamp.key.as_str();
        for _ in 0..RESERVED_LOOKS {
            let Some(container) = self.look(cx, key).await? else {
                tokio::time::sleep(RESERVED_PAUSE).await;
                continue;
            };
            let (name, labels) = identity_of(&container);
            let id = container.id.clone().unwrap_or_default();
            if !stamp.matches(name, &labels) {
                return Err(foreign("container", key, &id));
            }
            if labels.get(REQUEST_LABEL).map(String::as_str) != request {
                return Err(foreign("container", key, &id).with("why", "it was made by another request"));
            }
            let phase = container
                .state
                .as_ref()
                .map_or(Phase::Starting, |state| phase_of(state).0);
            return Ok(Created::new(id, phase).adopted());
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "the name is taken by a container that does not appear",
        )
        .retry(Retry::Unknown)
        .with("name", key))
    }

    /// Starts a container, or lets a paused one go on; one that runs already is fine.
    pub(crate) async fn start(&self, cx: &Cx, target: &Target) -> Result<()> {
        let found = self.own(cx, target).await?;
        let id = found.id.clone().unwrap_or_default();
        if is_paused(&found) {
            return self.unpause_id(cx, &id).await;
        }
        let call = self
            .docker
            .start_container(&id, None::<bollard::query_parameters::StartContainerOptions>);
        let sent = self.change(cx, call).await;
        sent.map_err(|failure| self.failed(failure, Effect::Change))
    }

    /// Stops a container within `grace`; one that is stopped already is fine.
    pub(crate) async fn stop(&self, cx: &Cx, target: &Target, grace: Duration) -> Result<()> {
        let found = self.own(cx, target).await?;
        self.wake(cx, &found).await?;
        let id = found.id.unwrap_or_default();
        self.stop_id(cx, &id, grace).await
    }

    /// Lets a container's processes stand still; one that is paused already is fine.
    pub(crate) async fn pause(&self, cx: &Cx, target: &Target) -> Result<()> {
        let found = self.own(cx, target).await?;
        if is_paused(&found) {
            return Ok(());
        }
        let id = found.id.unwrap_or_default();
        match self.change(cx, self.docker.pause_container(&id)).await {
            // Another call came first.
            Err(failure) if failure.text().contains("already paused") => Ok(()),
            sent => sent.map_err(|failure| self.failed(failure, Effect::Change)),
        }
    }

    async fn unpause_id(&self, cx: &Cx, id: &str) -> Result<()> {
        match self.change(cx, self.docker.unpause_container(id)).await {
            Err(failure) if failure.text().contains("is not paused") => Ok(()),
            sent => sent.map_err(|failure| self.failed(failure, Effect::Change)),
        }
    }

    /// Podman ends no container that is paused.
    async fn wake(&self, cx: &Cx, container: &ContainerInspectResponse) -> Result<()> {
        match &container.id {
            Some(id) if self.learnt.podman && is_paused(container) => self.unpause_id(cx, id).await,
            _ => Ok(()),
        }
    }

    async fn kill_id(&self, cx: &Cx, id: &str) -> Result<()> {
        let options = KillContainerOptions {
            signal: "SIGKILL".to_owned(),
        };
        match self.change(cx, self.docker.kill_container(id, Some(options))).await {
            Err(failure) if is_not_running(&failure) => Ok(()),
            sent => sent.map_err(|failure| self.failed(failure, Effect::Change)),
        }
    }

    async fn stop_id(&self, cx: &Cx, id: &str, grace: Duration) -> Result<()> {
        if grace.is_zero() {
            return self.kill_id(cx, id).await;
        }
        let seconds = crate::table::Span(grace).seconds_up();
        let options = StopContainerOptions {
            t: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            signal: None,
        };
        let sent = self.change(cx, self.docker.stop_container(id, Some(options))).await;
        sent.map_err(|failure| self.failed(failure, Effect::Change))
    }

    /// Removes a container and its anonymous volumes; one that is not there is gone.
    pub(crate) async fn destroy(&self, cx: &Cx, target: &Target) -> Result<Removal> {
        let Some(container) = self.find(cx, target).await? else {
            return self.remove_snapshot(cx, &target.stamp).await;
        };
        self.wake(cx, &container).await?;
        let (_, labels) = identity_of(&container);
        let id = container.id.unwrap_or_default();
        let running = container.state.and_then(|state| state.running) == Some(true);
        if let Some(grace) = grace_of(&labels).filter(|_| running) {
            match self.stop_id(cx, &id, grace.0).await {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let options = RemoveContainerOptions {
            v: true,
            force: true,
            link: false,
        };
        match self.change(cx, self.docker.remove_container(&id, Some(options))).await {
            Ok(()) => Ok(Removal::Gone),
            Err(failure) if failure.status() == Some(404) => Ok(Removal::Gone),
            Err(failure) if failure.status() == Some(409) && failure.text().contains("already in progress") => {
                Ok(Removal::Pending)
            }
            Err(failure) if self.learnt.podman && still_ends(&failure) => Ok(Removal::Pending),
            Err(failure) => Err(self.failed(failure, Effect::Change)),
        }
    }

    /// One look at a machine.
    pub(crate) async fn inspect(&self, cx: &Cx, target: &Target) -> Result<Observed> {
        Ok(match self.find(cx, target).await? {
            Some(container) => {
                let mut observed = observed(&container, &self.reach());
                // A check that nobody runs would stay at its beginning for ever.
                observed.health = observed.health.filter(|_| self.learnt.health);
                if observed.why.is_none() && self.was_out_of_memory(cx, &container).await {
                    observed.why = Some(OUT_OF_MEMORY.to_owned());
                }
                observed
            }
            None => Observed::new(Phase::Gone, target.id.clone().unwrap_or_default(), Access::None),
        })
    }

    /// The container of a target, which must be there.
    pub(crate) async fn own(&self, cx: &Cx, target: &Target) -> Result<ContainerInspectResponse> {
        let found = self.find(cx, target).await?;
        found.ok_or_else(|| missing("machine", target.stamp.object()).with("name", &target.stamp.key))
    }

    /// The container of a target, by its name, and where nothing has that name any more by its id. What does not
    /// carry the stamp is not ours.
    pub(crate) async fn find(&self, cx: &Cx, target: &Target) -> Result<Option<ContainerInspectResponse>> {
        self.at(&target.site)?;
        let key = target.stamp.key.as_str();
        let mut found = self.look(cx, key).await?;
        if let (None, Some(id)) = (&found, target.id.as_deref().filter(|id| !id.is_empty())) {
            found = self.look(cx, id).await?;
        }
        if let Some(container) = &found {
            let (name, labels) = identity_of(container);
            if !target.stamp.matches(name, &labels) {
                let id = container.id.as_deref().unwrap_or_default();
                return Err(foreign("container", key, id).with("found", name));
            }
        }
        Ok(found)
    }

    /// What to address a machine's container by: its id needs no further look, because ids are never used again.
    pub(crate) async fn address(&self, cx: &Cx, target: &Target) -> Result<String> {
        self.at(&target.site)?;
        match target.id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => Ok(id.to_owned()),
            None => Ok(self.own(cx, target).await?.id.unwrap_or_default()),
        }
    }

    async fn look(&self, cx: &Cx, name: &str) -> Result<Option<ContainerInspectResponse>> {
        let options = None::<bollard::query_parameters::InspectContainerOptions>;
        let ask = || self.docker.inspect_container(name, options.clone());
        match self.read_settled(cx, ask).await {
            Ok(container) => Ok(Some(container)),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) if self.learnt.podman && failure.is_not_understood() => {
                let error = Error::new(
                    ErrorKind::Unavailable,
                    "the machine has ended, and its end is not written down yet",
                );
                Err(error.retry(Retry::Safe).with("name", name))
            }
            Err(failure) => Err(self.failed(failure, Effect::Read)),
        }
    }
}

fn is_paused(container: &ContainerInspectResponse) -> bool {
    container.state.as_ref().and_then(|state| state.paused) == Some(true)
}

/// Docker says so by the status, Podman in words.
fn name_is_taken(failure: &Failure) -> bool {
    failure.status() == Some(409) || failure.text().contains("name is already in use")
}

fn is_not_running(failure: &Failure) -> bool {
    let text = failure.text();
    text.contains("is not running") || text.contains("can only kill running containers")
}
