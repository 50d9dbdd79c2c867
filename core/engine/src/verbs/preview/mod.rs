//! What `up` would do: read from the store and the providers, without a row, a lock or a change.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use encamp_core::{
    Candidate, Class, Cost, Create, Error, ErrorKind, InstanceName, Name, PortSpec, Resolve, Result, ScopeItem, Time,
    Value,
};
use encamp_file::spec::{Environment, Machine};
use futures_util::StreamExt;
use serde::Serialize;

use super::observe::{Observed, observe, recorded_facts};
use super::up::find;
use crate::camp::{Camp, canonical};
use crate::clock::Lease;
use crate::events::Events;
use crate::execute::{machine_table, rendered, scope_object};
use crate::journal::{EnvironmentRow, IntentRow, IntentState, Took, Wanted};
use crate::numbers;
use crate::plan::{Action, Plan, Reason};

/// Resolves in flight; a provider has its own limit below this one.
const RESOLVES: usize = 32;
/// Characters of a value that a change shows.
const SHOWN: usize = 48;

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

/// How long making so many machines of the same file usually takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usual {
    /// The median.
    pub millis: u64,
    /// Of the last so many.
    pub of: usize,
}

/// A name that means something else than when these machines were made: they keep what it meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Moved {
    /// `image shop/web:1.4`.
    pub what: String,
    /// Whose.
    pub machines: Vec<String>,
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

