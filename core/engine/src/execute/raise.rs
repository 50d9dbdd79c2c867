//! Brings an environment up: as parallel as the dependencies allow, each thing no sooner than it is needed and no later.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use encamp_core::{
    Candidate, Class, Create, Cx, Error, ErrorKind, EventSink, Generation, InstanceName, Key, Name, OpenScope, Opened,
    Provider, Resolve, Result, ScopeItem, SelfExpiry, Site, Verb,
};
use encamp_file::spec::{Environment, Machine};
use encamp_file::text::{Facts, MachineFacts, Viewer};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::dispose::lower_one;
use super::life::{Goal, Life, Lived};
use crate::clock::monotonic_now as now;
use crate::events::Event;
use crate::identity::{Object, Particulars, freeze, short_hash};
use crate::journal::{IntentRow, IntentState, Op, Purpose, SiteRow};
use crate::machine::State;
use crate::plan::{Action, Plan, Sight, Step};
use crate::report::MachineReport;
use crate::session::{Once, Session};

/// What bringing an environment up came to.
#[derive(Debug)]
pub(crate) struct Raised {
    pub(crate) machines: Vec<MachineReport>,
    /// Why machines did not become ready, each once; what only waited for them is not in it.
    pub(crate) errors: Vec<Error>,
    pub(crate) facts: Facts,
    /// The newest row of each machine that is there.
    pub(crate) rows: BTreeMap<Name, IntentRow>,
    pub(crate) interrupted: bool,
}

impl Raised {
    /// Whether every machine is ready.
    pub(crate) fn ready(&self) -> bool {
        self.errors.is_empty() && !self.interrupted && self.machines.iter().all(|machine| machine.ready)
    }
}

/// Whether a machine has become ready, for those that wait for it.
type Word = Option<bool>;

struct Raising<'a> {
    session: &'a Session,
    spec: &'a Environment,
    seen: &'a BTreeMap<Key, Sight>,
    recorded: BTreeMap<(Class, String), Vec<IntentRow>>,
    facts: RwLock<Facts>,
    words: BTreeMap<Name, watch::Sender<Word>>,
    connected: Once<InstanceName, Arc<dyn Provider>>,
    resolved: Once<(InstanceName, String), Arc<[Candidate]>>,
    prepared: Once<(InstanceName, String), Arc<Candidate>>,
    opened: Once<(InstanceName, Site, String), Opened>,
    reached: Once<(Site, InstanceName), Arc<dyn Provider>>,
    sites: Once<Site, ()>,
}

/// How one machine ended.
struct Ended {
    report: MachineReport,
    row: Option<IntentRow>,
    error: Option<Error>,
}

/// Executes a plan. An error means that the journal refused or is broken; what providers say is in the answer.
pub(crate) async fn raise(
    session: &Session,
    spec: &Environment,
    plan: &Plan,
    rows: Vec<IntentRow>,
    seen: &BTreeMap<Key, Sight>,
) -> Result<Raised> {
    let mut recorded: BTreeMap<(Class, String), Vec<IntentRow>> = BTreeMap::new();
    for row in rows {
        recorded.entry((row.class, row.object.clone())).or_default().push(row);
    }
    for rows in recorded.values_mut() {
        rows.sort_by_key(|row| row.generation);
    }
    let raising = Raising {
        session,
        spec,
        seen,
        recorded,
        facts: RwLock::default(),
        words: spec
            .machines
            .iter()
            .map(|machine| (machine.name.clone(), watch::Sender::new(None)))
            .collect(),
        connected: Once::new(),
        resolved: Once::new(),
        prepared: Once::new(),
        opened: Once::new(),
        reached: Once::new(),
        sites: Once::new(),
    };
    raising.all(plan).await
}

