//! A command in a machine, from its arguments to what it said.

use std::fmt;
use std::io;
use std::time::Duration;

use encamp_core::{BoxRead, BoxWrite, Error, ErrorKind, Exit, Process, Result, Signal, Verb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::machine::{Command, Machine};
use crate::inside::broken_off;
use crate::secrets::Redactor;

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
            let mut output = Output {
                machine: machine.name().to_owned(),
                argv,
                exit: Exit::Lost("it has not ended yet".to_owned()),
                stdout: Vec::new(),
                stderr: Vec::new(),
                redactor: machine.redactor(),
            };
            let ended = to_its_end(process, input, timeout, &mut output).await;
            match ended {
                Ok(()) => Ok(output),
                Err(error) => Err(output.explain(error).of_environment(machine.environment())),
            }
        };
        engine.run(running).await
    }
}

async fn to_its_end(process: Process, input: Vec<u8>, timeout: Duration, output: &mut Output) -> Result<()> {
    let Process {
        stdin,
        stdout,
        stderr,
        mut control,
    } = process;
    let ended = {
        let (out, err) = (all(Some(stdout), &mut output.stdout), all(stderr, &mut output.stderr));
        let streams = async { tokio::join!(feed(stdin, &input), out, err) };
        let ending = async { tokio::join!(streams, control.wait()) };
        tokio::time::timeout(timeout, ending).await
    };
    if let Ok((((), out, err), exit)) = ended {
        output.exit = exit?;
        return match out.and(err) {
            // What ended so is not taken for all that it has said.
            Err(native) if output.exit.success() => Err(broken_off(native)),
            _ => Ok(()),
        };
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

/// What a stream says until it ends or breaks.
async fn all(stream: Option<BoxRead>, said: &mut Vec<u8>) -> io::Result<()> {
    if let Some(mut stream) = stream {
        stream.read_to_end(said).await?;
    }
    Ok(())
}

/// What a command came to. As text: the machine, the command, how it ended, and its last lines, without the secrets of its
/// environment; in the bytes they are.
#[derive(Debug, Clone)]
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
    redactor: Redactor,
}

impl Output {
    /// The same, or an error with its last lines where it did not end with 0.
    pub fn checked(self) -> Result<Self> {
        if self.exit.success() {
            return Ok(self);
        }
        let error = Error::new(ErrorKind::Unavailable, format!("`{}` {}", self.command(), self.exit));
        Err(self.explain(error.at(Verb::Exec)))
    }

    /// The error with what the command has said.
    fn explain(&self, error: Error) -> Error {
        let error = error.of_machine(&self.machine);
        match self.last_lines() {
            lines if lines.is_empty() => error,
            lines => error.with("last lines", lines.join("\n")),
        }
    }

    fn command(&self) -> String {
        self.redactor.redact(&self.argv.join(" ")).into_owned()
    }

    /// Standard output as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last lines of both streams.
    fn last_lines(&self) -> Vec<String> {
        let lines = |stream: &[u8]| {
            let text = String::from_utf8_lossy(stream);
            let text = self.redactor.redact(&text);
            text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let mut last = lines(&self.stdout);
        last.extend(lines(&self.stderr));
        last.split_off(last.len().saturating_sub(LINES))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` {}", self.machine, self.command(), self.exit)?;
        for line in self.last_lines() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use encamp_core::{Control, Size};

    use super::*;

    struct Ended(Exit);

    #[async_trait]
    impl Control for Ended {
        async fn signal(&mut self, _: Signal) -> Result<()> {
            Ok(())
        }

        async fn resize(&mut self, _: Size) -> Result<()> {
            Ok(())
        }

        async fn wait(&mut self) -> Result<Exit> {
            Ok(self.0.clone())
        }
    }

    /// Says something, and then what `end` says.
    async fn said(end: Option<io::ErrorKind>, exit: i32) -> (Result<()>, String) {
        let stdout: BoxRead = match end {
            None => Box::pin(&b"half"[..]),
            Some(kind) => {
                let pieces: [io::Result<_>; 2] = [Ok(bytes::Bytes::from_static(b"half")), Err(kind.into())];
                Box::pin(tokio_util::io::StreamReader::new(futures_util::stream::iter(pieces)))
            }
        };
        let process = Process {
            stdin: None,
            stdout,
            stderr: None,
            control: Box::new(Ended(Exit::Code(exit))),
        };
        let mut output = Output {
            machine: "db".to_owned(),
            argv: Vec::new(),
            exit: Exit::Code(-1),
            stdout: Vec::new(),
            stderr: Vec::new(),
            redactor: Redactor::default(),
        };
        let ended = to_its_end(process, Vec::new(), Duration::from_secs(5), &mut output).await;
        (ended, String::from_utf8(output.stdout).unwrap())
    }

    #[tokio::test]
    async fn half_of_an_output_is_none_where_all_went_well() {
        let half = "half".to_owned();
        assert!(matches!(said(None, 0).await, (Ok(()), out) if out == half));
        let (broken, out) = said(Some(io::ErrorKind::ConnectionReset), 0).await;
        assert!(broken.unwrap_err().message().contains("broke off"));
        assert_eq!(out, half);
        // How it ended is the worse news.
        assert!(said(Some(io::ErrorKind::ConnectionReset), 3).await.0.is_ok());
    }
}
