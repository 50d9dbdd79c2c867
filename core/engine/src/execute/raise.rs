//! Brings an environment up: as parallel as the dependencies allow, each thing no sooner than it is needed and no later.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use encamp_core::{Candidate, Class, Error, Generation, InstanceName, Key, Name, Opened, Provider, Result, Site, Time};
use encamp_file::spec::{Environment, Machine};
use encamp_file::text::{Facts, MachineFacts};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::confide;
use super::dispose::lower_one;
use super::gate::Gate;
use super::life::{Goal, Life, Lived, Wanted};
use super::places::Places;
use super::rooms::Rooms;
use crate::clock::monotonic_now as now;
use crate::journal::{IntentRow, IntentState, Purpose};
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
    /// By another command, whose error is among the others.
    pub(crate) taken_over: bool,
}

impl Raised {
    /// Whether every machine is ready.
    pub(crate) fn ready(&self) -> bool {
        self.errors.is_empty() && !self.interrupted && self.machines.iter().all(|machine| machine.ready)
    }
}

/// Whether a machine has become ready, for those that wait for it.
type Word = Option<bool>;

pub(super) struct Raising<'a> {
    pub(super) session: &'a Session,
    pub(super) spec: &'a Environment,
    pub(super) seen: &'a BTreeMap<Key, Sight>,
    pub(super) recorded: BTreeMap<(Class, String), Vec<IntentRow>>,
    pub(super) facts: RwLock<Facts>,
    /// Of the groups that have to hold something as a whole.
    pub(super) gates: BTreeMap<Name, Gate>,
    pub(super) words: BTreeMap<Name, watch::Sender<Word>>,
    pub(super) connected: Once<InstanceName, Arc<dyn Provider>>,
    /// The machines that go for others to come.
    pub(super) replaces: Vec<Key>,
    /// When the lease ends, where it began anew since a place had to be waited for.
    pub(super) ends: OnceLock<Time>,
    /// What is left of candidates that have room for so many machines.
    pub(super) rooms: Rooms,
    pub(super) resolved: Once<(InstanceName, String), Arc<[Candidate]>>,
    pub(super) prepared: Once<(InstanceName, String), Arc<Candidate>>,
    pub(super) opened: Once<(InstanceName, Site, String), Opened>,
    pub(super) reached: Once<(Site, InstanceName), Arc<dyn Provider>>,
    pub(super) sites: Once<Site, ()>,
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
    let newest = |machine: &str| recorded.get(&(Class::Machine, machine.to_owned()))?.last();
    let replaces = plan
        .replaced()
        .filter_map(|machine| newest(machine).map(|row| row.key().clone()))
        .collect();
    let known = Facts {
        numbers: Arc::clone(&spec.numbers),
        ..Facts::default()
    };
    let raising = Raising {
        session,
        spec,
        seen,
        recorded,
        facts: RwLock::new(known),
        gates: gates(spec),
        words: spec
            .machines
            .iter()
            .map(|machine| (machine.name.clone(), watch::Sender::new(None)))
            .collect(),
        connected: Once::new(),
        replaces,
        ends: OnceLock::new(),
        rooms: Rooms::default(),
        resolved: Once::new(),
        prepared: Once::new(),
        opened: Once::new(),
        reached: Once::new(),
        sites: Once::new(),
    };
    let mut work = std::pin::pin!(raising.whole(plan));
    let unwanted = tokio::select! {
        done = &mut work => return done,
        unwanted = session.unwanted() => unwanted,
    };
    session.stop.cancel();
    let mut raised = work.await?;
    // Also where everything had come by then.
    (raised.interrupted, raised.taken_over) = (true, true);
    raised.errors.push(unwanted);
    Ok(raised)
}

