//! What `up` would do: read from the store and the providers, without a row, a lock or a change.

mod changes;
mod moved;
mod usual;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use encamp_core::{
    Candidate, Class, Cost, Error, ErrorKind, InstanceName, Key, Name, Resolve, Result, ScopeItem, Time,
};
use encamp_file::spec::{Environment, Machine};
use futures_util::StreamExt;
use serde::Serialize;

pub use self::changes::Change;
use self::changes::{changed_parts, changes};
pub use self::moved::Moved;
use self::moved::moved;
pub use self::usual::Usual;
pub(crate) use self::usual::usual;
use super::observe::{Observed, observe, recorded_facts};
use super::up::find;
use crate::camp::Camp;
use crate::clock::Lease;
use crate::events::Events;
use crate::execute::{Want, assign, machine_table, rendered, scope_object};
use crate::journal::{EnvironmentRow, IntentRow, IntentState, Wanted};
use crate::numbers;
use crate::plan::{Action, Plan, Reason};

/// Resolves in flight; a provider has its own limit below this one.
const RESOLVES: usize = 32;

/// What `up` would do, with what providers would make of it.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Preview {
    /// The environment's name.
    pub environment: String,
    /// Whether it does not exist yet.
    pub is_new: bool,
    /// When its lease would end.
    pub ends: Time,
    /// The difference.
    pub plan: Plan,
    /// What is to be known of each machine that would be made, by name.
    pub prospects: BTreeMap<String, Prospect>,
    /// What machines share and would be opened.
    pub shared: Vec<Shared>,
    /// Names whose meaning has moved since machines that stay were made of it.
    pub moved: Vec<Moved>,
    /// How long the same took before; none where that is not known often enough.
    pub usual: Option<Usual>,
    /// What providers could not say.
    pub errors: Vec<Error>,
}

/// A machine that would be made.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Prospect {
    /// What the kind says of its first candidate, as key and value.
    pub summary: Vec<(String, String)>,
    /// What that costs.
    pub cost_per_hour: Option<Cost>,
    /// The machines that must be ready before it is made.
    pub after: Vec<Name>,
    /// The group that it is a member of.
    pub group: Option<Name>,
    /// What of its description has changed.
    pub changes: Vec<Change>,
}

/// Something that machines share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Shared {
    /// Its object name, `docker/net`.
    pub name: String,
    /// Where.
    pub instance: InstanceName,
}

/// Reads what there is and plans the difference; changes nothing.
pub(crate) async fn preview(camp: &Arc<Camp>, spec: &Environment, events: &Events) -> Result<Preview> {
    let existing = find(camp, spec).await?.filter(|row| !is_due(camp, row));
    let rows = match &existing {
        Some(row) => camp.journal.intents(&row.id).await?,
        None => Vec::new(),
    };
    let given = existing.as_ref().map(|row| &row.numbers);
    let spec = given.map_or(Cow::Borrowed(spec), |numbers| numbers::applied(camp, numbers, spec));
    let observed = observe(camp, &spec, rows, events).await?;
    let usual = usual(camp, &spec, &observed.plan).await?;
    let ends = Lease::of(spec.ttl, &*camp.clock).ends;
    Ok(Preview {
        environment: spec.name.to_string(),
        is_new: existing.is_none(),
        // A lease is never shortened by bringing the same thing up again.
        ends: existing.map_or(ends, |row| row.lease.ends.max(ends)),
        usual,
        ..foresee(camp, &spec, observed).await
    })
}

/// `up` disposes of these first and begins anew.
fn is_due(camp: &Camp, row: &EnvironmentRow) -> bool {
    row.wanted == Wanted::Gone || row.lease.over(camp.policy.grace, &*camp.clock)
}

