//! The contract, each verb as what the world does.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::changes::{NETWORK_ITEM, volume_item};
use super::faults::Fate;
use super::instance::Instance;
use super::process::{self, Manners};
use super::state::{Deed, State};
use super::table::{Fail, Table};
use crate::{
    Accept, BoxRead, Candidate, Capabilities, Check, CopyIn, CopyOut, Create, Created, Cx, Dial, Duplex, Error,
    ErrorKind, Exec, Finding, Image, Level, List, Listen, Listing, Logs, Observed, OpenScope, Opened, Process,
    Provider, Prune, Removal, Renew, Resolve, Result, Retry, ScopeItem, Site, Snapshot, Stop, Target, Ticket, Verb,
};

#[async_trait]
impl Provider for Instance {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn site(&self) -> &Site {
        &self.preferred
    }

    async fn check(&self, _cx: &Cx, _a: Check) -> Result<Vec<Finding>> {
        self.read(Verb::Check, "", |state, _, _| {
            let down = self.sites.iter().filter(|site| state.down.contains(*site));
            Ok(down
                .map(|site| Finding::new(Level::Error, format!("{site} cannot be reached")))
                .collect())
        })
        .await
    }

    async fn resolve(&self, _cx: &Cx, a: Resolve) -> Result<Vec<Candidate>> {
        self.read(Verb::Resolve, "", |_, _, _| self.candidates(a)).await
    }

    async fn inspect(&self, _cx: &Cx, a: Target) -> Result<Observed> {
        self.read(Verb::Inspect, a.stamp.key.as_str(), |state, now, _| {
            if state.down.contains(&a.site) {
                return Err(super::listing::unreachable(&a.site));
            }
            Ok(state.inspect(now, &self.settings, &a))
        })
        .await
    }

    async fn list(&self, _cx: &Cx, a: List) -> Result<Listing> {
        self.read(Verb::List, "", |state, now, deed| {
            let draw = self.world.draw(Verb::List, "partial", deed.attempt);
            let partial = (!self.world.is_calm()).then_some((draw, self.settings.faults.partial_list));
            Ok(state.list(now, (&self.sites, &self.settings), &a, partial))
        })
        .await
    }

    async fn prepare(&self, _cx: &Cx, mut a: Candidate) -> Result<Candidate> {
        self.read(Verb::Prepare, "", |state, now, _| {
            let table = Table::read_early(&a.body)?;
            if table.fails(Fail::Prepare) {
                return Err(Error::new(ErrorKind::NotFound, "there is no such image").with("image", &table.image));
            }
            let digest = crate::layers::Draw::seeded(0).text(&table.image).bits();
            let digest = format!("memory:{digest:016x}");
            a.body["digest"] = digest.as_str().into();
            state.prepared.insert(digest, now);
            Ok(a)
        })
        .await
    }

    async fn prune(&self, _cx: &Cx, a: Prune) -> Result<Vec<String>> {
        self.read(Verb::Prune, "", |state, _, _| {
            let clock = Arc::clone(&state.clock);
            let unused = |_: &String, at: &mut Instant| clock.time_at(*at) <= a.unused_since;
            Ok(state
                .prepared
                .extract_if(.., unused)
                .map(|(digest, _)| digest)
                .collect())
        })
        .await
    }

    async fn open_scope(&self, cx: &Cx, t: &Ticket, a: OpenScope) -> Result<Opened> {
        let site = a.site.clone();
        let request = a.clone();
        let seen = move |state: &State, now, deed: &Deed| state.sees_item(now, deed, &request);
        let act = move |state: &mut State, now, deed: &Deed, fate: &Fate| {
            state.open_scope(now, deed, &a, fate.late.is_some())
        };
        self.change(cx, t, &site, seen, act).await
    }

