//! The contract, over hosts that are there already.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use encamp_core::{
    Access, Addr, AddrScope, Candidate, Capabilities, Check, Class, Coverage, Create, Created, Cx, Error, ErrorKind,
    Finding, Found, InstanceName, Level, List, Listing, Needs, Observed, Phase, Progress, Provider, Removal, Renew,
    Report, Reserve, Resolve, Result, Retry, Site, Target, Ticket,
};
use futures_util::future::join_all;
use serde_json::json;

use crate::capabilities;
use crate::client::{Host, State, Status};
use crate::convert::phase;
use crate::table::Table;

/// How a host lets processes outlive a session.
const LINGER: &str = "in its /etc/systemd/logind.conf `KillUserProcesses=no`, or the user in `KillExcludeUsers`; then \
                      `systemctl restart systemd-logind`";
/// What is to be done with a host that is out of use.
const MEND: &str = "mend it, and remove the file `quarantine` in its folder";
/// How far a host's clock may be from ours: leases end by it.
const SKEW_MAX: Duration = Duration::from_secs(30);

/// The hosts of one instance. Each is a site of its own, so that one that cannot be reached hides nothing of others.
#[derive(Debug)]
pub(crate) struct Lab {
    instance: InstanceName,
    hosts: BTreeMap<Site, Host>,
    sites: Vec<Site>,
    none: Site,
    capabilities: Capabilities,
}

impl Lab {
    pub(crate) fn new(instance: InstanceName, hosts: BTreeMap<Site, Host>) -> Self {
        Self {
            none: Site::new(format!("ssh:{instance}")),
            instance,
            sites: hosts.keys().cloned().collect(),
            hosts,
            capabilities: capabilities::of_hosts(),
        }
    }

    fn host(&self, site: &Site) -> Result<&Host> {
        self.hosts.get(site).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("{site} is no host of `{}`", self.instance))
                .next_step("put it back into the settings until nothing of ours is on it")
        })
    }

    /// Looks at hosts, all at once.
    async fn look_at_all<'a>(&self, cx: &Cx, hosts: impl Iterator<Item = &'a Host>) -> Vec<(&'a Host, Result<Status>)> {
        join_all(hosts.map(|host| async move { (host, host.look(cx).await) })).await
    }

    fn matching(&self, table: &Table) -> Vec<&Host> {
        let has = |host: &&Host| {
            table.host.as_ref().is_none_or(|name| *name == host.name)
                && table.labels.iter().all(|label| host.labels.contains(label))
        };
        self.hosts.values().filter(has).collect()
    }

    fn nobody(&self, table: &Table) -> Error {
        let mut error = Error::new(
            ErrorKind::Invalid,
            format!("no host of `{}` is what is asked for", self.instance),
        );
        if let Some(host) = &table.host {
            error = error.with("host", host);
        }
        if !table.labels.is_empty() {
            error = error.with("labels", table.labels.join(", "));
        }
        for host in self.hosts.values() {
            error = error.with(host.name.clone(), format!("has the labels {}", host.labels.join(", ")));
        }
        error
    }
}

#[async_trait]
impl Provider for Lab {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn site(&self) -> &Site {
        self.sites.first().unwrap_or(&self.none)
    }

    fn sites(&self) -> Vec<Site> {
        self.sites.clone()
    }

    async fn check(&self, cx: &Cx, _: Check) -> Result<Vec<Finding>> {
        #[expect(clippy::disallowed_methods, reason = "it is compared with the clocks of hosts")]
        let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut findings = Vec::new();
        let mut tell = |level, host: &Host, text: String, help: Option<&str>| {
            let mut finding = Finding::new(level, format!("{}: {text}", host.name));
            finding.help = help.map(ToOwned::to_owned);
            findings.push(finding);
        };
        let all = join_all(
            self.hosts
                .values()
                .map(|host| async move { (host, host.examine(cx).await) }),
        )
        .await;
        let reached = all.iter().any(|(_, status)| status.is_ok());
        for (host, status) in all {
            match status {
                // Others can be used.
                Err(error) => {
                    let level = if reached { Level::Warning } else { Level::Error };
                    tell(level, host, Report(&error).to_string(), error.hint());
                }
                Ok(status) => {
                    if let Some(lacks) = &status.lacks {
                        tell(Level::Error, host, format!("it has no {lacks}"), None);
                    }
                    if let Some(why) = &status.quarantine {
                        tell(Level::Warning, host, format!("out of use: {why}"), Some(MEND));
                    }
                    if status.kills_at_logout {
                        let text = "it ends what this user has started when he logs out: services, and the end of a lease \
                                    by itself";
                        tell(Level::Warning, host, text.to_owned(), Some(LINGER));
                    }
                    let skew = i64::try_from(ours.as_secs()).unwrap_or(i64::MAX).abs_diff(status.now);
                    if skew > SKEW_MAX.as_secs() {
                        tell(
                            Level::Warning,
                            host,
                            format!("its clock is {skew} s off, and leases end by it"),
                            None,
                        );
                    }
                }
            }
        }
        if self.hosts.is_empty() {
            findings.push(
                Finding::new(Level::Error, format!("`{}` has no hosts", self.instance))
                    .help(format!("[providers.{}.hosts.NAME] in the settings", self.instance)),
            );
        }
        Ok(findings)
    }