/// One thing of a machine's description that has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// `image`, `env DATABASE_URL`, `port http`, `setup: script install.sh`.
    pub what: String,
    /// Before; none where it was not there, or is no short text.
    pub from: Option<String>,
    /// From now on.
    pub to: Option<String>,
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
    let ((found, mut errors), moved) = tokio::join!(resolve_all(camp, spec, firsts), moved(camp, spec, &plan, &newest));
    let open: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.class == Class::Scope && row.state == IntentState::Ready)
        .map(|row| row.object.as_str())
        .collect();
    let mut facts = recorded_facts(&rows, &spec.numbers);
    // By their names: what is planned needs nobody's secret.
    facts.secrets = Arc::new(crate::secrets::mark(&spec.secret_names()));
    let mut shared = BTreeSet::new();
    let mut prospects = BTreeMap::new();
    for (name, (machine, changed)) in coming {
        let mut prospect = Prospect {
            after: machine.after.iter().cloned().collect(),
            group: machine.group.as_ref().map(|(group, _)| group.clone()),
            ..Prospect::default()
        };
        let candidate = question(camp, spec, machine, machine.providers.first())
            .ok()
            .and_then(|asked| found.get(&asked.key));
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

/// Fewer say nothing about the next.
const USUAL: usize = 3;

/// The median of what making as many machines as `plan` makes took before, over every environment of the file that the
/// store still has: those that are disposed of too.
pub(crate) async fn usual(camp: &Camp, spec: &Environment, plan: &Plan) -> Result<Option<Usual>> {
    let (Some(file), Some(made)) = (canonical(spec), plan.makes()) else {
        return Ok(None);
    };
    let mut rows = camp.journal.environments().await?;
    rows.retain(|row| row.file.as_deref() == Some(&*file));
    rows.sort_by_key(|row| row.created);
    let took = rows.iter().flat_map(|row| &row.took);
    Ok(median(
        took.filter(|took| took.made == made).map(|took| took.millis).collect(),
    ))
}

/// Of the newest; they stand last.
fn median(mut millis: Vec<u64>) -> Option<Usual> {
    millis.drain(..millis.len().saturating_sub(Took::KEPT));
    millis.sort_unstable();
    let of = millis.len();
    (of >= USUAL).then(|| Usual {
        millis: millis[of / 2],
        of,
    })
}

/// What machines that stay were made of and what the same names mean now. Only a look: what cannot be asked moves nothing.
async fn moved(camp: &Arc<Camp>, spec: &Environment, plan: &Plan, newest: &BTreeMap<&str, &IntentRow>) -> Vec<Moved> {
    let kept: BTreeSet<&str> = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Keep)
        .map(|step| step.machine.as_str())
        .collect();
    let kept = spec
        .machines
        .iter()
        .filter(|machine| kept.contains(machine.name.as_str()));
    let kept: Vec<(&Machine, &IntentRow)> = kept
        .filter_map(|machine| Some((machine, *newest.get(machine.name.as_str())?)))
        .collect();
    let asked = kept.iter().map(|(machine, row)| (*machine, Some(&row.instance)));
    let (found, _) = resolve_all(camp, spec, asked).await;
    let mut moved: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (machine, row) in kept {
        let candidate = question(camp, spec, machine, Some(&row.instance))
            .ok()
            .and_then(|asked| found.get(&asked.key))
            .filter(|candidate| !candidate.pins.is_empty());
        let (Some(candidate), Ok(before)) = (candidate, serde_json::from_str::<Create>(&row.request)) else {
            continue;
        };
        for pin in &candidate.pins {
            let (then, now) = (before.body.pointer(&pin.at), candidate.body.pointer(&pin.at));
            // What is not here now was not looked up.
            let known = now
                .filter(|now| !now.is_null())
                .zip(then.filter(|then| !then.is_null()));
            if known.is_some_and(|(now, then)| now != then) {
                moved
                    .entry(pin.name.clone())
                    .or_default()
                    .push(machine.name.to_string());
            }
        }
    }
    moved
        .into_iter()
        .map(|(what, machines)| Moved { what, machines })
        .collect()
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

/// The first candidate of each question, asked once.
async fn resolve_all<'a>(
    camp: &Arc<Camp>,
    spec: &Environment,
    machines: impl Iterator<Item = (&'a Machine, Option<&'a InstanceName>)>,
) -> (BTreeMap<String, Candidate>, Vec<Error>) {
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
    let answers = asked.into_values().map(|(question, machines)| {
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
        match resolved.map(|candidates| candidates.into_iter().next()) {
            Ok(Some(candidate)) => drop(found.insert(key, candidate)),
            Ok(None) => {}
            Err(error) => errors.extend(machines.iter().map(|machine| error.clone().of_machine(machine))),
        }
    }
    (found, errors)
}

/// What differs between the request that a machine was made of and what would be sent now.
fn changes(machine: &Machine, row: &IntentRow, body: Option<&Value>, env: Option<&encamp_core::Env>) -> Vec<Change> {
    let ports = &machine.ports;
    let Ok(before) = serde_json::from_str::<Create>(&row.request) else {
        return Vec::new();
    };
    let mut changes = BTreeMap::new();
    if let Some(body) = body {
        leaves(&before.body, body, "", &mut changes);
    }
    if let Some(env) = env {
        let names: BTreeSet<&String> = before.env.keys().chain(env.keys()).collect();
        // What the engine adds is no part of the description.
        let added = |name: &str| {
            let secret = name.strip_suffix("_FILE");
            name.starts_with("ENCAMP_PORT_") || secret.is_some_and(|name| machine.secrets.contains_key(name))
        };
        let described = names.into_iter().filter(|name| !added(name));
        for name in described.filter(|name| before.env.get(*name) != env.get(*name)) {
            // Never the value: it may be nobody's business.
            changes.insert(format!("env {name}"), (None, None));
        }
    }
    let port = |ports: &[PortSpec], name: &Name| ports.iter().find(|port| port.name == *name).map(shown_port);
    let names: BTreeSet<&Name> = before.ports.iter().chain(ports).map(|port| &port.name).collect();
    for name in names {
        let (from, to) = (port(&before.ports, name), port(ports, name));
        if from != to {
            changes.insert(format!("port {name}"), (from, to));
        }
    }
    let changes = changes.into_iter();
    changes.map(|(what, (from, to))| Change { what, from, to }).collect()
}

/// What differs of a description that is not in the request: set-up, services, secrets, and what files hold. A row of
/// before they were kept says nothing.
fn changed_parts(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Change> {
    if before.is_empty() {
        return Vec::new();
    }
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    // A hash is nothing to show.
    let change = |name: &String| Change {
        what: name.clone(),
        from: (!after.contains_key(name)).then(String::new),
        to: (!before.contains_key(name)).then(|| "added".to_owned()),
    };
    differ.map(change).collect()
}

fn shown_port(port: &PortSpec) -> String {
    let publish = match port.publish {
        encamp_core::Publish::Free => String::new(),
        encamp_core::Publish::Fixed(fixed) => format!(" published as {fixed}"),
        encamp_core::Publish::Inside => " not published".to_owned(),
    };
    format!("{}/{}{publish}", port.port, port.protocol.as_str())
}

type Changes = BTreeMap<String, (Option<String>, Option<String>)>;

/// The leaves that differ, each under the last key on the way to it. What is null now is filled in later.
fn leaves(before: &Value, after: &Value, key: &str, changes: &mut Changes) {
    match (before, after) {
        (_, Value::Null) => {}
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in keys {
                match (old.get(name), new.get(name)) {
                    (Some(old), Some(new)) => leaves(old, new, name, changes),
                    (old, new) => drop(changes.insert(name.clone(), (old.and_then(brief), new.and_then(brief)))),
                }
            }
        }
        (old, new) if old != new => drop(changes.insert(key.to_owned(), (brief(old), brief(new)))),
        _ => {}
    }
}

/// A short text for a scalar.
fn brief(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (text.chars().count() <= SHOWN && !text.contains('\n')).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differ(before: &Value, after: &Value) -> Vec<(String, Option<String>, Option<String>)> {
        let mut changes = Changes::new();
        leaves(before, after, "", &mut changes);
        changes.into_iter().map(|(what, (from, to))| (what, from, to)).collect()
    }

    #[test]
    fn the_usual_is_the_median_of_enough() {
        assert_eq!(median(vec![9, 1]), None);
        assert_eq!(median(vec![9, 1, 5]), Some(Usual { millis: 5, of: 3 }));
        // The first one is too old to count.
        let many: Vec<u64> = [1_000_000].into_iter().chain(1..=14).collect();
        assert_eq!(median(many), Some(Usual { millis: 8, of: 14 }));
    }

    #[test]
    fn a_change_is_named_by_its_key() {
        let before = json!({ "table": { "image": "web:1.4", "command": ["a", "b"], "memory": 1 }, "id": "sha256:1" });
        let after = json!({ "table": { "image": "web:1.5", "command": ["a", "c"], "init": true }, "id": null });
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            differ(&before, &after),
            [
                ("command".to_owned(), None, None),
                ("image".to_owned(), text("web:1.4"), text("web:1.5")),
                ("init".to_owned(), None, text("true")),
                ("memory".to_owned(), text("1"), None),
            ]
        );
        assert_eq!(differ(&before, &before), []);
    }
}