/// What providers would make of the machines that a plan makes.
pub(crate) async fn foresee(camp: &Arc<Camp>, spec: &Environment, observed: Observed) -> Preview {
    let Observed { rows, plan, .. } = observed;
    let coming: BTreeMap<&str, (&Machine, bool)> = {
        let steps: BTreeMap<&str, bool> = plan
            .steps
            .iter()
            .filter(|step| matches!(step.action, Action::Create | Action::Replace))
            .map(|step| (step.machine.as_str(), matches!(step.reason, Reason::Changed { .. })))
            .collect();
        spec.machines
            .iter()
            .filter_map(|machine| Some((machine.name.as_str(), (machine, *steps.get(machine.name.as_str())?))))
            .collect()
    };
    let newest = newest(&rows);
    let firsts = coming
        .values()
        .map(|(machine, _)| (*machine, machine.providers.first()));
    let replaced = plan.replaced().filter_map(|machine| newest.get(machine));
    let replaces: Vec<Key> = replaced.map(|row| row.key().clone()).collect();
    // What is kept for this environment is free for it.
    let owner = rows
        .first()
        .map(|row| camp.controller.prefix().of_environment(&row.environment));
    let ((found, mut errors), moved) = tokio::join!(
        resolve_all(camp, spec, firsts, &replaces, owner.as_deref()),
        moved(camp, spec, &plan, &newest)
    );
    let open: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.class == Class::Scope && row.state == IntentState::Ready)
        .map(|row| row.object.as_str())
        .collect();
    let mut facts = recorded_facts(&rows, &spec.numbers);
    // By their names: what is planned needs nobody's secret.
    facts.secrets = Arc::new(crate::secrets::mark(&spec.secret_names()));
    let makes = spec
        .machines
        .iter()
        .filter(|machine| coming.contains_key(machine.name.as_str()));
    let asked = makes.filter_map(|machine| {
        let question = question(camp, spec, machine, machine.providers.first()).ok()?;
        Some((machine, found.get(&question.key)?.as_slice()))
    });
    let chosen = choose(asked.collect());
    let mut shared = BTreeSet::new();
    let mut prospects = BTreeMap::new();
    for (name, (machine, changed)) in coming {
        let mut prospect = Prospect {
            after: machine.after.iter().cloned().collect(),
            group: machine.group.as_ref().map(|(group, _)| group.clone()),
            ..Prospect::default()
        };
        let candidate = chosen.get(name).copied();
        if let Some(candidate) = candidate {
            prospect.summary.clone_from(&candidate.summary);
            prospect.cost_per_hour.clone_from(&candidate.cost_per_hour);
            let items = candidate.scope.iter().filter_map(|item| share(machine, item));
            shared.extend(items.filter(|item| !open.contains(item.name.as_str())));
        }
        if let (true, Some(row)) = (changed, newest.get(name)) {
            let kind = machine
                .providers
                .first()
                .and_then(|instance| camp.providers.kind_of(instance));
            let env = kind
                .and_then(|kind| rendered(machine, kind, &facts).ok())
                .map(|rendered| rendered.env);
            prospect.changes = changes(machine, row, candidate.map(|candidate| &candidate.body), env.as_ref());
            let parts = kind.map(|kind| machine.spec_parts(kind)).unwrap_or_default();
            prospect.changes.extend(changed_parts(&row.parts, &parts));
        }
        prospects.insert(name.to_owned(), prospect);
    }
    errors.sort_by(|a, b| a.machine().cmp(&b.machine()));
    Preview {
        environment: String::new(),
        is_new: false,
        ends: Time::from_unix_millis(0),
        plan,
        prospects,
        shared: shared.into_iter().collect(),
        moved,
        usual: None,
        errors,
    }
}

fn share(machine: &Machine, item: &ScopeItem) -> Option<Shared> {
    let instance = machine.providers.first()?.clone();
    let name = scope_object(&instance, item, machine);
    Some(Shared { name, instance })
}

fn newest(rows: &[IntentRow]) -> BTreeMap<&str, &IntentRow> {
    let mut newest: BTreeMap<&str, &IntentRow> = BTreeMap::new();
    for row in rows
        .iter()
        .filter(|row| row.class == Class::Machine && row.state != IntentState::Gone)
    {
        let known = newest.entry(&row.object).or_insert(row);
        if row.generation > known.generation {
            *known = row;
        }
    }
    newest
}

/// What a provider is asked about a machine; machines that are described alike share it.
struct Question {
    instance: InstanceName,
    resolve: Resolve,
    key: String,
}

