//! The difference between what is described and what is recorded and seen, as data with reasons. Pure.

use std::collections::{BTreeMap, BTreeSet};

use encamp_core::{Class, InstanceName, Key};
use serde::Serialize;

use crate::journal::{IntentRow, IntentState};

/// A described machine, as far as the difference depends on it.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Its name.
    pub name: String,
    /// The instances that may carry it, and the hash of what decides a replacement on each.
    pub on: BTreeMap<InstanceName, String>,
    /// The first choice among them.
    pub first: InstanceName,
    /// The hash of its rendered late values, where they are known already.
    pub bound: Option<String>,
    /// The machines whose addresses, ports or outputs it is made with.
    pub late: BTreeSet<String>,
    /// `file:line` of its description.
    pub place: Option<String>,
    /// Its process is meant to end.
    pub ends: bool,
}

/// What a listing saw of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It runs, or is on its way up.
    Alive,
    /// Its process has ended.
    Ended,
    /// A complete listing did not see it.
    Absent,
}

/// What is to be done with one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It does not exist and will.
    Create,
    /// An earlier command did not finish it; this one goes on.
    Continue,
    /// It goes, and another takes its place.
    Replace,
    /// It goes.
    Destroy,
    /// It stays as it is.
    Keep,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why", content = "detail")]
pub enum Reason {
    /// Nothing is recorded of it.
    New,
    /// The journal says that it was not finished.
    NotFinished,
    /// Its description has changed.
    Changed {
        /// `file:line` of the description.
        place: Option<String>,
    },
    /// Values that it was made with have changed.
    Rebound,
    /// It is on a provider that its description does not name any more.
    Moved,
    /// It did not become ready.
    Failed(String),
    /// A step of its set-up was begun and its end is not recorded: it was never ready, so nothing is lost with it.
    CutOff,
    /// Its process has ended.
    Ended,
    /// It is not there any more.
    Vanished,
    /// Its description is not there any more.
    NotDescribed,
    /// An earlier command began to destroy it.
    Dying,
    /// Everything is as described.
    AsDescribed,
    /// The same, and somebody stopped it on purpose: it is left so.
    Stopped,
}

/// One machine's part of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The machine.
    pub machine: String,
    /// The provider instance: where it is, or its first choice.
    pub instance: InstanceName,
    /// What is to be done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What is to be done, in the order of the description; machines that go without a successor come last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// One for each machine.
    pub steps: Vec<Step>,
}

impl Plan {
    /// How many steps are of that action.
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }

    /// The machines that go for new ones of the same name.
    pub fn replaced(&self) -> impl Iterator<Item = &str> {
        let replaced = self.steps.iter().filter(|step| step.action == Action::Replace);
        replaced.map(|step| step.machine.as_str())
    }

    /// How many machines go that somebody may miss: those whose set-up was cut off were never ready.
    pub fn loses(&self) -> usize {
        let goes = |step: &&Step| matches!(step.action, Action::Replace | Action::Destroy);
        let steps = self.steps.iter().filter(goes);
        steps.filter(|step| step.reason != Reason::CutOff).count()
    }

    /// How many machines come anew; none where that is none.
    pub fn makes(&self) -> Option<u32> {
        let made = self.count(Action::Create) + self.count(Action::Replace);
        u32::try_from(made).ok().filter(|made| *made > 0)
    }

    /// Whether everything stays as it is.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.action == Action::Keep)
    }
}

/// The plan for `wishes`, given the newest rows of machines and what listings saw of them.
///
/// A machine of which nothing was seen, because its site could not be listed, is judged by its row alone.
pub fn plan(wishes: &[Wish], recorded: &[IntentRow], seen: &BTreeMap<Key, Sight>) -> Plan {
    let newest = newest_machines(recorded);
    let described: BTreeSet<&str> = wishes.iter().map(|wish| wish.name.as_str()).collect();
    let mut renewed: BTreeSet<String> = BTreeSet::new();
    let mut steps: Vec<Step> = wishes
        .iter()
        .map(|wish| {
            let row = newest.get(wish.name.as_str()).copied();
            let (action, reason) = row.map_or((Action::Create, Reason::New), |row| {
                judge(wish, row, seen.get(row.key()).copied())
            });
            // What it was made with comes anew as well. Those that it speaks of stand before it.
            let (action, reason) = if action == Action::Keep && !wish.late.is_disjoint(&renewed) {
                (Action::Replace, Reason::Rebound)
            } else {
                (action, reason)
            };
            if matches!(action, Action::Create | Action::Replace) {
                renewed.insert(wish.name.clone());
            }
            let instance = row
                .filter(|_| matches!(action, Action::Keep | Action::Continue))
                .map_or(&wish.first, |row| &row.instance);
            Step {
                machine: wish.name.clone(),
                instance: instance.clone(),
                action,
                reason,
            }
        })
        .collect();
    steps.extend(
        newest
            .into_values()
            .filter(|row| !described.contains(row.object.as_str()))
            .map(|row| Step {
                machine: row.object.clone(),
                instance: row.instance.clone(),
                action: Action::Destroy,
                reason: Reason::NotDescribed,
            }),
    );
    Plan { steps }
}

