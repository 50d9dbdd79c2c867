//! Names whose meaning has moved since machines were made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use encamp_core::Create;
use encamp_file::spec::{Environment, Machine};
use serde::Serialize;

use super::{question, resolve_all};
use crate::camp::Camp;
use crate::journal::IntentRow;
use crate::plan::{Action, Plan};

/// A name that means something else than when these machines were made: they keep what it meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Moved {
    /// `image shop/web:1.4`.
    pub what: String,
    /// Whose.
    pub machines: Vec<String>,
}

/// What machines that stay were made of and what the same names mean now. Only a look: what cannot be asked moves nothing.
pub(super) async fn moved(
    camp: &Arc<Camp>,
    spec: &Environment,
    plan: &Plan,
    newest: &BTreeMap<&str, &IntentRow>,
) -> Vec<Moved> {
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
    let (found, _) = resolve_all(camp, spec, asked, &[], None).await;
    let mut moved: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (machine, row) in kept {
        let candidate = question(camp, spec, machine, Some(&row.instance))
            .ok()
            .and_then(|asked| found.get(&asked.key)?.first())
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
