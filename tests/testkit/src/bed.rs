//! What a case stands on: a provider, a namespace of its own, and the steps that many cases share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use encamp_core::{
    Candidate, Capabilities, Class, ControllerId, ControllerPrefix, Create, Created, Cx, ErrorKind, Exec, Exit,
    Generation, Image, List, Listing, Name, Observed, OpenScope, Opened, Phase, Process, Provider, ProviderExt,
    PublicKey, Removal, Resolve, Result, ScopeItem, Settle, Site, Snapshot, Stamp, Stop as StopRequest, Target, Ticket,
    Value, Verb,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::factory::Factory;
use crate::left;
use crate::promise::{Outcome, Stop, ensure};
use crate::stamps::StampMaker;

/// What is to be let in over SSH. Nobody has the private part.
const LOGIN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxun36NPfc5pT3a6kVuRgp9SRaUzepJR5XD/ExbDF+2";

/// The namespace of one case.
pub(crate) struct Bed {
    pub(crate) factory: Arc<dyn Factory>,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) stamps: StampMaker,
    made: Mutex<Made>,
}

/// What is to be removed when the case has ended.
#[derive(Default)]
struct Made {
    machines: Vec<Target>,
    items: BTreeMap<(Site, String), (Target, Opened)>,
    images: Vec<Target>,
    /// In which there is the case's folder.
    folders: Vec<Target>,
}

/// What a command gave.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit: Exit,
}

impl Output {
    /// Standard output as text without the last line's end.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// How long it may take to remove the folder of a case, where that can be done at all.
const FOLDER_REMOVED: Duration = Duration::from_secs(10);
/// The first and the longest pause between two looks.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

impl Bed {
    pub(crate) async fn new(factory: &Arc<dyn Factory>) -> Result<Self> {
        Ok(Self {
            provider: factory.connect().await?,
            stamps: StampMaker::random(factory.now())?,
            factory: Arc::clone(factory),
            made: Mutex::default(),
        })
    }