/// The groups whose members have to hold something together.
fn gates(spec: &Environment) -> BTreeMap<Name, Gate> {
    let groups = spec.machines.iter().filter(|machine| !machine.group_ready.is_empty());
    let mut members: BTreeMap<&Name, usize> = BTreeMap::new();
    for (group, _) in groups.filter_map(|machine| machine.group.as_ref()) {
        *members.entry(group).or_default() += 1;
    }
    let gate = |(group, members): (&Name, usize)| (group.clone(), Gate::new(group.clone(), members));
    members.into_iter().map(gate).collect()
}

/// What others may know of a ready machine.
pub(crate) fn facts_of(row: &IntentRow) -> MachineFacts {
    let mut facts = MachineFacts::new(row.addrs.clone(), row.ports.clone());
    facts.outputs.clone_from(&row.set_up.outputs);
    facts
}

impl Raising<'_> {
    /// Finds places, and keeps them until everything is there.
    async fn whole(&self, plan: &Plan) -> Result<Raised> {
        let places = self.find_places(plan).await?;
        let raised = tokio::select! {
            raised = self.all(plan, &places) => raised,
            never = self.keep_places(&places) => match never {},
        };
        self.give_back(&places).await;
        raised
    }

    async fn all(&self, plan: &Plan, places: &Places) -> Result<Raised> {
        let steps: BTreeMap<&str, &Step> = plan.steps.iter().map(|step| (step.machine.as_str(), step)).collect();
        let going: FuturesUnordered<_> = plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Destroy)
            .filter_map(|step| self.newest(Class::Machine, &step.machine))
            .map(|row| Box::pin(lower_one(self.session, &self.reached, row.clone(), now())))
            .collect();
        let mut coming: FuturesUnordered<_> = self
            .spec
            .machines
            .iter()
            .filter_map(|machine| Some((machine, *steps.get(machine.name.as_str())?)))
            .map(|(machine, step)| Box::pin(self.one(machine, step, places)))
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
            taken_over: false,
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
        self.look_again(&mut raised).await?;
        raised.facts = self.facts.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(raised)
    }

    fn gate(&self, machine: &Machine) -> Option<&Gate> {
        self.gates.get(&machine.group.as_ref()?.0)
    }

    /// What a machine is to become, with what is known of those that it speaks of: they are ready by now.
    pub(super) fn wanted<'b>(&'b self, machine: &'b Machine) -> Wanted<'b> {
        let known = self.facts.read().unwrap_or_else(PoisonError::into_inner);
        let of = |name: &Name| Some((name.clone(), known.machines.get(name)?.clone()));
        let facts = Facts {
            machines: machine.after.iter().filter_map(of).collect(),
            numbers: Arc::clone(&self.spec.numbers),
            secrets: self.session.secrets.values(),
        };
        Wanted {
            spec: machine,
            facts,
            gate: self.gate(machine),
        }
    }

    pub(super) fn newest(&self, class: Class, object: &str) -> Option<&IntentRow> {
        self.recorded
            .get(&(class, object.to_owned()))?
            .last()
            .filter(|row| row.state != IntentState::Gone)
    }

    pub(super) fn next_generation(&self, class: Class, object: &str) -> Generation {
        let newest = self
            .recorded
            .get(&(class, object.to_owned()))
            .and_then(|rows| rows.last());
        newest.map_or(Generation(1), |row| row.generation.next())
    }

    /// Brings one machine up and gives its word to those that wait for it.
    async fn one(&self, machine: &Machine, step: &Step, places: &Places) -> (Name, Result<Ended>) {
        let began = now();
        let outcome = self.bring(machine, step, places).await;
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = outcome.map(|brought| self.ended(machine, step, brought, millis));
        let ready = outcome.as_ref().is_ok_and(|ended| ended.report.ready);
        match self.gate(machine) {
            // Whoever is brought up has arrived by itself.
            Some(gate) if ready && step.action == Action::Keep => gate.arrive(),
            Some(gate) if !ready => gate.lose(&machine.name),
            _ => {}
        }
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
            Brought::Waited(row, text) => {
                let recorded = || self.newest(Class::Machine, machine.name.as_str()).cloned();
                (row.map(|row| *row).or_else(recorded), Some(text), None)
            }
        };
        let ready = failure.is_none();
        // A run fails as a whole, so what is still on its way stops.
        if error.is_some() && self.session.row.purpose == Purpose::Run {
            self.session.stop.cancel();
        }
        if ready && let Some(row) = &row {
            self.facts
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .machines
                .insert(machine.name.clone(), facts_of(row));
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

    async fn bring(&self, machine: &Machine, step: &Step, places: &Places) -> Result<Brought> {
        let recorded = self.newest(Class::Machine, machine.name.as_str());
        match (step.action, recorded) {
            (Action::Keep, Some(row)) => self.keep(machine, row).await,
            (Action::Continue, Some(row)) => {
                if let Some(blocked) = self.wait_for_others(machine).await {
                    return Ok(blocked);
                }
                let provider = match self.provider(&row.instance).await {
                    Ok(provider) => provider,
                    Err(error) => return Ok(Brought::Failed(Some(Box::new(row.clone())), error)),
                };
                let wanted = self.wanted(machine);
                if let Err(error) = confide::put(self.session, machine, row.generation, &wanted.facts) {
                    return Ok(Brought::Failed(Some(Box::new(row.clone())), error));
                }
                let lived = Life::new(self.session, provider, Some(wanted), row.clone(), Goal::Up)
                    .live()
                    .await?;
                match lived.state {
                    State::Gone => self.fresh(machine, places, lived.row.generation.next(), None).await,
                    _ => Ok(Brought::of(lived)),
                }
            }
            _ if places.stopped => Ok(Brought::Waited(None, "stopped while it waited for a place".into())),
            _ if !places.lacking.is_empty() => Ok(match places.lacking.get(&machine.name) {
                Some(error) => Brought::Failed(None, error.clone()),
                None => Brought::Waited(None, "not begun: others of the environment have no place".into()),
            }),
            (Action::Replace, Some(row)) => {
                let generation = self.next_generation(Class::Machine, machine.name.as_str());
                self.fresh(machine, places, generation, Some(row)).await
            }
            _ => {
                let generation = self.next_generation(Class::Machine, machine.name.as_str());
                self.fresh(machine, places, generation, None).await
            }
        }
    }

    pub(super) async fn provider(&self, instance: &InstanceName) -> Result<Arc<dyn Provider>> {
        let camp = &self.session.camp;
        self.connected
            .get(instance.clone(), || async move {
                camp.providers.connect(&camp.read_cx(), instance).await
            })
            .await
    }

    /// Waits until everything that the machine depends on is ready; gives what to say where that will not happen.
    pub(super) async fn wait_for_others(&self, machine: &Machine) -> Option<Brought> {
        for other in &machine.after {
            let Some(word) = self.words.get(other) else { continue };
            let mut word = word.subscribe();
            let ready = tokio::select! {
                word = word.wait_for(Option::is_some) => word.is_ok_and(|word| *word == Some(true)),
                () = self.session.stop.cancelled() => return Some(Brought::Waited(None, format!("stopped while it waited for {other}"))),
            };
            if !ready {
                return Some(Brought::Waited(
                    None,
                    format!("it waited for {other}, which did not become ready"),
                ));
            }
        }
        None
    }
}

/// How bringing one machine up came out.
pub(super) enum Brought {
    Ready(Box<IntentRow>),
    Failed(Option<Box<IntentRow>>, Error),
    /// It was not finished; the reason is another machine or the user.
    Waited(Option<Box<IntentRow>>, String),
}

impl Brought {
    /// What is recorded of it, where it was sent for.
    pub(super) fn row(&self) -> Option<&IntentRow> {
        match self {
            Self::Ready(row) => Some(row),
            Self::Failed(row, _) | Self::Waited(row, _) => row.as_deref(),
        }
    }

    pub(super) fn of(lived: Lived) -> Self {
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
            Lived { row, failure: None, .. } => Self::Waited(Some(Box::new(row)), "stopped before it was ready".into()),
        }
    }
}
