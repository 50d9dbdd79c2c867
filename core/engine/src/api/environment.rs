//! A living environment and its machines.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{
    BoxRead, Class, CopyIn, CopyOut, Cx, Dial, Duplex, Env, Error, ErrorKind, Exec, Exit, InstanceName, Logs, Observed,
    Phase, Process, Provider, Result, Size, Target, Time,
};

use futures_util::StreamExt;
use tokio::time::Instant;

use super::encamp::Summary;
use super::runtime::Engine;
use crate::camp::Camp;
use crate::clock::monotonic_now as now;
use crate::inside::Inside;
use crate::journal::{EnvironmentRow, IntentRow, IntentState};
use crate::secrets::Redactor;
use crate::setup::{self, DeadService};

/// A living environment, as the store knew it when this was made.
#[derive(Debug, Clone)]
pub struct Environment {
    engine: Engine,
    camp: Arc<Camp>,
    row: EnvironmentRow,
    machines: BTreeMap<String, IntentRow>,
    items: Vec<IntentRow>,
    summary: Summary,
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

    fn wrap(&self, row: &IntentRow) -> Machine {
        Machine {
            engine: self.engine.clone(),
            camp: Arc::clone(&self.camp),
            environment: self.row.name.clone(),
            row: row.clone(),
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

/// One machine.
#[derive(Debug, Clone)]
pub struct Machine {
    engine: Engine,
    camp: Arc<Camp>,
    environment: String,
    row: IntentRow,
}

/// What keeps the secrets of an environment out of texts, as far as they lie in memory.
fn known_secrets(camp: &Camp, row: &IntentRow) -> Redactor {
    match camp.secret_folder.values(&row.environment) {
        Ok(values) => Redactor::of(&values),
        Err(error) => {
            tracing::warn!(error = %encamp_core::Report(&error), "what its secrets are is not known");
            Redactor::none()
        }
    }
}

/// A command in a machine, before it runs.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Command {
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// Added to the machine's own.
    pub env: Env,
    /// The folder.
    pub cwd: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// With a terminal.
    pub tty: Option<Size>,
    /// Whether standard input is wanted.
    pub stdin: bool,
}

impl Command {
    /// A command without input and without a terminal.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

impl Machine {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.row.object
    }

    /// The provider instance that it is on.
    pub fn instance(&self) -> &InstanceName {
        &self.row.instance
    }

    /// What the journal says: `planned`, `seen`, `ready`, `dying`.
    pub fn state(&self) -> &'static str {
        self.row.state.as_str()
    }

    /// Why it did not become ready.
    pub fn failure(&self) -> Option<&str> {
        self.row.failure.as_deref()
    }

    /// Whether it was stopped on purpose.
    pub fn is_stopped(&self) -> bool {
        self.row.stopped
    }

    /// The carrier's id.
    pub fn id(&self) -> Option<&str> {
        self.row.id.as_deref()
    }

    /// The key under which the infrastructure shows it.
    pub fn key(&self) -> &str {
        self.row.key().as_str()
    }

    /// Its addresses when it became ready.
    pub fn addrs(&self) -> &[encamp_core::Addr] {
        &self.row.addrs
    }

    /// Its published ports when it became ready.
    pub fn ports(&self) -> &[encamp_core::Published] {
        &self.row.ports
    }

    /// Its declared ports, from the request that it was made of.
    pub fn declared_ports(&self) -> Vec<encamp_core::PortSpec> {
        serde_json::from_str::<encamp_core::Create>(&self.row.request)
            .map(|request| request.ports)
            .unwrap_or_default()
    }

    fn target(&self) -> Target {
        Target::new(self.row.stamp.clone(), self.row.site.clone(), self.row.id.clone())
    }

    async fn with<T: Send + 'static, F>(
        &self,
        act: impl FnOnce(Arc<dyn Provider>, Cx, Target) -> F + Send + 'static,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let (camp, row, target, environment) = (
            Arc::clone(&self.camp),
            self.row.clone(),
            self.target(),
            self.environment.clone(),
        );
        self.engine
            .run(async move {
                let acting = async {
                    let provider = camp.provider_of(&row).await?;
                    let cx = Cx::within(camp.policy.change);
                    act(provider, cx, target).await
                };
                let acted = acting.await;
                acted.map_err(|error| {
                    let mut error = error.of_machine(&row.object).of_environment(environment);
                    known_secrets(&camp, &row).redact_error(&mut error);
                    error
                })
            })
            .await
    }

    /// Looks at it now.
    pub async fn inspect(&self) -> Result<Observed> {
        self.with(|provider, cx, target| async move { provider.inspect(&cx, target).await })
            .await
    }

    /// Runs a command.
    pub async fn exec(&self, command: Command) -> Result<Process> {
        self.with(move |provider, cx, target| async move {
            let Command {
                argv,
                env,
                cwd,
                user,
                tty,
                stdin,
            } = command;
            let mut exec = Exec::new(target, argv);
            (exec.env, exec.cwd, exec.user, exec.tty, exec.stdin) = (env, cwd, user, tty, stdin);
            provider.exec(&cx, exec).await
        })
        .await
    }

    /// What its main process has said, without the secrets that the command that made it has left in memory.
    pub async fn logs(&self, since: Option<Time>, follow: bool, tail: Option<u32>) -> Result<BoxRead> {
        let redactor = known_secrets(&self.camp, &self.row);
        let log = self.with(move |provider, cx, target| async move {
            let mut logs = Logs::new(target);
            (logs.since, logs.follow, logs.tail) = (since, follow, tail);
            provider.logs(&cx, logs).await
        });
        log.await.map(|log| redactor.redact_stream(log))
    }

    /// What one of its services has said: all of it, or the last lines, and more as it is said.
    pub async fn service_logs(&self, service: &str, follow: bool, tail: Option<u32>) -> Result<BoxRead> {
        let redactor = known_secrets(&self.camp, &self.row);
        let argv = setup::service_log(service, follow, tail);
        let (known, name) = (setup::service_known(service), service.to_owned());
        let log = self.with(move |provider, cx, target| async move {
            let mut looking = provider.exec(&cx, Exec::new(target.clone(), known)).await?;
            match looking.control.wait().await? {
                Exit::Code(0) => {}
                Exit::Code(1) => {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        format!("it has no service called `{name}`"),
                    ));
                }
                exit => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("whether it has a service called `{name}` is not known: the look {exit}"),
                    ));
                }
            }
            let process = provider.exec(&cx, Exec::new(target, argv)).await?;
            Ok(process.stdout)
        });
        log.await.map(|log| redactor.redact_stream(log))
    }

    /// Connects to a TCP port as the machine itself would, in its own network.
    pub async fn dial(&self, port: u16) -> Result<Duplex> {
        self.with(move |provider, cx, target| async move { provider.dial(&cx, Dial::new(target, port)).await })
            .await
    }

    /// Unpacks a tar stream into a folder of it.
    pub async fn copy_in(&self, folder: &str, tar: BoxRead) -> Result<()> {
        let folder = folder.to_owned();
        self.with(|provider, cx, target| async move { provider.copy_in(&cx, CopyIn::new(target, folder), tar).await })
            .await
    }

    /// Packs a path of it as a tar stream.
    pub async fn copy_out(&self, path: &str) -> Result<BoxRead> {
        let path = path.to_owned();
        self.with(|provider, cx, target| async move { provider.copy_out(&cx, CopyOut::new(target, path)).await })
            .await
    }
}