impl Raising<'_> {
    async fn all(&self, plan: &Plan) -> Result<Raised> {
        let steps: BTreeMap<&str, &Step> = plan.steps.iter().map(|step| (step.machine.as_str(), step)).collect();
        let going: FuturesUnordered<_> = plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Destroy)
            .filter_map(|step| self.newest(Class::Machine, &step.machine))
            .map(|row| Box::pin(lower_one(self.session, &self.reached, row.clone())))
            .collect();
        let mut coming: FuturesUnordered<_> = self
            .spec
            .machines
            .iter()
            .filter_map(|machine| Some((machine, *steps.get(machine.name.as_str())?)))
            .map(|(machine, step)| Box::pin(self.one(machine, step)))
            .collect();
        let coming = async {
            let mut ended = BTreeMap::new();
            while let Some((name, outcome)) = coming.next().await {
                ended.insert(name, outcome?);
            }
            Ok::<_, Error>(ended)
        };
        let going = going.collect::<Vec<_>>();
        let (mut ended, gone) = tokio::join!(coming, going);
        let mut errors = Vec::new();
        for lived in gone {
            let lived = lived?;
            if lived.state != State::Gone {
                errors.extend(lived.failure);
            }
        }
        let mut raised = Raised {
            machines: Vec::new(),
            errors,
            facts: Facts::default(),
            rows: BTreeMap::new(),
            interrupted: self.session.stop.is_cancelled(),
        };
        for machine in &self.spec.machines {
            let Some(ended) = ended.as_mut().map_err(|error| error.clone())?.remove(&machine.name) else {
                continue;
            };
            raised.machines.push(ended.report);
            raised.errors.extend(ended.error);
            if let Some(row) = ended.row {
                raised.rows.insert(machine.name.clone(), row);
            }
        }
        raised.facts = self.facts.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(raised)
    }

    fn newest(&self, class: Class, object: &str) -> Option<&IntentRow> {
        self.recorded
            .get(&(class, object.to_owned()))?
            .last()
            .filter(|row| row.state != IntentState::Gone)
    }

    fn next_generation(&self, class: Class, object: &str) -> Generation {
        let newest = self
            .recorded
            .get(&(class, object.to_owned()))
            .and_then(|rows| rows.last());
        newest.map_or(Generation(1), |row| row.generation.next())
    }

    /// Brings one machine up and gives its word to those that wait for it.
    async fn one(&self, machine: &Machine, step: &Step) -> (Name, Result<Ended>) {
        let began = now();
        let outcome = self.bring(machine, step).await;
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = outcome.map(|brought| self.ended(machine, step, brought, millis));
        let ready = outcome.as_ref().is_ok_and(|ended| ended.report.ready);
        if let Some(word) = self.words.get(&machine.name) {
            word.send_replace(Some(ready));
        }
        (machine.name.clone(), outcome)
    }

    fn ended(&self, machine: &Machine, step: &Step, brought: Brought, millis: u64) -> Ended {
        let (row, failure, error) = match brought {
            Brought::Ready(row) => (Some(*row), None, None),
            Brought::Failed(row, error) => {
                let text = encamp_core::Report(&error).to_string();
                (
                    row.map(|row| *row),
                    Some(text),
                    Some(error.of_machine(&machine.name).of_environment(&self.session.row.name)),
                )
            }
            Brought::Waited(text) => (
                self.newest(Class::Machine, machine.name.as_str()).cloned(),
                Some(text),
                None,
            ),
        };
        let ready = failure.is_none();
        // A run fails as a whole, so what is still on its way stops.
        if error.is_some() && self.session.row.purpose == Purpose::Run {
            self.session.stop.cancel();
        }
        if ready && let Some(row) = &row {
            let facts = MachineFacts::new(row.addrs.clone(), row.ports.clone());
            self.facts
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .machines
                .insert(machine.name.clone(), facts);
        }
        let report = MachineReport {
            name: machine.name.to_string(),
            instance: row
                .as_ref()
                .map_or_else(|| step.instance.clone(), |row| row.instance.clone()),
            key: row.as_ref().map_or_else(String::new, |row| row.key().to_string()),
            id: row.as_ref().and_then(|row| row.id.clone()),
            ready,
            failure,
            millis,
            kept: step.action == Action::Keep,
        };
        Ended { report, row, error }
    }

    async fn bring(&self, machine: &Machine, step: &Step) -> Result<Brought> {
        let recorded = self.newest(Class::Machine, machine.name.as_str());
        match (step.action, recorded) {
            (Action::Keep, Some(row)) => self.keep(row).await,
            (Action::Continue, Some(row)) => {
                if let Some(blocked) = self.wait_for_others(machine).await {
                    return Ok(blocked);
                }
                let provider = match self.provider(&row.instance).await {
                    Ok(provider) => provider,
                    Err(error) => return Ok(Brought::Failed(Some(Box::new(row.clone())), error)),
                };
                let lived = Life::new(self.session, provider, Some(machine), row.clone(), Goal::Up)
                    .live()
                    .await?;
                match lived.state {
                    State::Gone => self.fresh(machine, lived.row.generation.next(), None).await,
                    _ => Ok(Brought::of(lived)),
                }
            }
            (Action::Replace, Some(row)) => {
                let generation = self.next_generation(Class::Machine, machine.name.as_str());
                self.fresh(machine, generation, Some(row)).await
            }
            _ => {
                let generation = self.next_generation(Class::Machine, machine.name.as_str());
                self.fresh(machine, generation, None).await
            }
        }
    }

    /// A machine that stays: its ports may have changed, if somebody restarted it.
    async fn keep(&self, row: &IntentRow) -> Result<Brought> {
        let provider = match self.provider(&row.instance).await {
            Ok(provider) => provider,
            Err(error) => return Ok(Brought::Failed(Some(Box::new(row.clone())), error)),
        };
        let inside = crate::inside::Inside::new(self.session, provider, row);
        let mut row = row.clone();
        match inside.look().await {
            Ok(observed) if observed.addrs != row.addrs || observed.ports != row.ports => {
                (row.addrs, row.ports) = (observed.addrs, observed.ports);
                let (epoch, intent) = (self.session.epoch.clone(), row.reference());
                let op = Op::Ready {
                    epoch,
                    intent,
                    addrs: row.addrs.clone(),
                    ports: row.ports.clone(),
                };
                self.session.record(op).await?;
                Ok(Brought::Ready(Box::new(row)))
            }
            Ok(_) => Ok(Brought::Ready(Box::new(row))),
            Err(error) => Ok(Brought::Failed(Some(Box::new(row)), error)),
        }
    }

    /// Tries each candidate of each provider, each under a generation of its own; the next one only where there was no room.
    async fn fresh(
        &self,
        machine: &Machine,
        mut generation: Generation,
        mut old: Option<&IntentRow>,
    ) -> Result<Brought> {
        let mut last = None;
        for instance in &machine.providers {
            let (provider, candidates) = match self.candidates(machine, instance).await {
                Ok(found) => found,
                Err(error) => return Ok(Brought::Failed(None, error)),
            };
            for candidate in candidates.iter() {
                if self.session.stop.is_cancelled() {
                    return Ok(Brought::Waited("stopped before it was created".into()));
                }
                match self
                    .attempt(machine, instance, &provider, candidate, &mut generation, &mut old)
                    .await?
                {
                    Attempt::Done(brought) => return Ok(brought),
                    Attempt::NoRoom(error) => {
                        if let Some(earlier) = last.replace(error) {
                            tracing::debug!(machine = %machine.name, error = %earlier, "no room");
                        }
                    }
                }
            }
        }
        let error = last.unwrap_or_else(|| Error::new(ErrorKind::Capacity, "no provider has a candidate for it"));
        Ok(Brought::Failed(None, error))
    }

    async fn attempt(
        &self,
        machine: &Machine,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        candidate: &Candidate,
        generation: &mut Generation,
        old: &mut Option<&IntentRow>,
    ) -> Result<Attempt> {
        // The image is looked for while the network is made and while others become ready.
        let (prepared, scope, blocked) = tokio::join!(
            self.prepare(machine, instance, provider, candidate),
            self.open_all(machine, instance, provider, candidate),
            self.wait_for_others(machine),
        );
        let scope = scope?;
        if let Some(blocked) = blocked {
            return Ok(Attempt::Done(blocked));
        }
        let (prepared, scope) = match (prepared, scope) {
            (Ok(prepared), Ok(scope)) => (prepared, scope),
            (Err(error), _) | (_, Err(error)) => return Ok(Attempt::Done(Brought::Failed(None, error))),
        };
        // Two generations would share a name, a fixed port and a volume, so the old one goes first; it stays where the
        // new one cannot even be prepared.
        if let Some(row) = old.take() {
            let lived = lower_one(self.session, &self.reached, row.clone()).await?;
            if lived.state != State::Gone {
                return Ok(Attempt::Done(Brought::of(lived)));
            }
        }
        // Once more for something foreign under our key.
        for _ in 0..2 {
            let row = match self.freeze(machine, instance, provider, &prepared, &scope, *generation) {
                Ok(row) => row,
                Err(error) => return Ok(Attempt::Done(Brought::Failed(None, error))),
            };
            let op = Op::Plan {
                epoch: self.session.epoch.clone(),
                row: Box::new(row.clone()),
            };
            self.session.record(op).await?;
            let lived = Life::new(self.session, Arc::clone(provider), Some(machine), row, Goal::Up)
                .live()
                .await?;
            *generation = generation.next();
            let kind = lived.failure.as_ref().map(Error::kind);
            match (lived.state, kind) {
                (State::Gone, Some(ErrorKind::Conflict)) => {}
                (State::Gone, Some(ErrorKind::Capacity | ErrorKind::Quota)) => {
                    let error = lived
                        .failure
                        .unwrap_or_else(|| Error::new(ErrorKind::Capacity, "no room"));
                    self.session
                        .events
                        .note(format!("{}: {instance} has no room ({error})", machine.name))
                        .await;
                    return Ok(Attempt::NoRoom(error));
                }
                _ => return Ok(Attempt::Done(Brought::of(lived))),
            }
        }
        Ok(Attempt::Done(Brought::Failed(
            None,
            Error::new(ErrorKind::Conflict, "something foreign stands under its key"),
        )))
    }

    async fn provider(&self, instance: &InstanceName) -> Result<Arc<dyn Provider>> {
        let camp = &self.session.camp;
        self.connected
            .get(instance.clone(), || async move {
                camp.providers.connect(&camp.read_cx(), instance).await
            })
            .await
    }

    async fn candidates(
        &self,
        machine: &Machine,
        instance: &InstanceName,
    ) -> Result<(Arc<dyn Provider>, Arc<[Candidate]>)> {
        let provider = self.provider(instance).await?;
        let table = machine_table(&self.session.camp, machine, instance)?;
        let mut resolve = Resolve::new(table);
        resolve.needs = machine.needs.clone();
        resolve.folder.clone_from(&self.spec.folder);
        let key = (instance.clone(), format!("{}{:?}", resolve.table, resolve.needs));
        let camp = &self.session.camp;
        let candidates = self
            .resolved
            .get(key, || {
                let provider = Arc::clone(&provider);
                async move { provider.resolve(&camp.read_cx(), resolve).await.map(Arc::from) }
            })
            .await?;
        Ok((provider, candidates))
    }

    /// Pulls or builds, once for all machines of the same candidate.
    async fn prepare(
        &self,
        machine: &Machine,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        candidate: &Candidate,
    ) -> Result<Arc<Candidate>> {
        let session = self.session;
        let key = (instance.clone(), candidate.body.to_string());
        let (events, name) = (session.events.clone(), machine.name.to_string());
        let sink = EventSink::new(move |progress| {
            events.mention(Event::Progress {
                machine: name.clone(),
                progress,
            });
        });
        self.prepared
            .get(key, || async move {
                let cx = Cx::within(session.camp.policy.create)
                    .with_events(sink)
                    .with_cancel(session.stop.child_token());
                let preparing = provider.prepare(&cx, candidate.clone());
                match tokio::time::timeout(session.camp.policy.create, preparing).await {
                    Ok(prepared) => prepared.map(Arc::new),
                    Err(_) => {
                        Err(Error::new(ErrorKind::Unavailable, "the image was not there in time").at(Verb::Prepare))
                    }
                }
            })
            .await
    }

    /// Opens the scope items that a candidate uses, each once for all machines that share it.
    async fn open_all(
        &self,
        machine: &Machine,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        candidate: &Candidate,
    ) -> Result<Result<BTreeMap<String, Opened>>> {
        self.use_site(instance, provider, &candidate.site).await?;
        let opening = candidate.scope.iter().map(|item| async move {
            let object = scope_object(instance, item, machine);
            let key = (instance.clone(), candidate.site.clone(), object.clone());
            let opened = self
                .opened
                .get(key, || self.open(instance, provider, &candidate.site, item, &object))
                .await;
            opened.map(|opened| (item.name.clone(), opened))
        });
        Ok(futures_util::future::try_join_all(opening)
            .await
            .map(|opened| opened.into_iter().collect()))
    }

    /// A site that nobody lists is a leak that nobody finds: its row comes before its first use.
    async fn use_site(&self, instance: &InstanceName, provider: &Arc<dyn Provider>, site: &Site) -> Result<()> {
        let camp = &self.session.camp;
        self.sites
            .get(site.clone(), || async move {
                let configured = camp.providers.instance(instance);
                let Some(configured) = configured else {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        format!("no provider is called `{instance}`"),
                    ));
                };
                let row = SiteRow {
                    site: site.clone(),
                    instance: instance.clone(),
                    kind: configured.kind.clone(),
                    settings: configured.settings.clone(),
                    first_used: camp.clock.now(),
                };
                debug_assert_eq!(provider.site(), site);
                self.session.record(Op::Site(Box::new(row))).await
            })
            .await
    }

    async fn open(
        &self,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        site: &Site,
        item: &ScopeItem,
        object: &str,
    ) -> Result<Opened> {
        let spec = short_hash(item.body.to_string().as_bytes());
        let mut generation = self.next_generation(Class::Scope, object);
        if let Some(row) = self.newest(Class::Scope, object).filter(|row| row.site == *site) {
            let vanished = self.seen.get(row.key()) == Some(&Sight::Absent);
            if row.spec != spec && row.state != IntentState::Dying && !vanished {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("{object} is described differently now, and machines share it"),
                )
                .of_machine(object)
                .next_step(format!("encamp down -e {}, then up again", self.session.row.name)));
            }
            if row.state == IntentState::Ready && !vanished {
                return Ok(Opened::new(row.id.clone().unwrap_or_default(), row.data.clone()));
            }
            let goal = if vanished || row.state == IntentState::Dying {
                Goal::Down
            } else {
                Goal::Up
            };
            let lived = Life::new(self.session, Arc::clone(provider), None, row.clone(), goal)
                .live()
                .await?;
            match lived.state {
                State::Ready => return Ok(Opened::new(lived.row.id.unwrap_or_default(), lived.row.data)),
                State::Gone => generation = lived.row.generation.next(),
                _ => return Err(failure_of(lived, object)),
            }
        }
        let identity = self.identity(Class::Scope, object, generation);
        let particulars = self.particulars(&spec);
        let stamp = self
            .session
            .camp
            .controller
            .stamp(&identity, &particulars, encamp_core::Token::new(""));
        let request = OpenScope::new(stamp, site.clone(), item.clone());
        let (request, bytes) = freeze(request, |request| &mut request.stamp)?;
        let row = self.row(&identity, instance, site, request.stamp, bytes, spec, String::new())?;
        self.session
            .record(Op::Plan {
                epoch: self.session.epoch.clone(),
                row: Box::new(row.clone()),
            })
            .await?;
        let lived = Life::new(self.session, Arc::clone(provider), None, row, Goal::Up)
            .live()
            .await?;
        match lived.state {
            State::Ready => Ok(Opened::new(lived.row.id.unwrap_or_default(), lived.row.data)),
            _ => Err(failure_of(lived, object)),
        }
    }

    /// Waits until everything that the machine depends on is ready; gives what to say where that will not happen.
    async fn wait_for_others(&self, machine: &Machine) -> Option<Brought> {
        for other in &machine.after {
            let Some(word) = self.words.get(other) else { continue };
            let mut word = word.subscribe();
            let ready = tokio::select! {
                word = word.wait_for(Option::is_some) => word.is_ok_and(|word| *word == Some(true)),
                () = self.session.stop.cancelled() => return Some(Brought::Waited(format!("stopped while it waited for {other}"))),
            };
            if !ready {
                return Some(Brought::Waited(format!(
                    "it waited for {other}, which did not become ready"
                )));
            }
        }
        None
    }

    fn identity(&self, class: Class, object: &str, generation: Generation) -> Object {
        Object {
            environment: self.session.row.id.clone(),
            class,
            name: object.to_owned(),
            generation,
        }
    }

    fn particulars(&self, spec: &str) -> Particulars {
        Particulars {
            spec: spec.to_owned(),
            created: self.session.camp.clock.now(),
            expires: self.session.row.lease.ends,
            epoch: self.session.epoch.number,
        }
    }

    /// The whole request for a machine, with everything late rendered.
    fn freeze(
        &self,
        machine: &Machine,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        prepared: &Candidate,
        scope: &BTreeMap<String, Opened>,
        generation: Generation,
    ) -> Result<IntentRow> {
        let camp = &self.session.camp;
        let kind = camp
            .providers
            .kind_of(instance)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no provider is called `{instance}`")))?;
        let spec = machine.spec_hash(kind);
        let identity = self.identity(Class::Machine, machine.name.as_str(), generation);
        let stamp = camp
            .controller
            .stamp(&identity, &self.particulars(&spec), encamp_core::Token::new(""));
        let mut request = Create::new(
            stamp,
            prepared.site.clone(),
            prepared.body.clone(),
            machine.name.clone(),
        );
        let bound = {
            let facts = self.facts.read().unwrap_or_else(PoisonError::into_inner);
            let rendered = rendered(machine, kind, &facts).map_err(|e| Error::new(ErrorKind::Invalid, e))?;
            (request.env, request.late) = (rendered.env, rendered.late);
            rendered.bound
        };
        request.scope.clone_from(scope);
        request.ports.clone_from(&machine.ports);
        request.aliases = machine.group.iter().map(|(group, _)| group.clone()).collect();
        request.expires =
            (provider.capabilities().self_expiry != SelfExpiry::None).then_some(self.session.row.lease.ends);
        let (request, bytes) = freeze(request, |request| &mut request.stamp)?;
        self.row(&identity, instance, &prepared.site, request.stamp, bytes, spec, bound)
    }

    #[expect(clippy::too_many_arguments, reason = "it only puts a row together, each part named")]
    fn row(
        &self,
        identity: &Object,
        instance: &InstanceName,
        site: &Site,
        stamp: encamp_core::Stamp,
        request: Vec<u8>,
        spec: String,
        bound: String,
    ) -> Result<IntentRow> {
        let request = String::from_utf8(request)
            .map_err(|e| Error::new(ErrorKind::Internal, "a request is no text").caused_by(e))?;
        Ok(IntentRow {
            environment: identity.environment.clone(),
            class: identity.class,
            object: identity.name.clone(),
            generation: identity.generation,
            instance: instance.clone(),
            site: site.clone(),
            state: IntentState::Planned,
            stamp,
            request,
            id: None,
            unsettled: false,
            epoch: self.session.epoch.number,
            last_sent: None,
            evidence: None,
            spec,
            bound,
            failure: None,
            updated: self.session.camp.clock.now(),
            addrs: Vec::new(),
            ports: Vec::new(),
            data: encamp_core::Value::Null,
            stopped: false,
        })
    }
}

