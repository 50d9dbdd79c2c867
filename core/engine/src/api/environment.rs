//! A living environment and its machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Class, Error, ErrorKind, InstanceName, Phase, Result};
use encamp_file::spec;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::encamp::Summary;
use super::forward::{Endpoint, Forwards};
use super::machine::Machine;
use super::runtime::Engine;
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::inside::Inside;
use crate::journal::{EnvironmentRow, IntentRow, IntentState};
use crate::setup::{self, DeadService};
use crate::verbs::lend::Ask;

/// A living environment, as the store knew it when this was made.
#[derive(Debug, Clone)]
pub struct Environment {
    engine: Engine,
    camp: Arc<Camp>,
    row: EnvironmentRow,
    machines: BTreeMap<String, IntentRow>,
    items: Vec<IntentRow>,
    summary: Summary,
    spec: Option<Arc<spec::Environment>>,
    /// To whoever holds it in this process.
    holder: Option<mpsc::WeakSender<Ask>>,
    forwards: Arc<Forwards>,
}

impl Environment {
    pub(super) fn new(
        engine: Engine,
        camp: Arc<Camp>,
        row: EnvironmentRow,
        intents: Vec<IntentRow>,
        summary: Summary,
    ) -> Self {
        let (machines, items): (Vec<_>, Vec<_>) = intents
            .into_iter()
            .filter(|intent| intent.state != IntentState::Gone)
            .partition(|intent| intent.class == Class::Machine);
        let machines = machines
            .into_iter()
            .map(|intent| (intent.object.clone(), intent))
            .collect();
        Self {
            engine,
            camp,
            row,
            machines,
            items,
            summary,
            spec: None,
            holder: None,
            forwards: Arc::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// What a listing shows of it.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What its file was told when it was brought up.
    pub fn given(&self) -> &encamp_file::spec::Given {
        &self.row.given
    }

    /// Its outputs, once it was ready.
    pub fn outputs(&self) -> &BTreeMap<String, String> {
        &self.row.outputs
    }

    /// Its machines.
    pub fn machines(&self) -> impl Iterator<Item = Machine> {
        self.machines.values().map(|row| self.wrap(row))
    }

    /// What its machines share: object name, provider instance, state.
    pub fn items(&self) -> impl Iterator<Item = (&str, &InstanceName, &'static str)> {
        self.items
            .iter()
            .map(|row| (row.object.as_str(), &row.instance, row.state.as_str()))
    }

    /// The machine of that name.
    pub fn machine(&self, name: &str) -> Result<Machine> {
        match self.machines.get(name) {
            Some(row) => Ok(self.wrap(row)),
            None => {
                let known: Vec<&str> = self.machines.keys().map(String::as_str).collect();
                Err(Error::new(
                    ErrorKind::NotFound,
                    format!("`{}` has no machine called `{name}`", self.row.name),
                )
                .of_environment(&self.row.name)
                .with("its machines", known.join(" ")))
            }
        }
    }

    /// The groups that its machines are members of, in order.
    pub fn groups(&self) -> Vec<String> {
        let groups: BTreeSet<String> = self.machines.values().flat_map(groups_of).collect();
        groups.into_iter().collect()
    }

    /// The machine of that name, or each member of the group of that name, by index.
    pub fn members(&self, name: &str) -> Result<Vec<Machine>> {
        if self.machines.contains_key(name) {
            return Ok(vec![self.machine(name)?]);
        }
        let mut members: Vec<&IntentRow> = self
            .machines
            .values()
            .filter(|row| groups_of(row).iter().any(|group| group == name))
            .collect();
        members.sort_by_key(|row| (row.object.len(), row.object.clone()));
        if members.is_empty() {
            return self.machine(name).map(|machine| vec![machine]);
        }
        Ok(members.into_iter().map(|row| self.wrap(row)).collect())
    }

    /// Looks at its machines as they are now, for so long at most in all; those that were never sent are left out.
    pub async fn look(&self, within: Duration) -> Result<BTreeMap<String, Result<Looked>>> {
        let (camp, environment) = (Arc::clone(&self.camp), self.row.name.clone());
        let rows: Vec<IntentRow> = self.machines.values().filter(|row| row.id.is_some()).cloned().collect();
        let looking = async move {
            let by = now() + within;
            let looks: Vec<_> = rows
                .iter()
                .map(|row| look(&camp, &environment, row, within, by))
                .collect();
            let looks = futures_util::stream::iter(looks).buffer_unordered(LOOKS);
            Ok(looks.collect::<BTreeMap<_, _>>().await)
        };
        self.engine.run(looking).await
    }

    /// Where a declared port of a machine is dialled from this process: where it is published, else through a forward,
    /// which stays as long as this environment's handles and what they gave.
    pub async fn endpoint(&self, machine: &str, port: &str) -> Result<Endpoint> {
        self.forwards
            .endpoint(&self.engine, &self.machine(machine)?, port)
            .await
    }

    /// The same with what it is described by, and with who holds it here.
    pub(super) fn held(mut self, spec: Arc<spec::Environment>, holder: Option<mpsc::WeakSender<Ask>>) -> Self {
        (self.spec, self.holder) = (Some(spec), holder);
        self
    }

    /// The same for an environment that nobody here holds any more.
    pub(super) fn unheld(mut self) -> Self {
        self.holder = None;
        self
    }

    fn wrap(&self, row: &IntentRow) -> Machine {
        Machine {
            engine: self.engine.clone(),
            camp: Arc::clone(&self.camp),
            environment: self.row.name.clone(),
            row: row.clone(),
            spec: self.spec.clone(),
            holder: self.holder.clone(),
        }
    }
}

/// Machines that are looked at at the same time.
const LOOKS: usize = 16;

/// What a look at a machine showed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Looked {
    /// Where it stands.
    pub phase: Phase,
    /// Its services that ended by themselves, and not well.
    pub dead: Vec<DeadService>,
}

async fn look(
    camp: &Camp,
    environment: &str,
    row: &IntentRow,
    within: Duration,
    by: Instant,
) -> (String, Result<Looked>) {
    let looking = async {
        let provider = camp.provider_of(row).await?;
        let inside = Inside::of(environment, within, provider, row);
        let phase = inside.look().await?.phase;
        let dead = match phase {
            // Whether the machine is there is worth telling where its services cannot be asked.
            Phase::Running => setup::dead_services(&inside, row, within).await.unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(Looked { phase, dead })
    };
    let looked = tokio::time::timeout_at(by, looking).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("no answer within {within:?}"),
        ))
    });
    (
        row.object.clone(),
        looked.map_err(|error| error.of_machine(&row.object).of_environment(environment)),
    )
}

/// The groups of a machine, from the request that it was made of.
fn groups_of(row: &IntentRow) -> Vec<String> {
    let request = serde_json::from_str::<encamp_core::Create>(&row.request);
    request.map_or_else(
        |_| Vec::new(),
        |request| request.aliases.iter().map(ToString::to_string).collect(),
    )
}
