//! What a world consists of: machines, scope items, images.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::files::{Tree, Volume};
use super::inside::{Inside, Run};
use super::table::Fail;
use crate::{Class, Exit, Health, InstanceName, Keeps, Labels, Name, Phase, PortSpec, Site, Stamp, Time, Value};

/// One thing, from its making on. What is gone stays, as the history of its key.
#[derive(Debug)]
pub(super) struct Thing {
    pub(super) class: Class,
    pub(super) site: Site,
    pub(super) key: String,
    pub(super) id: String,
    pub(super) labels: Labels,
    pub(super) token: String,
    /// The frozen request that made it.
    pub(super) request: Value,
    pub(super) provider: Option<InstanceName>,
    pub(super) epoch: Option<u64>,
    pub(super) made_at: Instant,
    /// How long listings are behind about it.
    pub(super) lag: Duration,
    /// On its way to being gone.
    pub(super) ending: bool,
    pub(super) ended_at: Option<Instant>,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Machine(Box<Machine>),
    Item(Volume),
    /// The files, and the folders of the machine that are not among them.
    Image(Tree, Vec<String>),
    /// Nobody's here.
    Foreign,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) inside: Arc<Inside>,
    pub(super) stage: Stage,
    pub(super) boot: Duration,
    pub(super) expires: Option<Time>,
    /// The ids of the scope items that it uses.
    pub(super) uses: Vec<String>,
    pub(super) name: Name,
    pub(super) aliases: Vec<Name>,
    pub(super) ports: Vec<PortSpec>,
    pub(super) starts: u32,
}

#[derive(Debug)]
pub(super) enum Stage {
    Held,
    Up { since: Instant, run: Run },
    Stopped,
}

impl Machine {
    pub(super) fn phase(&self, now: Instant) -> Phase {
        let Stage::Up { since, run } = &self.stage else {
            return if matches!(self.stage, Stage::Held) {
                Phase::Held
            } else {
                Phase::Stopped
            };
        };
        if let Some(exit) = run.exit() {
            return Phase::Exited(exit);
        }
        if run.is_paused() {
            return Phase::Paused;
        }
        if *since + self.boot > now || self.inside.table.fails(Fail::Hang) {
            return Phase::Starting;
        }
        Phase::Running
    }

    /// What the health check of its image says.
    pub(super) fn health(&self, now: Instant) -> Option<Health> {
        let (Stage::Up { since, .. }, Some(check)) = (&self.stage, &self.inside.table.health) else {
            return None;
        };
        Some(match &check.fails {
            _ if *since + self.boot + check.after.0 > now => Health::Starting,
            None => Health::Healthy,
            Some(said) => Health::Unhealthy {
                said: Some(said.clone()),
            },
        })
    }

    pub(super) fn end_run(&self, exit: Exit) {
        if let Stage::Up { run, .. } = &self.stage {
            run.end(exit);
        }
    }

    pub(super) fn answers_to(&self, name: &str) -> bool {
        self.name.as_str() == name || self.aliases.iter().any(|alias| alias.as_str() == name)
    }
}

impl Thing {
    pub(super) fn exists(&self) -> bool {
        self.ended_at.is_none()
    }

    pub(super) fn phase(&self, now: Instant) -> Phase {
        match &self.body {
            _ if self.ended_at.is_some() => Phase::Gone,
            _ if self.ending => Phase::Dying,
            Body::Machine(machine) => machine.phase(now),
            Body::Item(_) | Body::Image(..) | Body::Foreign => Phase::Running,
        }
    }

    /// Whether a listing shows it, which may be behind about its making and about its end.
    pub(super) fn listed(&self, now: Instant) -> bool {
        self.made_at + self.lag <= now && self.ended_at.is_none_or(|ended| ended + self.lag > now)
    }

    /// Whether it carries a stamp, as far as the carrier keeps one.
    pub(super) fn carries(&self, stamp: &Stamp, keeps: Keeps) -> bool {
        match keeps {
            Keeps::Labels => stamp.matches(&self.key, &self.labels),
            Keeps::KeyOnly => stamp.key.as_str() == self.key,
        }
    }

    pub(super) fn machine(&self) -> Option<&Machine> {
        match &self.body {
            Body::Machine(machine) => Some(machine),
            _ => None,
        }
    }

    pub(super) fn machine_mut(&mut self) -> Option<&mut Machine> {
        match &mut self.body {
            Body::Machine(machine) => Some(machine),
            _ => None,
        }
    }
}