/// The newest row of each machine that is not proved to be gone.
fn newest_machines(recorded: &[IntentRow]) -> BTreeMap<&str, &IntentRow> {
    let mut newest: BTreeMap<&str, &IntentRow> = BTreeMap::new();
    for row in recorded
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

fn judge(wish: &Wish, row: &IntentRow, sight: Option<Sight>) -> (Action, Reason) {
    let Some(spec) = wish.on.get(&row.instance) else {
        return (Action::Replace, Reason::Moved);
    };
    if row.state == IntentState::Dying {
        return (Action::Replace, Reason::Dying);
    }
    if *spec != row.spec {
        return (
            Action::Replace,
            Reason::Changed {
                place: wish.place.clone(),
            },
        );
    }
    if wish.bound.as_ref().is_some_and(|bound| *bound != row.bound) {
        return (Action::Replace, Reason::Rebound);
    }
    if let Some(failure) = &row.failure {
        return (Action::Replace, Reason::Failed(failure.clone()));
    }
    if row.state == IntentState::Seen && row.set_up.running {
        return (Action::Replace, Reason::CutOff);
    }
    match (row.state, sight) {
        (IntentState::Planned | IntentState::Sent | IntentState::Unknown, _) => (Action::Continue, Reason::NotFinished),
        (_, Some(Sight::Absent)) => (Action::Replace, Reason::Vanished),
        (_, Some(Sight::Ended)) if !wish.ends && !row.stopped => (Action::Replace, Reason::Ended),
        (IntentState::Ready, _) if row.stopped => (Action::Keep, Reason::Stopped),
        (IntentState::Ready, _) => (Action::Keep, Reason::AsDescribed),
        _ => (Action::Continue, Reason::NotFinished),
    }
}

#[cfg(test)]
mod tests {
    use encamp_core::{Generation, Labels, Site, Stamp, Time, Token, Value};

    use super::*;

    fn row(object: &str, state: IntentState) -> IntentRow {
        IntentRow {
            environment: encamp_core::EnvId::new("0123456789").unwrap(),
            class: Class::Machine,
            object: object.into(),
            generation: Generation(1),
            instance: InstanceName::new("docker").unwrap(),
            site: Site::new("s"),
            state,
            stamp: Stamp::new(Key::new(object), Token::new("t"), Labels::new()),
            request: String::new(),
            id: Some("i".into()),
            unsettled: false,
            epoch: 1,
            last_sent: None,
            evidence: None,
            spec: "spec-1".into(),
            bound: "bound-1".into(),
            failure: None,
            updated: Time::from_unix_millis(0),
            addrs: Vec::new(),
            ports: Vec::new(),
            data: Value::Null,
            stopped: false,
            set_up: crate::journal::SetUp::default(),
            parts: std::collections::BTreeMap::new(),
            services: std::collections::BTreeMap::new(),
            expires: None,
        }
    }

    fn wish(name: &str) -> Wish {
        let docker = InstanceName::new("docker").unwrap();
        Wish {
            name: name.into(),
            on: BTreeMap::from([(docker.clone(), "spec-1".to_owned())]),
            first: docker,
            bound: Some("bound-1".into()),
            late: BTreeSet::new(),
            place: Some("encamp.toml:3".into()),
            ends: false,
        }
    }

    fn check(wish: &Wish, row: IntentRow, sight: Option<Sight>) -> (Action, Reason) {
        let seen = sight.map(|sight| (row.key().clone(), sight)).into_iter().collect();
        let mut plan = plan(std::slice::from_ref(wish), &[row], &seen);
        let step = plan.steps.remove(0);
        (step.action, step.reason)
    }

    #[test]
    fn what_is_as_described_stays() {
        let ready = row("web", IntentState::Ready);
        for sight in [None, Some(Sight::Alive)] {
            assert_eq!(
                check(&wish("web"), ready.clone(), sight),
                (Action::Keep, Reason::AsDescribed)
            );
        }
    }

    #[test]
    fn each_difference_has_its_reason() {
        let ready = || row("web", IntentState::Ready);
        let changed = Wish {
            on: BTreeMap::from([(InstanceName::new("docker").unwrap(), "spec-2".to_owned())]),
            ..wish("web")
        };
        let place = Some("encamp.toml:3".to_owned());
        assert_eq!(
            check(&changed, ready(), Some(Sight::Alive)),
            (Action::Replace, Reason::Changed { place })
        );
        let moved = Wish {
            on: BTreeMap::from([(InstanceName::new("lab").unwrap(), "spec-1".to_owned())]),
            ..wish("web")
        };
        assert_eq!(
            check(&moved, ready(), Some(Sight::Alive)),
            (Action::Replace, Reason::Moved)
        );
        let rebound = Wish {
            bound: Some("bound-2".into()),
            ..wish("web")
        };
        assert_eq!(
            check(&rebound, ready(), Some(Sight::Alive)),
            (Action::Replace, Reason::Rebound)
        );
        assert_eq!(
            check(&wish("web"), ready(), Some(Sight::Absent)),
            (Action::Replace, Reason::Vanished)
        );
        assert_eq!(
            check(&wish("web"), ready(), Some(Sight::Ended)),
            (Action::Replace, Reason::Ended)
        );
        let failed = IntentRow {
            failure: Some("no".into()),
            ..row("web", IntentState::Seen)
        };
        assert_eq!(
            check(&wish("web"), failed, Some(Sight::Alive)),
            (Action::Replace, Reason::Failed("no".into()))
        );
        assert_eq!(
            check(&wish("web"), row("web", IntentState::Dying), None),
            (Action::Replace, Reason::Dying)
        );
    }

    #[test]
    fn what_was_made_with_values_of_a_replaced_machine_is_replaced_with_it() {
        let changed = Wish {
            on: BTreeMap::from([(InstanceName::new("docker").unwrap(), "spec-2".to_owned())]),
            ..wish("db")
        };
        let of = |name: &str, others: &[&str]| Wish {
            late: others.iter().map(ToString::to_string).collect(),
            ..wish(name)
        };
        let wishes = [changed, of("web", &["db"]), of("client", &["web"]), of("other", &[])];
        let rows = ["db", "web", "client", "other"].map(|name| row(name, IntentState::Ready));
        let plan = plan(&wishes, &rows, &BTreeMap::new());
        let actions: Vec<_> = plan.steps.iter().map(|step| step.action).collect();
        assert_eq!(
            actions,
            [Action::Replace, Action::Replace, Action::Replace, Action::Keep]
        );
        assert_eq!(plan.steps[1].reason, Reason::Rebound);
    }

    #[test]
    fn what_ended_on_purpose_is_not_dead() {
        let stopped = IntentRow {
            stopped: true,
            ..row("web", IntentState::Ready)
        };
        assert_eq!(
            check(&wish("web"), stopped, Some(Sight::Ended)),
            (Action::Keep, Reason::Stopped)
        );
        let job = Wish {
            ends: true,
            ..wish("web")
        };
        assert_eq!(
            check(&job, row("web", IntentState::Ready), Some(Sight::Ended)).0,
            Action::Keep
        );
    }

    #[test]
    fn what_was_not_finished_goes_on() {
        for state in [
            IntentState::Planned,
            IntentState::Sent,
            IntentState::Unknown,
            IntentState::Seen,
        ] {
            assert_eq!(
                check(&wish("web"), row("web", state), None),
                (Action::Continue, Reason::NotFinished)
            );
        }
    }

    #[test]
    fn what_is_new_comes_and_what_is_not_described_goes() {
        let rows = [row("old", IntentState::Ready), row("gone", IntentState::Gone)];
        let plan = plan(&[wish("new")], &rows, &BTreeMap::new());
        let steps: Vec<_> = plan
            .steps
            .iter()
            .map(|step| (step.machine.as_str(), step.action))
            .collect();
        assert_eq!(steps, [("new", Action::Create), ("old", Action::Destroy)]);
        assert!(!plan.is_empty());
    }

    #[test]
    fn the_newest_generation_counts() {
        let newer = IntentRow {
            generation: Generation(2),
            spec: "spec-1".into(),
            ..row("web", IntentState::Ready)
        };
        let older = IntentRow {
            spec: "spec-0".into(),
            ..row("web", IntentState::Dying)
        };
        let plan = plan(&[wish("web")], &[newer, older], &BTreeMap::new());
        assert!(plan.is_empty(), "{plan:?}");
    }
}