    async fn resolve(&self, cx: &Cx, a: Resolve) -> Result<Vec<Candidate>> {
        let table = Table::read(&a.table)?;
        let matching = self.matching(&table);
        if matching.is_empty() {
            return Err(self.nobody(&table));
        }
        let mut candidates = Vec::new();
        let replaced = |status: &Status| a.replaces.iter().any(|key| key.as_str() == status.record.key);
        let mut error = Error::new(
            ErrorKind::Capacity,
            format!("no host of `{}` can be taken", self.instance),
        );
        let asks_for_more = a.needs != Needs::default();
        let asked = join_all(matching.into_iter().map(|host| async move {
            let status = if asks_for_more {
                host.status(cx).await
            } else {
                host.look(cx).await
            };
            (host, status)
        }))
        .await;
        if asked.iter().all(|(_, status)| status.is_err()) {
            return Err(unreached(asked));
        }
        for (host, status) in asked {
            let (late, why) = match &status {
                // It may be reached later.
                Err(unreached) => (2, Some(Report(unreached).to_string())),
                Ok(status) if status.quarantine.is_some() => {
                    error = error.with(host.name.clone(), status.why_not());
                    continue;
                }
                Ok(status) => match status.misses(&a.needs) {
                    Some(has) => {
                        error = error.with(host.name.clone(), format!("it has {has}"));
                        continue;
                    }
                    None if status.is_free(a.owner.as_deref()) => (0, None),
                    None if replaced(status) => (1, None),
                    None => (2, Some(status.why_not())),
                },
            };
            candidates.push((late, candidate(host, why)));
        }
        if candidates.is_empty() {
            return Err(error);
        }
        // What has to be given back first comes after what is free, and what others have comes last.
        candidates.sort_by_key(|(late, _)| *late);
        Ok(candidates.into_iter().map(|(_, candidate)| candidate).collect())
    }

    async fn inspect(&self, cx: &Cx, a: Target) -> Result<Observed> {
        let host = self.host(&a.site)?;
        let status = host.look(cx).await?;
        if !a.stamp.matches(&status.record.key, &status.record.labels) {
            return Ok(Observed::new(Phase::Gone, a.id.unwrap_or_default(), Access::None));
        }
        let access = host.guarded(&status)?;
        let phase = phase(status.record.state);
        let address = Addr::new(access.host.clone(), AddrScope::Public);
        let mut observed = Observed::new(phase, id(host, status.record.epoch), Access::Ssh(Box::new(access)));
        observed.addrs.push(address);
        Ok(observed)
    }

    async fn list(&self, cx: &Cx, a: List) -> Result<Listing> {
        let asked = self.hosts.values().filter(|host| a.asks(&host.site));
        let mut listing = Listing::default();
        for (host, status) in self.look_at_all(cx, asked).await {
            match status {
                Err(error) => listing.coverage.push(Coverage::partial(host.site.clone(), error)),
                Ok(status) => {
                    listing.coverage.push(Coverage::complete(host.site.clone()));
                    let record = &status.record;
                    if record.state != State::Free && a.takes(&record.key, &record.labels) {
                        let site = host.site.clone();
                        let mut found = Found::new(
                            Class::Machine,
                            &record.key,
                            id(host, record.epoch),
                            site,
                            phase(record.state),
                        );
                        found.token = Some(record.token.clone());
                        found.labels.clone_from(&record.labels);
                        found.access = host.guarded(&status).ok().map(|access| Access::Ssh(Box::new(access)));
                        listing.found.push(found);
                    }
                }
            }
        }
        Ok(listing)
    }

    async fn reserve(&self, cx: &Cx, a: Reserve) -> Result<()> {
        self.host(&a.site)?.reserve(cx, &a).await
    }

    async fn create(&self, cx: &Cx, _: &Ticket, a: Create) -> Result<Created> {
        let host = self.host(&a.site)?;
        let claim = host.claim(cx, &a).await?;
        let created = Created::new(id(host, claim.epoch), Phase::Running);
        Ok(if claim.adopted { created.adopted() } else { created })
    }

    async fn renew(&self, cx: &Cx, _: &Ticket, a: Renew) -> Result<()> {
        self.host(&a.target.site)?.renew(cx, &a.target.stamp, a.expires).await
    }

    async fn destroy(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<Removal> {
        let host = self.host(&a.site).map_err(|error| error.retry(Retry::Never))?;
        if let Some(why) = host.release(cx, &a).await? {
            tracing::warn!(host = host.name, why, "out of use: it could not be made as it was");
            let note = format!("{} is out of use: {why}", host.name);
            cx.events().tell(Progress::note("reset", note));
        }
        Ok(Removal::Gone)
    }
}

/// What a machine on a host would be; why it cannot be one now, where it cannot.
fn candidate(host: &Host, taken: Option<String>) -> Candidate {
    let mut candidate = Candidate::new(host.site.clone(), json!({ "host": host.name }));
    candidate.summary.push(("host".to_owned(), host.name.clone()));
    candidate.room = Some(1);
    match taken {
        Some(why) => {
            candidate.summary.push(("taken".to_owned(), why.clone()));
            candidate.taken(format!("{}: {why}", host.name))
        }
        None => candidate,
    }
}

/// Why no host answers: the first one's error, which says what to do, and of the others that they are alike.
fn unreached(asked: Vec<(&Host, Result<Status>)>) -> Error {
    let mut errors = asked
        .into_iter()
        .filter_map(|(host, status)| Some((host, status.err()?)));
    let Some((first, error)) = errors.next() else {
        return Error::new(ErrorKind::Unavailable, "no host was asked");
    };
    let error = error.with("host", &first.name);
    errors.fold(error, |error, (host, other)| {
        error.with(host.name.clone(), Report(&other))
    })
}

fn id(host: &Host, epoch: u64) -> String {
    format!("{}/{epoch}", host.name)
}
