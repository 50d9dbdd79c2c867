//! One machine of an environment.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{
    BoxRead, CopyIn, CopyOut, Cx, Dial, Duplex, Env, Error, ErrorKind, Exit, InstanceName, Logs, Observed, Process,
    Provider, Result, Size, Target, Time,
};
use encamp_file::spec;
use tokio::sync::{mpsc, oneshot};

use super::exec::Exec;
use super::runtime::Engine;
use crate::camp::Camp;
use crate::events::Events;
use crate::journal::IntentRow;
use crate::secrets::Redactor;
use crate::setup;
use crate::verbs::lend::Ask;
use crate::verbs::touch::{self, Touched};

/// One machine.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(super) engine: Engine,
    pub(super) camp: Arc<Camp>,
    pub(super) environment: String,
    pub(super) row: IntentRow,
    /// What its environment is described by, where that is at hand.
    pub(super) spec: Option<Arc<spec::Environment>>,
    /// To whoever holds its environment in this process.
    pub(super) holder: Option<mpsc::WeakSender<Ask>>,
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

    /// What keeps the secrets of its environment out of texts.
    pub(super) fn redactor(&self) -> Redactor {
        known_secrets(&self.camp, &self.row)
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

    /// The name of its environment.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// A command to be run in it, with its arguments. See [`Exec`].
    pub fn exec(&self, argv: impl IntoIterator<Item = impl Into<String>>) -> Exec {
        Exec::new(self.clone(), argv)
    }

    /// Starts a command, and gives its streams.
    pub async fn spawn(&self, command: Command) -> Result<Process> {
        self.with(move |provider, cx, target| async move {
            let Command {
                argv,
                env,
                cwd,
                user,
                tty,
                stdin,
            } = command;
            let mut exec = encamp_core::Exec::new(target, argv);
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
            let mut looking = provider
                .exec(&cx, encamp_core::Exec::new(target.clone(), known))
                .await?;
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
            let process = provider.exec(&cx, encamp_core::Exec::new(target, argv)).await?;
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
    pub async fn unpack(&self, folder: &str, tar: BoxRead) -> Result<()> {
        let folder = folder.to_owned();
        self.with(|provider, cx, target| async move { provider.copy_in(&cx, CopyIn::new(target, folder), tar).await })
            .await
    }

    /// Packs a path of it as a tar stream.
    pub async fn pack(&self, path: &str) -> Result<BoxRead> {
        let path = path.to_owned();
        self.with(|provider, cx, target| async move { provider.copy_out(&cx, CopyOut::new(target, path)).await })
            .await
    }

    /// Stops it: its processes have `grace` to end. It has not died then.
    pub async fn stop(&self, grace: Duration) -> Result<()> {
        let (camp, name, machines) = (Arc::clone(&self.camp), self.environment.clone(), self.alone());
        let touched = match self.holder()? {
            Some(holder) => {
                let ask = |answer| Ask::Stop {
                    machines,
                    grace,
                    answer,
                };
                self.asked(holder, ask).await?
            }
            None => {
                let stopping = async move { touch::stop(&camp, &name, &machines, grace, Events::none()).await };
                self.engine.run(stopping).await?
            }
        };
        first_error(touched)
    }

    /// Starts it after a stop, and waits until it is ready again.
    pub async fn start(&self) -> Result<()> {
        let (camp, name, machines) = (Arc::clone(&self.camp), self.environment.clone(), self.alone());
        let touched = match self.holder()? {
            Some(holder) => self.asked(holder, |answer| Ask::Start { machines, answer }).await?,
            None => {
                let spec = self.spec.clone();
                let starting =
                    async move { touch::start(&camp, &name, &machines, spec.as_deref(), Events::none()).await };
                self.engine.run(starting).await?
            }
        };
        first_error(touched)
    }

    /// Stops and starts it, and waits until it is ready again.
    pub async fn restart(&self) -> Result<()> {
        self.stop(GRACE).await?;
        self.start().await
    }

    fn alone(&self) -> BTreeSet<String> {
        BTreeSet::from([self.name().to_owned()])
    }

    /// Whoever holds the environment in this process, if that is so.
    fn holder(&self) -> Result<Option<mpsc::Sender<Ask>>> {
        match &self.holder {
            None => Ok(None),
            Some(holder) => holder.upgrade().map(Some).ok_or_else(|| self.let_go()),
        }
    }

    async fn asked<T>(
        &self,
        holder: mpsc::Sender<Ask>,
        ask: impl FnOnce(oneshot::Sender<Result<T>>) -> Ask,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        holder.send(ask(answer)).await.map_err(|_| self.let_go())?;
        answered.await.map_err(|_| self.let_go())?
    }

    fn let_go(&self) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!("`{}` is not held here any more", self.environment),
        )
        .of_machine(self.name())
    }
}

/// How long processes have to end where nobody said so.
const GRACE: Duration = Duration::from_secs(10);

fn first_error(touched: Vec<Touched>) -> Result<()> {
    touched
        .into_iter()
        .find_map(|touched| touched.error)
        .map_or(Ok(()), Err)
}
