//! What the engine says, as observation.

use std::collections::HashMap;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status, ContainerSummary,
    ContainerSummaryStateEnum as Summary, HealthStatusEnum as HealthStatus, ImageSummary, Network, NetworkSettings,
    SystemInfo, Volume,
};
use encamp_core::{Access, Addr, AddrScope, Class, Exit, Found, Health, Labels, Observed, Phase, Published, Site};
use sha2::{Digest, Sha256};

use super::{GRACE_LABEL, Reach, SNAPSHOT_REPOSITORY};
use crate::table::Span;

/// The name and the labels that a container carries.
pub(crate) fn identity_of(container: &ContainerInspectResponse) -> (&str, Labels) {
    let name = container.name.as_deref().unwrap_or_default();
    let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
    (name.trim_start_matches('/'), labels_of(labels))
}

/// The folders of a container that are not its own file system, and so are in no image of it.
pub(crate) fn mounted_in(container: &ContainerInspectResponse) -> Vec<String> {
    let mounts = container.mounts.iter().flatten();
    let mounts = mounts.filter_map(|mount| mount.destination.clone());
    let tmpfs = container
        .host_config
        .iter()
        .flat_map(|host| host.tmpfs.iter().flatten());
    let mut folders: Vec<_> = mounts.chain(tmpfs.map(|(folder, _)| folder.clone())).collect();
    folders.sort_unstable();
    folders.dedup();
    folders
}

