//! One engine: its client, and what was learnt of it at connect.

use bollard::Docker;
use bollard::models::SystemInfo;
use encamp_core::{Ambient, Cx, Error, ErrorKind, Finding, Level, Result, Site};

use super::endpoint::Endpoint;
use super::host;
use super::podman::{has_names, is_podman, runs_checks};
use crate::capabilities::Learnt;
use crate::config::Settings;
use crate::convert::{Offer, Reach, engine_site};
use crate::error::{Effect, Failure, no_daemon, translate};

/// The oldest interface that is spoken: Docker 20.10.
const OLDEST: (usize, usize) = (1, 41);

/// An engine that answers.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The client, with the version of the interface negotiated.
    pub(crate) docker: Docker,
    /// Its settings.
    pub(crate) settings: Settings,
    /// Its identity.
    pub(crate) site: Site,
    /// What its host has.
    pub(crate) offer: Offer,
    /// What else was learnt of it.
    pub(crate) learnt: Learnt,
    pub(super) endpoint: Endpoint,
}

impl Engine {
    /// Finds the socket, negotiates the version and reads who answers.
    pub(crate) async fn connect(cx: &Cx, settings: Settings, ambient: &Ambient) -> Result<Self> {
        let endpoint = Endpoint::choose(&settings, ambient)?;
        let client = endpoint.client()?;
        let failed = |failure| translate(failure, Effect::Read, &endpoint.place);
        let docker = bounded(cx, client.negotiate_version()).await.map_err(failed)?;
        let version = docker.client_version();
        if (version.major_version, version.minor_version) < OLDEST {
            return Err(too_old(&endpoint, &version.to_string()));
        }
        let podman = is_podman(&bounded(cx, docker.version()).await.map_err(failed)?);
        // Twice, because an engine that makes up an id at each call has none.
        let (first, second) =
            tokio::try_join!(bounded(cx, docker.info()), bounded(cx, docker.info())).map_err(failed)?;
        let site = site_of(&endpoint, &first, &second).await;
        let shares_files = endpoint.is_socket() && host::ThisHost::read().await.is_host_of(&first);
        let learnt = Learnt {
            dials: endpoint.local && addresses_reach(&first),
            shares_files,
            health: !podman || runs_checks(shares_files),
            names: !podman || has_names(endpoint.socket()).await,
            podman,
        };
        Ok(Self {
            docker,
            settings,
            site,
            offer: offer_of(first),
            learnt,
            endpoint,
        })
    }

    /// Whether it still answers, and what it warns of.
    pub(crate) async fn check(&self, cx: &Cx, thorough: bool) -> Result<Vec<Finding>> {
        let reported = |failure| self.failed(failure, Effect::Read);
        self.read(cx, self.docker.ping()).await.map_err(reported)?;
        let info = self.same_engine(cx).await?;
        let mut findings = Vec::new();
        if !self.learnt.dials {
            let text = "the addresses of its containers cannot be dialled from here; probes run inside the machines";
            findings.push(Finding::new(Level::Note, text));
        }
        if !self.learnt.names {
            let text = "machines of it do not find each other by name: Podman's networks are CNI's here";
            let warning = Finding::new(Level::Warning, text);
            let help = "install netavark and aardvark-dns, and set `network_backend = \"netavark\"` in containers.conf";
            findings.push(warning.help(help));
        }
        if !self.learnt.health {
            let text = "it runs no health checks, because Podman leaves them to systemd, which is not here";
            let warning = Finding::new(Level::Warning, text);
            findings.push(warning.help("probe with `run` or `tcp` in the place of `healthcheck`"));
        }
        if !self.reach().publishes() {
            let text = "it is on another host, so no port of its machines can be dialled from here";
            let note = Finding::new(Level::Note, text);
            findings.push(
                note.help("`publish_address` in the settings of this provider names an address that can be dialled"),
            );
        }
        if !self.learnt.shares_files {
            let text = "it does not see the folders of this host, so secrets cannot be mounted from here";
            findings.push(Finding::new(Level::Note, text));
        }
        if thorough {
            let warnings = info.warnings.unwrap_or_default();
            findings.extend(warnings.into_iter().map(|text| Finding::new(Level::Warning, text)));
        }
        Ok(findings)
    }