fn question(camp: &Camp, spec: &Environment, machine: &Machine, instance: Option<&InstanceName>) -> Result<Question> {
    let Some(instance) = instance else {
        return Err(Error::new(ErrorKind::Invalid, "it names no provider").of_machine(&machine.name));
    };
    let mut resolve = Resolve::new(machine_table(camp, machine, instance)?);
    resolve.needs = machine.needs.clone();
    resolve.folder.clone_from(&spec.folder);
    let key = format!("{instance} {} {:?}", resolve.table, resolve.needs);
    Ok(Question {
        instance: instance.clone(),
        resolve,
        key,
    })
}

/// What each machine would become: its first candidate, where there is room for as many as want it.
fn choose<'s>(asked: Vec<(&'s Machine, &'s [Candidate])>) -> BTreeMap<&'s str, &'s Candidate> {
    let is_limited = |candidates: &[Candidate]| candidates.iter().any(|candidate| candidate.room.is_some());
    let (limited, others): (Vec<_>, Vec<_>) = asked.into_iter().partition(|(_, candidates)| is_limited(candidates));
    let want = |(machine, candidates): &(&Machine, &[Candidate])| {
        let place = |candidate: &Candidate| ((candidate.site.clone(), candidate.body.to_string()), candidate.room);
        Want {
            places: candidates.iter().map(place).collect(),
            has_more: machine.providers.len() > 1,
        }
    };
    let places = assign(&limited.iter().map(want).collect::<Vec<_>>());
    let given = limited
        .iter()
        .zip(places)
        .map(|((machine, candidates), place)| (*machine, *candidates, place));
    let all = given.chain(others.iter().map(|(machine, candidates)| (*machine, *candidates, None)));
    let chosen = |(machine, candidates, place): (&'s Machine, &'s [Candidate], Option<usize>)| {
        let candidate = candidates.get(place.unwrap_or_default())?;
        Some((machine.name.as_str(), candidate))
    };
    all.filter_map(chosen).collect()
}

/// The candidates of each question, asked once.
async fn resolve_all<'a>(
    camp: &Arc<Camp>,
    spec: &Environment,
    machines: impl Iterator<Item = (&'a Machine, Option<&'a InstanceName>)>,
    replaces: &[Key],
    owner: Option<&str>,
) -> (BTreeMap<String, Vec<Candidate>>, Vec<Error>) {
    let mut asked: BTreeMap<String, (Question, Vec<Name>)> = BTreeMap::new();
    let mut errors = Vec::new();
    for (machine, instance) in machines {
        match question(camp, spec, machine, instance) {
            Ok(question) => asked
                .entry(question.key.clone())
                .or_insert_with(|| (question, Vec::new()))
                .1
                .push(machine.name.clone()),
            Err(error) => errors.push(error),
        }
    }
    let instances: BTreeSet<InstanceName> = asked.values().map(|(question, _)| question.instance.clone()).collect();
    let mut providers = BTreeMap::new();
    for instance in instances {
        let connected = camp.providers.connect(&camp.read_cx(), &instance).await;
        providers.insert(instance, connected);
    }
    let answers = asked.into_values().map(|(mut question, machines)| {
        question.resolve.replaces = replaces.to_vec();
        question.resolve.owner = owner.map(str::to_owned);
        let provider = providers.get(&question.instance).cloned();
        async move {
            let resolved = match provider {
                Some(Ok(provider)) => provider.resolve(&camp.read_cx(), question.resolve).await,
                Some(Err(error)) => Err(error),
                None => Ok(Vec::new()),
            };
            (question.key, machines, resolved)
        }
    });
    let mut answers = futures_util::stream::iter(answers).buffer_unordered(RESOLVES);
    let mut found = BTreeMap::new();
    while let Some((key, machines, resolved)) = answers.next().await {
        match resolved {
            Ok(candidates) => drop(found.insert(key, candidates)),
            Err(error) => errors.extend(machines.iter().map(|machine| error.clone().of_machine(machine))),
        }
    }
    (found, errors)
}