    fn made<T>(&self, note: impl FnOnce(&mut Made) -> T) -> T {
        note(&mut self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn cx(&self) -> Cx {
        Cx::within(self.factory.bounds().running)
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        self.provider.capabilities()
    }

    pub(crate) fn stamp(&self, object: &str) -> Stamp {
        self.stamps.stamp(object, Class::Machine, Generation(1).0)
    }

    /// A target that nothing stands for.
    pub(crate) fn absent(&self) -> Target {
        Target::new(self.stamp("absent"), self.provider.site().clone(), None)
    }

    /// The best candidate of a table, prepared.
    pub(crate) async fn candidate(&self, table: Value) -> Outcome<Candidate> {
        let candidates = self.provider.resolve(&self.cx(), Resolve::new(table)).await?;
        let first = candidates.into_iter().next();
        let first = first.ok_or_else(|| Stop::Broken("`resolve` answered no candidate".into()))?;
        Ok(self.provider.prepare(&self.cx(), first).await?)
    }

    /// The frozen request for a machine, with its scope open.
    pub(crate) async fn request(&self, object: &str, table: Value) -> Outcome<Create> {
        self.request_of(self.stamp(object), object, table).await
    }

    pub(crate) async fn request_of(&self, stamp: Stamp, object: &str, table: Value) -> Outcome<Create> {
        let candidate = self.candidate(table).await?;
        let name = Name::new(object).map_err(|error| Stop::Broken(error.to_string()))?;
        let mut request = Create::new(stamp, candidate.site.clone(), candidate.body, name);
        request.login = self.capabilities().login.then(|| PublicKey(LOGIN.to_owned()));
        for item in candidate.scope {
            let opened = self.open(&candidate.site, item.clone()).await?;
            request.scope.insert(item.name, opened);
        }
        Ok(self.stamps.freeze(request))
    }

    pub(crate) fn item_stamp(&self, item: &ScopeItem) -> Stamp {
        self.stamps.stamp(&item.name, Class::Scope, 1)
    }

    /// Opens a scope item, once.
    pub(crate) async fn open(&self, site: &Site, item: ScopeItem) -> Outcome<Opened> {
        let place = (site.clone(), item.name.clone());
        if let Some((_, opened)) = self.made(|made| made.items.get(&place).cloned()) {
            return Ok(opened);
        }
        let stamp = self.item_stamp(&item);
        let request = OpenScope::new(stamp.clone(), site.clone(), item);
        let target = Target::new(stamp, site.clone(), None);
        // Noted before it is sent: what was made without an answer is removed too.
        self.made(|made| {
            made.items
                .insert(place.clone(), (target.clone(), Opened::new("", Value::Null)))
        });
        let opened = self.open_again(request).await?;
        let target = with_id(&target, Some(opened.id.clone()));
        self.made(|made| made.items.insert(place, (target, opened.clone())));
        Ok(opened)
    }

    /// An item that is closed can be opened anew.
    pub(crate) fn forget(&self, target: &Target) {
        self.made(|made| made.items.retain(|_, (known, _)| known.stamp.key != target.stamp.key));
    }

    pub(crate) async fn open_again(&self, request: OpenScope) -> Result<Opened> {
        let ticket = ticket(&request.stamp, Verb::OpenScope);
        self.provider.open_scope(&self.cx(), &ticket, request).await
    }

    pub(crate) async fn close(&self, target: Target) -> Result<Removal> {
        let ticket = ticket(&target.stamp, Verb::CloseScope);
        self.provider.close_scope(&self.cx(), &ticket, target).await
    }

    /// What is made under this stamp from now on is removed when the case has ended.
    pub(crate) fn expect(&self, stamp: &Stamp, site: &Site) -> Target {
        let target = Target::new(stamp.clone(), site.clone(), None);
        self.made(|made| made.machines.push(target.clone()));
        target
    }

    /// Sends a create.
    pub(crate) async fn create(&self, request: &Create) -> Result<Created> {
        self.create_by(&self.provider, request).await
    }

    pub(crate) async fn create_by(&self, provider: &Arc<dyn Provider>, request: &Create) -> Result<Created> {
        self.expect(&request.stamp, &request.site);
        let ticket = ticket(&request.stamp, Verb::Create);
        provider.create(&self.cx(), &ticket, request.clone()).await
    }

    pub(crate) async fn start(&self, target: &Target) -> Result<()> {
        let ticket = ticket(&target.stamp, Verb::Start);
        self.provider.start(&self.cx(), &ticket, target.clone()).await
    }

    pub(crate) async fn stop(&self, target: &Target) -> Result<()> {
        self.stop_within(target, Duration::from_secs(1)).await
    }

    pub(crate) async fn stop_within(&self, target: &Target, grace: Duration) -> Result<()> {
        let ticket = ticket(&target.stamp, Verb::Stop);
        let stop = StopRequest::new(target.clone(), grace);
        self.provider.stop(&self.cx(), &ticket, stop).await
    }

    pub(crate) async fn pause(&self, target: &Target) -> Result<()> {
        let ticket = ticket(&target.stamp, Verb::Pause);
        self.provider.pause(&self.cx(), &ticket, target.clone()).await
    }

    pub(crate) async fn destroy(&self, target: &Target) -> Result<Removal> {
        let ticket = ticket(&target.stamp, Verb::Destroy);
        self.provider.destroy(&self.cx(), &ticket, target.clone()).await
    }

    /// Destroys until it is gone.
    pub(crate) async fn dispose(&self, target: &Target) -> Outcome {
        self.eventually("gone", || async {
            let removal = self.destroy(target).await?;
            Ok((removal == Removal::Gone).then_some(()))
        })
        .await
    }

    pub(crate) async fn snapshot(&self, target: &Target, stamp: Stamp, name: &str) -> Result<Image> {
        let image = Target::new(stamp.clone(), target.site.clone(), None);
        self.made(|made| made.images.push(image));
        let ticket = ticket(&stamp, Verb::Snapshot);
        let request = Snapshot::new(stamp, target.clone(), name);
        self.provider.snapshot(&self.cx(), &ticket, request).await
    }

    pub(crate) async fn inspect(&self, target: &Target) -> Result<Observed> {
        self.provider.inspect(&self.cx(), target.clone()).await
    }

    pub(crate) async fn wait_for(&self, target: &Target, phase: &Phase) -> Outcome<Observed> {
        let enough = |observed: &Observed| observed.phase == *phase;
        Ok(self.provider.wait(&self.cx(), target.clone(), &enough).await?)
    }

    /// Waits until it does not run; a carrier that does not know why says that it has exited.
    pub(crate) async fn wait_stopped(&self, target: &Target) -> Outcome {
        let enough = |observed: &Observed| matches!(observed.phase, Phase::Stopped | Phase::Exited(_));
        self.provider.wait(&self.cx(), target.clone(), &enough).await?;
        Ok(())
    }

    /// Creates, starts, and waits until it runs.
    pub(crate) async fn raise(&self, object: &str, table: Value) -> Outcome<Target> {
        let request = self.request(object, table).await?;
        self.raise_request(&request).await
    }

    pub(crate) async fn raise_request(&self, request: &Create) -> Outcome<Target> {
        let created = self.create(request).await?;
        let target = Target::new(request.stamp.clone(), request.site.clone(), Some(created.id));
        self.start(&target).await?;
        self.wait_for(&target, &Phase::Running).await?;
        Ok(target)
    }

    pub(crate) async fn plain(&self) -> Outcome<Target> {
        self.raise("web", self.factory.plain()).await
    }

    /// Everything of this environment; the listing must be complete.
    pub(crate) async fn list(&self) -> Outcome<Listing> {
        let all = List::new(self.stamps.prefix()).of(self.stamps.environment().clone());
        self.list_of(all).await
    }

    pub(crate) async fn list_of(&self, list: List) -> Outcome<Listing> {
        let listing = self.provider.list(&self.cx(), list).await?;
        let site = self.provider.site();
        ensure!(listing.covers(site), "the listing does not cover {site}");
        Ok(listing)
    }

    /// No process of a machine that is gone is left on this host.
    pub(crate) async fn no_process(&self, key: &str) -> Outcome {
        let waiting = self.eventually("without processes", || async {
            Ok(left::processes(key).is_empty().then_some(()))
        });
        waiting.await.map_err(|_| {
            let left = left::processes(key).join(", ");
            Stop::Broken(format!(
                "the machine is gone, and processes of it are left on this host: {left}"
            ))
        })
    }

    /// Waits until a listing shows a key, as long as the visibility says.
    pub(crate) async fn listed(&self, key: &str) -> Outcome<encamp_core::Found> {
        self.eventually("listed", || async {
            let listing = self.list().await?;
            Ok(listing.found.into_iter().find(|found| found.key == key))
        })
        .await
    }

    /// The same where the key may be of another environment or controller.
    pub(crate) async fn listed_anywhere(&self, stamp: &Stamp) -> Outcome {
        let controller = stamp
            .labels
            .get(encamp_core::label::CONTROLLER)
            .cloned()
            .unwrap_or_default();
        let controller = ControllerId::new(controller).map_err(|error| Stop::Broken(error.to_string()))?;
        let all = List::new(ControllerPrefix::new(&controller));
        self.eventually("listed", || async {
            let listing = self.list_of(all.clone()).await?;
            let there = listing.found.iter().any(|found| found.key == stamp.key.as_str());
            Ok(there.then_some(()))
        })
        .await
    }

    /// Asks again and again, within the bound of what takes longest.
    pub(crate) async fn eventually<T, Asking>(&self, what: &str, ask: impl FnMut() -> Asking) -> Outcome<T>
    where
        Asking: Future<Output = Outcome<Option<T>>>,
    {
        self.later(what, Duration::ZERO, ask).await
    }

    /// The same, where it may take so much longer.
    pub(crate) async fn later<T, Asking>(
        &self,
        what: &str,
        later: Duration,
        mut ask: impl FnMut() -> Asking,
    ) -> Outcome<T>
    where
        Asking: Future<Output = Outcome<Option<T>>>,
    {
        let bound = self.factory.bounds().gone.max(self.factory.bounds().running);
        let cx = Cx::within(bound + later);
        let mut pause = POLL.0;
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            ensure!(cx.remaining() > pause, "it was not {what} in time");
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(POLL.1);
        }
    }

    pub(crate) fn exec(&self, target: &Target, script: &str) -> Exec {
        Exec::new(target.clone(), self.factory.sh(script))
    }

    /// A folder of the case's own in a machine, which may not be there yet. It goes with the case: the files of a machine may
    /// be those of a host that outlives it.
    pub(crate) fn folder(&self, target: &Target) -> String {
        self.made(|made| made.folders.push(target.clone()));
        self.path_of_folder()
    }

    fn path_of_folder(&self) -> String {
        format!("{}/encamp-check-{}", self.factory.folder(), self.stamps.environment())
    }

    /// What cannot be entered any more took its files with it, or keeps them.
    async fn remove_folder(&self, target: &Target) {
        if self.capabilities().offers(Verb::Exec) {
            let removing = format!("rm -rf '{}'", self.path_of_folder());
            let _ = tokio::time::timeout(FOLDER_REMOVED, self.script(target, &removing)).await;
        }
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, exec: Exec) -> Outcome<Output> {
        self.feed(exec, &[]).await
    }

    /// Runs a script to its end.
    pub(crate) async fn script(&self, target: &Target, script: &str) -> Outcome<Output> {
        self.run(self.exec(target, script)).await
    }

    /// Runs a command to its end with input.
    pub(crate) async fn feed(&self, exec: Exec, input: &[u8]) -> Outcome<Output> {
        let process = self.provider.exec(&self.cx(), exec).await?;
        let finishing = finish(process, input);
        let bound = self.factory.bounds().running;
        let finished = tokio::time::timeout(bound, finishing).await;
        finished.unwrap_or_else(|_| Err(Stop::Broken("the command did not end in time".into())))
    }

    /// How long a listing may miss what was made.
    pub(crate) fn visibility(&self) -> Duration {
        let of = |settle: Settle| match settle {
            Settle::Lookup { visibility, .. } => visibility,
            Settle::Replay { .. } => Duration::ZERO,
        };
        of(self.capabilities().unknown_machine).max(of(self.capabilities().unknown_scope))
    }

    /// Removes everything that the case made; what is still listed then was left behind.
    pub(crate) async fn clean_up(&self) -> Outcome {
        tokio::time::sleep(self.visibility()).await;
        let Made {
            machines,
            items,
            images,
            folders,
        } = self.made(std::mem::take);
        for target in &folders {
            self.remove_folder(target).await;
        }
        for target in machines.iter().chain(&images) {
            self.remove(target, Verb::Destroy).await?;
        }
        for (target, _) in items.into_values() {
            self.remove(&target, Verb::CloseScope).await?;
        }
        self.eventually("clean", || async {
            let listing = self.list().await?;
            Ok(listing.found.is_empty().then_some(()))
        })
        .await
        .map_err(|stop| Stop::Broken(format!("something was left behind: {stop}")))
    }

    async fn remove(&self, target: &Target, verb: Verb) -> Outcome {
        self.eventually("gone", || async {
            let removal = match verb {
                Verb::CloseScope => self.close(target.clone()).await,
                _ => self.destroy(target).await,
            };
            match removal {
                Ok(Removal::Gone) => Ok(Some(())),
                Ok(Removal::Pending) => Ok(None),
                // Made by nobody here, or under a key that another thing of the case holds.
                Err(error) if error.kind() == ErrorKind::Conflict => Ok(Some(())),
                Err(error) if matches!(error.retryable(), encamp_core::Retry::Safe) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }
}

/// The same thing by another id, or by its key alone.
pub(crate) fn with_id(target: &Target, id: Option<String>) -> Target {
    Target::new(target.stamp.clone(), target.site.clone(), id)
}

pub(crate) fn ticket(stamp: &Stamp, verb: Verb) -> Ticket {
    Ticket::of_committed_intent(stamp.key.clone(), verb, 1)
}

/// Gives input and takes all output of a command at the same time, then its exit.
pub(crate) async fn finish(process: Process, input: &[u8]) -> Outcome<Output> {
    let Process {
        stdin,
        mut stdout,
        stderr,
        mut control,
        ..
    } = process;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let give = async {
        if let Some(mut stdin) = stdin {
            stdin.write_all(input).await?;
            stdin.shutdown().await?;
        }
        Ok(())
    };
    let take = async {
        match stderr {
            Some(mut stderr) => stderr.read_to_end(&mut err).await,
            None => Ok(0),
        }
    };
    let (gave, took_out, took_err): (std::io::Result<()>, _, _) =
        tokio::join!(give, stdout.read_to_end(&mut out), take);
    gave?;
    took_out?;
    took_err?;
    Ok(Output {
        exit: control.wait().await?,
        stdout: out,
        stderr: err,
    })
}

/// The call must fail, and with this kind.
pub(crate) fn expect_kind<T>(answer: Result<T>, kind: ErrorKind, what: &str) -> Outcome {
    match answer {
        Ok(_) => Err(Stop::Broken(format!(
            "{what} succeeded; `{}` was expected",
            kind.as_str()
        ))),
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => {
            let why = Stop::from(error);
            Err(Stop::Broken(format!(
                "{what} failed, but not as `{}`: {why}",
                kind.as_str()
            )))
        }
    }
}