    /// Reads who answers now. Another engine at the same address is an error, never "everything is gone".
    pub(crate) async fn same_engine(&self, cx: &Cx) -> Result<SystemInfo> {
        let reported = |failure| self.failed(failure, Effect::Read);
        let first = self.read(cx, self.docker.info()).await.map_err(reported)?;
        let made_up = self.site.as_str().starts_with("docker:at-");
        let second = if made_up { SystemInfo::default() } else { first.clone() };
        let site = site_of(&self.endpoint, &first, &second).await;
        self.at(&site)?;
        Ok(first)
    }

    /// Refuses what is meant for another engine.
    pub(crate) fn at(&self, site: &Site) -> Result<()> {
        if *site == self.site {
            return Ok(());
        }
        let text = format!("another daemon answers at {}", self.endpoint.place.address);
        Err(Error::new(ErrorKind::Unavailable, text)
            .with("expected", site)
            .with("found", &self.site)
            .with("chosen by", &self.endpoint.place.origin)
            .next_step("point `host` of this provider at the daemon that holds the environment"))
    }

    /// What is published where.
    pub(crate) fn reach(&self) -> Reach {
        Reach {
            local: self.endpoint.local,
            host: self.endpoint.host().map(str::to_owned),
            shares_files: self.learnt.shares_files,
            publish_address: self.settings.publish_address,
        }
    }

    /// A call without an effect: it ends with the deadline.
    pub(crate) async fn read<T>(
        &self,
        cx: &Cx,
        call: impl Future<Output = Result<T, bollard::errors::Error>> + Send,
    ) -> Result<T, Failure> {
        bounded(cx, call).await
    }

    /// A call with an effect: its deadline is the caller's business, who knows that the outcome is unknown then.
    pub(crate) async fn change<T>(
        &self,
        cx: &Cx,
        call: impl Future<Output = Result<T, bollard::errors::Error>> + Send,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            outcome = call => outcome.map_err(Failure::from),
            () = cx.cancelled() => Err(Failure::Cancelled),
        }
    }

    /// A failure as our error.
    pub(crate) fn failed(&self, failure: Failure, effect: Effect) -> Error {
        translate(failure, effect, &self.endpoint.place)
    }
}

async fn bounded<T>(
    cx: &Cx,
    call: impl Future<Output = Result<T, bollard::errors::Error>> + Send,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        outcome = call => outcome.map_err(Failure::from),
        () = cx.cancelled() => Err(Failure::Cancelled),
        () = tokio::time::sleep_until(cx.deadline) => Err(Failure::Deadline),
    }
}

async fn site_of(endpoint: &Endpoint, first: &SystemInfo, second: &SystemInfo) -> Site {
    let machine_id = if endpoint.local {
        tokio::fs::read_to_string("/etc/machine-id").await.unwrap_or_default()
    } else {
        String::new()
    };
    engine_site(&endpoint.place.address, machine_id.trim(), first, second)
}

/// Rootless engines and those in a virtual machine have their containers in a network of their own.
fn addresses_reach(info: &SystemInfo) -> bool {
    let rootless = info
        .security_options
        .iter()
        .flatten()
        .any(|option| option.contains("rootless"));
    let desktop = info
        .operating_system
        .as_deref()
        .is_some_and(|system| system.contains("Docker Desktop"));
    cfg!(target_os = "linux") && !rootless && !desktop
}

fn offer_of(info: SystemInfo) -> Offer {
    let cpus = info.ncpu.and_then(|cpus| u32::try_from(cpus).ok());
    Offer {
        arch: info.architecture,
        cpus: cpus.filter(|cpus| *cpus > 0).map(f64::from),
        memory: info
            .mem_total
            .and_then(|bytes| u64::try_from(bytes).ok())
            .filter(|bytes| *bytes > 0),
    }
}

fn too_old(endpoint: &Endpoint, version: &str) -> Error {
    let why = format!("it speaks version {version} of the interface, and 1.41 (Docker 20.10) is the oldest");
    no_daemon(&endpoint.place, why).with("version", version)
}