    async fn close_scope(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<Removal> {
        let site = a.site.clone();
        self.change(
            cx,
            t,
            &site,
            |_, _, _| false,
            move |state, now, deed, _| state.close_scope(now, deed, &a),
        )
        .await
    }

    async fn create(&self, cx: &Cx, t: &Ticket, a: Create) -> Result<Created> {
        let site = a.site.clone();
        let request = a.clone();
        let seen = move |state: &State, now, deed: &Deed| state.sees_machine(now, deed, &request);
        let act = move |state: &mut State, now, deed: &Deed, fate: &Fate| state.create(now, deed, &a, fate);
        self.change(cx, t, &site, seen, act).await
    }

    async fn start(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<()> {
        let site = a.site.clone();
        self.change(
            cx,
            t,
            &site,
            |_, _, _| false,
            move |state, now, deed, _| state.start(now, deed, &a),
        )
        .await
    }

    async fn stop(&self, cx: &Cx, t: &Ticket, a: Stop) -> Result<()> {
        let site = a.target.site.clone();
        self.change(
            cx,
            t,
            &site,
            |_, _, _| false,
            move |state, now, deed, _| state.stop(now, deed, &a),
        )
        .await
    }

    async fn pause(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<()> {
        let site = a.site.clone();
        self.change(
            cx,
            t,
            &site,
            |_, _, _| false,
            move |state, now, deed, _| state.pause(now, deed, &a),
        )
        .await
    }

    async fn renew(&self, cx: &Cx, t: &Ticket, a: Renew) -> Result<()> {
        let site = a.target.site.clone();
        self.change(
            cx,
            t,
            &site,
            |_, _, _| false,
            move |state, now, deed, _| state.renew(now, deed, &a),
        )
        .await
    }

    async fn destroy(&self, cx: &Cx, t: &Ticket, a: Target) -> Result<Removal> {
        let site = a.site.clone();
        self.change(
            cx,
            t,
            &site,
            |_, _, _| false,
            move |state, now, deed, _| state.destroy(now, deed, &a),
        )
        .await
    }

    async fn snapshot(&self, cx: &Cx, t: &Ticket, a: Snapshot) -> Result<Image> {
        let site = a.target.site.clone();
        self.change(
            cx,
            t,
            &site,
            |_, _, _| false,
            move |state, now, deed, _| state.snapshot(now, deed, &a),
        )
        .await
    }

    async fn exec(&self, _cx: &Cx, a: Exec) -> Result<Process> {
        if a.tty.is_some() && !self.capabilities.tty {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this provider has no terminals for commands",
            ));
        }
        let (inside, run, fate) = self.enter(Verb::Exec, &a.target).await?;
        let manners = Manners {
            exits: self.capabilities.exits,
            signals: self.capabilities.signals,
            breaks_after: fate.breaks_after,
        };
        Ok(process::start(&inside, &run, a, manners))
    }

    async fn copy_in(&self, _cx: &Cx, a: CopyIn, mut tar: BoxRead) -> Result<()> {
        let (inside, ..) = self.enter(Verb::CopyIn, &a.target).await?;
        let mut stream = Vec::new();
        tar.read_to_end(&mut stream)
            .await
            .map_err(|error| Error::new(ErrorKind::Invalid, "the tar stream broke off").caused_by(error))?;
        inside.files.unpack(&a.folder, &stream)
    }

    async fn copy_out(&self, _cx: &Cx, a: CopyOut) -> Result<BoxRead> {
        let (inside, ..) = self.enter(Verb::CopyOut, &a.target).await?;
        Ok(Box::pin(std::io::Cursor::new(inside.files.pack(&a.path)?)))
    }

    async fn dial(&self, _cx: &Cx, a: Dial) -> Result<Duplex> {
        let (inside, run, _) = self.enter(Verb::Dial, &a.target).await?;
        let (inside, run) = match a.host.as_deref() {
            None | Some("127.0.0.1" | "localhost" | "::1") => (inside, run),
            Some(host) => self.world.peer(&a.target, host).ok_or_else(|| {
                let error = Error::new(ErrorKind::NotFound, "the machine does not know this host");
                error.with("host", host)
            })?,
        };
        inside.connect(a.port, &run).await.ok_or_else(|| {
            let error = Error::new(ErrorKind::Unavailable, "nothing listens on this port").retry(Retry::Safe);
            error.with("port", a.port)
        })
    }

    async fn listen(&self, _cx: &Cx, a: Listen) -> Result<Box<dyn Accept>> {
        let (inside, ..) = self.enter(Verb::Listen, &a.target).await?;
        let connections = inside.listen(a.port).ok_or_else(|| {
            Error::new(ErrorKind::Conflict, "something listens on this port already").with("port", a.port)
        })?;
        Ok(Box::new(Listener(connections)))
    }

    async fn logs(&self, _cx: &Cx, a: Logs) -> Result<BoxRead> {
        let (inside, run, _) = self.enter(Verb::Logs, &a.target).await?;
        let offers = self.capabilities.logs;
        if a.follow && !offers.follow || a.since.is_some() && !offers.since {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this provider's logs cannot be followed or begun like that",
            ));
        }
        Ok(if a.follow {
            inside.log.follow(a.since, a.tail, run.ended)
        } else {
            inside.log.so_far(a.since, a.tail)
        })
    }
}

impl Instance {
    fn candidates(&self, a: Resolve) -> Result<Vec<Candidate>> {
        let Resolve {
            mut table,
            needs,
            image,
            ..
        } = a;
        if let Some(image) = &image {
            table["image"] = image.id.clone().into();
        }
        let read = Table::read_early(&table)?;
        if let Some(problem) = Table::examine(&table).into_iter().next() {
            return Err(Error::new(ErrorKind::Invalid, problem.message).with("at", problem.pointer));
        }
        if needs.gpu.is_some_and(|count| count > 0) {
            return Err(Error::new(ErrorKind::Invalid, "a simulated machine has no GPU"));
        }
        if read.fails(Fail::Resolve) {
            return Err(Error::new(ErrorKind::NotFound, "nothing can be made of this table"));
        }
        let named = read.site.as_ref().map(|site| Site::new(format!("memory:{site}")));
        let wanted = named.or_else(|| image.map(|image| image.site));
        let sites: Vec<_> = self
            .sites
            .iter()
            .filter(|site| wanted.as_ref().is_none_or(|wanted| wanted == *site))
            .collect();
        if sites.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "the instance has no such site")
                .with("site", wanted.map(|site| site.to_string()).unwrap_or_default()));
        }
        let volumes = read
            .volumes
            .keys()
            .map(|name| ScopeItem::new(volume_item(name), serde_json::json!({ "volume": name })));
        let network = self
            .settings
            .network
            .then(|| ScopeItem::new(NETWORK_ITEM, serde_json::Value::Null));
        let scope: Vec<_> = volumes.chain(network).collect();
        let candidates = sites.into_iter().map(|site| {
            let mut candidate = Candidate::new(site.clone(), table.clone());
            candidate.scope.clone_from(&scope);
            candidate.summary = vec![("image".into(), read.image.clone()), ("site".into(), site.to_string())];
            candidate
        });
        Ok(candidates.collect())
    }
}

struct Listener(mpsc::Receiver<Duplex>);

#[async_trait]
impl Accept for Listener {
    async fn accept(&mut self) -> Result<Duplex> {
        let connection = self.0.recv().await;
        connection.ok_or_else(|| Error::new(ErrorKind::Unavailable, "the machine is gone"))
    }
}

/// The instance behind the contract.
pub(super) fn provider(instance: Instance) -> Arc<dyn Provider> {
    Arc::new(instance)
}