/// How bringing one machine up came out.
enum Brought {
    Ready(Box<IntentRow>),
    Failed(Option<Box<IntentRow>>, Error),
    /// It never got its turn; the reason is another machine or the user.
    Waited(String),
}

enum Attempt {
    Done(Brought),
    NoRoom(Error),
}

impl Brought {
    fn of(lived: Lived) -> Self {
        match lived {
            Lived {
                state: State::Ready,
                row,
                ..
            } => Self::Ready(Box::new(row)),
            Lived {
                row,
                failure: Some(error),
                ..
            } => Self::Failed(Some(Box::new(row)), error),
            Lived { failure: None, .. } => Self::Waited("stopped before it was ready".into()),
        }
    }
}

fn failure_of(lived: Lived, object: &str) -> Error {
    lived
        .failure
        .unwrap_or_else(|| Error::new(ErrorKind::Cancelled, format!("stopped before {object} was open")))
}

/// The object name of a scope item: `docker/net`, and `docker/vol-data/web-0` where each member of a group has its own.
pub(crate) fn scope_object(instance: &InstanceName, item: &ScopeItem, machine: &Machine) -> String {
    if item.per_member && machine.group.is_some() {
        format!("{instance}/{}/{}", item.name, machine.name)
    } else {
        format!("{instance}/{}", item.name)
    }
}

