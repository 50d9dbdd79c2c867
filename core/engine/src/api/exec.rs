//! A command in a machine, from its arguments to what it said.

use std::fmt;
use std::time::Duration;

use encamp_core::{BoxRead, BoxWrite, Error, ErrorKind, Exit, Process, Result, Signal, Verb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::machine::{Command, Machine};

/// How long a command has where nobody said so.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Lines that a message shows.
const LINES: usize = 20;

/// A command that is about to run in a machine.
///
/// Nothing happens before [`output`](Self::output) is awaited. What the command says is kept in memory; for more than
/// that, [`Machine::spawn`] gives its streams.
#[derive(Debug, Clone)]
#[must_use = "it runs once `output` is awaited"]
pub struct Exec {
    machine: Machine,
    command: Command,
    input: Vec<u8>,
    timeout: Duration,
}

impl Exec {
    pub(super) fn new(machine: Machine, argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            machine,
            command: Command::new(argv),
            input: Vec::new(),
            timeout: TIMEOUT,
        }
    }

    /// With a variable beside the machine's own.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.command.env.insert(name.into(), value.into());
        self
    }

    /// In this folder of the machine.
    pub fn cwd(mut self, folder: impl Into<String>) -> Self {
        self.command.cwd = Some(folder.into());
        self
    }

    /// As this user of the machine.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.command.user = Some(user.into());
        self
    }

    /// With this as its standard input; without, it is empty.
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.command.stdin = true;
        self.input = input.into();
        self
    }

    /// Killed after this long, with everything that it started; a minute where nobody says so.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it to its end. A command that fails is no error: see [`Output::exit`] and [`Output::checked`].
    pub async fn output(self) -> Result<Output> {
        let Self {
            machine,
            command,
            input,
            timeout,
        } = self;
        let engine = machine.engine.clone();
        let running = async move {
            let argv = command.argv.clone();
            let process = machine.spawn(command).await?;
            let about = |error: Error| error.of_machine(machine.name()).of_environment(machine.environment());
            let (exit, stdout, stderr) = to_its_end(process, input, timeout).await.map_err(about)?;
            Ok(Output {
                machine: machine.name().to_owned(),
                argv,
                exit,
                stdout,
                stderr,
            })
        };
        engine.run(running).await
    }
}

async fn to_its_end(process: Process, input: Vec<u8>, timeout: Duration) -> Result<(Exit, Vec<u8>, Vec<u8>)> {
    let Process {
        stdin,
        stdout,
        stderr,
        mut control,
    } = process;
    let ended = {
        let streams = async { tokio::join!(feed(stdin, &input), all(Some(stdout)), all(stderr)) };
        let ending = async { tokio::join!(streams, control.wait()) };
        tokio::time::timeout(timeout, ending).await
    };
    if let Ok((((), stdout, stderr), exit)) = ended {
        return Ok((exit?, stdout, stderr));
    }
    if let Err(error) = control.signal(Signal::Kill).await {
        tracing::debug!(%error, "a command that took too long could not be killed");
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("the command did not end within {timeout:?}"),
    )
    .at(Verb::Exec))
}

/// A command need not read what it is given.
async fn feed(stdin: Option<BoxWrite>, input: &[u8]) {
    let Some(mut stdin) = stdin else { return };
    let fed = async {
        stdin.write_all(input).await?;
        stdin.shutdown().await
    };
    if let Err(error) = fed.await {
        tracing::debug!(%error, "standard input was not taken");
    }
}

/// What a stream said until it broke.
async fn all(stream: Option<BoxRead>) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(mut stream) = stream
        && let Err(error) = stream.read_to_end(&mut said).await
    {
        tracing::debug!(%error, "the output broke off");
    }
    said
}

/// What a command came to. As text: the machine, the command, how it ended, and its last lines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Where it ran.
    pub machine: String,
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The same, or an error with its last lines where it did not end with 0.
    pub fn checked(self) -> Result<Self> {
        if self.exit.success() {
            return Ok(self);
        }
        let error = Error::new(
            ErrorKind::Unavailable,
            format!("`{}` {}", self.argv.join(" "), self.exit),
        );
        let lines = self.last_lines().join("\n");
        let error = error.at(Verb::Exec).of_machine(&self.machine);
        Err(if lines.is_empty() {
            error
        } else {
            error.with("last lines", lines)
        })
    }

    /// Standard output as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last lines of both streams.
    fn last_lines(&self) -> Vec<String> {
        let lines = |stream: &[u8]| {
            let text = String::from_utf8_lossy(stream);
            text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let mut last = lines(&self.stdout);
        last.extend(lines(&self.stderr));
        last.split_off(last.len().saturating_sub(LINES))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` {}", self.machine, self.argv.join(" "), self.exit)?;
        for line in self.last_lines() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}