/// Labels in order.
pub(crate) fn labels_of(labels: Option<&HashMap<String, String>>) -> Labels {
    labels
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// How long the command asked to have before it is destroyed.
pub(crate) fn grace_of(labels: &Labels) -> Option<Span> {
    labels.get(GRACE_LABEL).and_then(|text| Span::parse(text))
}

/// Why the kernel ended it.
pub(crate) const OUT_OF_MEMORY: &str = "out of memory";

/// Where a container stands, and what the engine says about it.
pub(crate) fn phase_of(state: &ContainerState) -> (Phase, Option<String>) {
    let said = state.error.clone().filter(|error| !error.is_empty());
    match state.status {
        Some(Status::CREATED) => (Phase::Held, said),
        Some(Status::RUNNING | Status::STOPPING) => (Phase::Running, said),
        Some(Status::PAUSED) => (Phase::Paused, said),
        Some(Status::EXITED) => {
            let out_of_memory = state.oom_killed == Some(true);
            let why = if out_of_memory {
                Some(OUT_OF_MEMORY.to_owned())
            } else {
                said
            };
            (Phase::Exited(exit_of(state.exit_code)), why)
        }
        Some(Status::REMOVING | Status::DEAD) => (Phase::Dying, said),
        Some(Status::RESTARTING | Status::EMPTY) | None => (Phase::Starting, said),
    }
}

/// What the image's own health check says of a container that runs.
fn health_of(state: &ContainerState) -> Option<Health> {
    let health = state.health.as_ref().filter(|_| state.running == Some(true))?;
    match health.status? {
        HealthStatus::EMPTY | HealthStatus::NONE => None,
        HealthStatus::STARTING => Some(Health::Starting),
        HealthStatus::HEALTHY => Some(Health::Healthy),
        HealthStatus::UNHEALTHY => {
            let last = health.log.iter().flatten().next_back();
            let said = last.and_then(|last| last.output.as_deref()).map(str::trim);
            let said = said.filter(|said| !said.is_empty()).map(str::to_owned);
            Some(Health::Unhealthy { said })
        }
    }
}

fn exit_of(code: Option<i64>) -> Exit {
    match code.map(i32::try_from) {
        Some(Ok(code)) => Exit::Code(code),
        _ => Exit::Lost("the engine kept no exit status".to_owned()),
    }
}

/// One look at a container.
pub(crate) fn observed(container: &ContainerInspectResponse, reach: &Reach) -> Observed {
    let (phase, why) = container.state.as_ref().map_or((Phase::Starting, None), phase_of);
    let id = container.id.clone().unwrap_or_default();
    let mut observed = Observed::new(phase, id, Access::Native);
    observed.why = why;
    observed.health = container.state.as_ref().and_then(health_of);
    if let Some(settings) = &container.network_settings {
        observed.addrs = addrs(settings);
        observed.ports = ports(settings, reach);
    }
    observed
}

fn addrs(settings: &NetworkSettings) -> Vec<Addr> {
    let networks = settings.networks.iter().flatten();
    let mut hosts: Vec<_> = networks
        .filter_map(|(_, endpoint)| endpoint.ip_address.clone())
        .filter(|address| !address.is_empty())
        .collect();
    hosts.sort_unstable();
    hosts
        .into_iter()
        .map(|host| Addr::new(host, AddrScope::Scope))
        .collect()
}

/// A port may be published on several addresses; of those that can be dialled the first by its text is taken, so that
/// every look says the same.
fn ports(settings: &NetworkSettings, reach: &Reach) -> Vec<Published> {
    let mut ports: Vec<_> = settings
        .ports
        .iter()
        .flatten()
        .filter_map(|(key, bindings)| {
            let port = key.strip_suffix("/tcp")?.parse().ok()?;
            let mut bindings: Vec<_> = bindings
                .iter()
                .flatten()
                .filter_map(|binding| {
                    let host_port: u16 = binding.host_port.as_ref()?.parse().ok()?;
                    let host = reach.dialled(binding.host_ip.as_deref().unwrap_or_default())?;
                    Some((host, host_port))
                })
                .collect();
            bindings.sort_unstable();
            let (host, host_port) = bindings.into_iter().next()?;
            Some(Published::new(port, host, host_port))
        })
        .collect();
    ports.sort_by_key(|published| published.port);
    ports
}

/// A line of a listing of containers.
pub(crate) fn found_machine(site: &Site, summary: ContainerSummary) -> Found {
    let name = summary
        .names
        .iter()
        .flatten()
        // A link adds further names with a path of their own.
        .find(|name| name.trim_start_matches('/').find('/').is_none())
        .map(|name| name.trim_start_matches('/').to_owned())
        .unwrap_or_default();
    let phase = match summary.state {
        Some(Summary::CREATED) => Phase::Held,
        Some(Summary::RUNNING | Summary::STOPPING) => Phase::Running,
        Some(Summary::PAUSED) => Phase::Paused,
        Some(Summary::EXITED) => Phase::Exited(exit_of(summary.status.as_deref().and_then(exit_in))),
        Some(Summary::REMOVING | Summary::DEAD) => Phase::Dying,
        Some(Summary::RESTARTING | Summary::EMPTY) | None => Phase::Starting,
    };
    let id = summary.id.unwrap_or_default();
    let mut found = Found::new(Class::Machine, name, id, site.clone(), phase);
    found.access = Some(Access::Native);
    found.labels = labels_of(summary.labels.as_ref());
    found
}

/// `Exited (137) 5 seconds ago` → 137.
fn exit_in(status: &str) -> Option<i64> {
    status.strip_prefix("Exited (")?.split_once(')')?.0.parse().ok()
}

/// A line of a listing of networks.
pub(crate) fn found_network(site: &Site, network: Network) -> Found {
    let name = network.name.unwrap_or_default();
    let id = network.id.unwrap_or_default();
    let mut found = Found::new(Class::Scope, name, id, site.clone(), Phase::Running);
    found.labels = labels_of(network.labels.as_ref());
    found
}

/// A line of a listing of volumes.
pub(crate) fn found_volume(site: &Site, volume: Volume) -> Found {
    let mut found = Found::new(
        Class::Scope,
        volume.name.clone(),
        volume.name,
        site.clone(),
        Phase::Running,
    );
    found.labels = volume.labels.into_iter().collect();
    found
}

/// A line of a listing of images. Only a snapshot has a key, which is its tag.
pub(crate) fn found_image(site: &Site, image: ImageSummary) -> Option<Found> {
    let prefix = format!("{SNAPSHOT_REPOSITORY}:");
    let key = image.repo_tags.iter().find_map(|tag| tag.strip_prefix(&prefix))?;
    let mut found = Found::new(Class::Image, key, image.id.clone(), site.clone(), Phase::Running);
    found.labels = image.labels.into_iter().collect();
    Some(found)
}

/// The site: the engine's id, where it is the same at two reads. Podman's compatible interface makes up a new
/// one at each; there the endpoint, the host and the storage root stand for it.
pub(crate) fn engine_site(endpoint: &str, machine_id: &str, first: &SystemInfo, second: &SystemInfo) -> Site {
    match (first.id.as_deref(), second.id.as_deref()) {
        (Some(one), Some(two)) if one == two && !one.is_empty() => Site::new(format!("docker:{one}")),
        _ => {
            let mut hasher = Sha256::new();
            let host = first.name.as_deref().unwrap_or_default();
            let root = first.docker_root_dir.as_deref().unwrap_or_default();
            for part in [endpoint, machine_id, host, root] {
                hasher.update(part);
                hasher.update([0]);
            }
            let digest = data_encoding::HEXLOWER.encode(&hasher.finalize());
            Site::new(format!("docker:at-{}", digest.get(..32).unwrap_or(&digest)))
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{EndpointSettings, PortBinding};

    use super::*;

    fn state(status: Status, exit_code: i64, oom: bool) -> ContainerState {
        ContainerState {
            status: Some(status),
            exit_code: Some(exit_code),
            oom_killed: Some(oom),
            ..ContainerState::default()
        }
    }

    #[test]
    fn every_state_has_its_phase() {
        let table = [
            (state(Status::CREATED, 0, false), Phase::Held, None),
            (state(Status::RUNNING, 0, false), Phase::Running, None),
            (state(Status::PAUSED, 0, false), Phase::Paused, None),
            (state(Status::RESTARTING, 0, false), Phase::Starting, None),
            (state(Status::EXITED, 3, false), Phase::Exited(Exit::Code(3)), None),
            (
                state(Status::EXITED, 137, true),
                Phase::Exited(Exit::Code(137)),
                Some("out of memory"),
            ),
            (state(Status::REMOVING, 0, false), Phase::Dying, None),
            (state(Status::DEAD, 0, false), Phase::Dying, None),
        ];
        for (state, phase, why) in table {
            assert_eq!(phase_of(&state), (phase, why.map(str::to_owned)));
        }
    }

    #[test]
    fn a_listing_has_phases_with_exit_codes() {
        let summary = ContainerSummary {
            id: Some("3c1f".into()),
            names: Some(vec!["/other/alias".into(), "/ec-x".into()]),
            state: Some(Summary::EXITED),
            status: Some("Exited (137) 5 seconds ago".into()),
            ..ContainerSummary::default()
        };
        let found = found_machine(&Site::new("docker:x"), summary);
        assert_eq!(found.key, "ec-x");
        assert_eq!(found.phase, Phase::Exited(Exit::Code(137)));
    }

    #[test]
    fn published_ports_are_those_that_can_be_dialled() {
        let binding = |ip: &str, port: &str| PortBinding {
            host_ip: Some(ip.into()),
            host_port: Some(port.into()),
        };
        let settings = NetworkSettings {
            ports: Some(HashMap::from([
                (
                    "80/tcp".to_owned(),
                    Some(vec![binding("::", "9"), binding("0.0.0.0", "9")]),
                ),
                ("81/tcp".to_owned(), None),
                ("82/udp".to_owned(), Some(vec![binding("0.0.0.0", "7")])),
            ])),
            networks: Some(HashMap::from([(
                "n".to_owned(),
                EndpointSettings {
                    ip_address: Some("172.18.0.2".into()),
                    ..EndpointSettings::default()
                },
            )])),
            ..NetworkSettings::default()
        };
        let reach = |local, host: Option<&str>| Reach {
            local,
            host: host.map(str::to_owned),
            shares_files: false,
            publish_address: std::net::Ipv4Addr::LOCALHOST.into(),
        };
        assert_eq!(
            ports(&settings, &reach(true, None)),
            [Published::new(80, "127.0.0.1", 9)]
        );
        assert_eq!(
            ports(&settings, &reach(false, Some("lab"))),
            [Published::new(80, "lab", 9)]
        );
        assert_eq!(ports(&settings, &reach(false, None)), []);
        assert_eq!(addrs(&settings), [Addr::new("172.18.0.2", AddrScope::Scope)]);
    }

    #[test]
    fn an_id_that_changes_is_no_site() {
        let info = |id: &str| SystemInfo {
            id: Some(id.into()),
            name: Some("host".into()),
            docker_root_dir: Some("/var/lib".into()),
            ..SystemInfo::default()
        };
        assert_eq!(
            engine_site("unix:///x", "m", &info("A"), &info("A")),
            Site::new("docker:A")
        );
        let hashed = engine_site("unix:///x", "m", &info("A"), &info("B"));
        assert_eq!(hashed, engine_site("unix:///x", "m", &info("C"), &info("D")));
        assert_ne!(hashed, engine_site("unix:///y", "m", &info("C"), &info("D")));
    }
}