/// The kind's own table of a machine on an instance, with markers for what is late.
pub(crate) fn machine_table(
    camp: &crate::camp::Camp,
    machine: &Machine,
    instance: &InstanceName,
) -> Result<encamp_core::Value> {
    let kind = camp.providers.kind_of(instance).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("no provider is called `{instance}`")).of_machine(&machine.name)
    })?;
    Ok(machine
        .tables
        .get(kind)
        .map_or_else(|| serde_json::json!({}), encamp_file::text::Tree::skeleton))
}

/// What a machine's late parts are, and the hash of them.
pub(crate) struct Rendered {
    pub(crate) env: encamp_core::Env,
    pub(crate) late: BTreeMap<String, encamp_core::Value>,
    pub(crate) bound: String,
}

/// Renders a machine's environment and late leaves. The hash covers what is late alone.
pub(crate) fn rendered(machine: &Machine, kind: &encamp_core::KindName, facts: &Facts) -> Result<Rendered, String> {
    let viewer = Viewer::Member(machine.name.clone());
    let mut env = encamp_core::Env::new();
    let mut late_env = BTreeMap::new();
    for (name, text) in &machine.env {
        let value = text.render(facts, &viewer).map_err(|e| e.to_string())?;
        if text.is_late() {
            late_env.insert(name.clone(), value.clone());
        }
        env.insert(name.clone(), value);
    }
    let late = match machine.tables.get(kind) {
        Some(table) => table.render_late(facts, &viewer).map_err(|e| e.to_string())?,
        None => BTreeMap::new(),
    };
    let bound = if late.is_empty() && late_env.is_empty() {
        String::new()
    } else {
        short_hash(serde_json::json!([late_env, late]).to_string().as_bytes())
    };
    Ok(Rendered { env, late, bound })
}
