//! Runs what the small shell understands.

use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::builtin;
use super::files::absolute;
use super::inside::{Inside, Job, Run};
use super::script::{self, Body, Command, Part, Redirection, Step, When, Word};
use crate::{BoxRead, BoxWrite, Env, Exit, Size};

/// Where a program reads and writes.
#[derive(Clone)]
pub(super) struct Io {
    pub(super) stdin: Arc<Mutex<BoxRead>>,
    pub(super) stdout: Arc<Mutex<BoxWrite>>,
    pub(super) stderr: Arc<Mutex<BoxWrite>>,
}

/// Goes on with a status, or leaves the shell with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next(i32),
    Leave(i32),
}

impl Flow {
    pub(super) fn status(self) -> i32 {
        match self {
            Self::Next(status) | Self::Leave(status) => status,
        }
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = Flow> + Send + 'a>>;

/// A shell, or any one program.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) inside: Arc<Inside>,
    pub(super) run: Run,
    /// Everything that one command started.
    pub(super) group: Job,
    pub(super) pid: u32,
    pub(super) env: Env,
    pub(super) cwd: String,
    pub(super) user: String,
    pub(super) terminal: Option<watch::Receiver<Size>>,
    pub(super) io: Io,
    pub(super) status: i32,
    pub(super) last_child: Option<u32>,
    pub(super) children: Vec<CancellationToken>,
}

impl Program {
    /// Runs a program with its arguments.
    pub(super) fn execute(&mut self, argv: Vec<String>) -> Running<'_> {
        Box::pin(async move {
            let Some(name) = argv.first() else {
                return Flow::Next(0);
            };
            let base = name.rsplit('/').next().unwrap_or(name);
            match (base, argv.get(1).map(String::as_str)) {
                ("sh" | "bash" | "ash", Some("-c")) => {
                    let script = argv.get(2).cloned().unwrap_or_default();
                    self.shell(&script).await
                }
                ("sh" | "bash" | "ash", Some(path)) => self.script_file(path).await,
                ("sh" | "bash" | "ash", None) => {
                    let mut script = String::new();
                    let read = self.io.stdin.lock().await.read_to_string(&mut script).await;
                    if read.is_err() {
                        return self.complain("sh", "the input is no text").await;
                    }
                    self.shell(&script).await
                }
                _ if name.contains('/') && self.inside.files.exists(&absolute(&self.cwd, name)) => {
                    self.script_file(name).await
                }
                _ => Box::pin(builtin::run(self, base, &argv[1..])).await,
            }
        })
    }

    async fn script_file(&mut self, path: &str) -> Flow {
        match self.inside.files.read(&absolute(&self.cwd, path)) {
            Some(bytes) => self.shell(&String::from_utf8_lossy(&bytes)).await,
            None => self.complain(path, "not found").await,
        }
    }

    /// Runs a script in a shell of its own.
    async fn shell(&mut self, script: &str) -> Flow {
        let list = match script::parse(script) {
            Ok(list) => list,
            Err(error) => {
                self.say_error(&format!("sh: {error}")).await;
                return Flow::Next(2);
            }
        };
        let mut shell = self.clone();
        shell.children.clear();
        Flow::Next(shell.list(&list).await.status())
    }

    fn list<'a>(&'a mut self, list: &'a [Step]) -> Running<'a> {
        Box::pin(async move {
            for step in list {
                let wanted = match step.when {
                    When::Always => true,
                    When::Succeeded => self.status == 0,
                    When::Failed => self.status != 0,
                };
                if !wanted {
                    continue;
                }
                self.run.moving().await;
                if step.background {
                    self.spawn(step);
                    self.status = 0;
                    continue;
                }
                match self.pipeline(&step.pipeline).await {
                    Flow::Next(status) if step.negated => self.status = i32::from(status == 0),
                    Flow::Next(status) => self.status = status,
                    leave @ Flow::Leave(_) => return leave,
                }
            }
            Flow::Next(self.status)
        })
    }

    /// Runs a step beside this shell, in its group.
    fn spawn(&mut self, step: &Step) {
        let (pid, job) = self.inside.enter();
        let ended = CancellationToken::new();
        self.last_child = Some(pid);
        self.children.push(ended.clone());
        let mut child = self.clone();
        child.pid = pid;
        let pipeline = step.pipeline.clone();
        tokio::spawn(async move {
            let (inside, group, run) = (Arc::clone(&child.inside), child.group.clone(), child.run.clone());
            // The program goes first, and with it its hold on the streams.
            until_end(
                &job,
                &group,
                &run,
                async move { child.pipeline(&pipeline).await.status() },
            )
            .await;
            inside.leave(pid);
            ended.cancel();
        });
    }

    async fn pipeline(&mut self, commands: &[Command]) -> Flow {
        let Some((last, before)) = commands.split_last() else {
            return Flow::Next(0);
        };
        if before.is_empty() {
            return self.command(last).await;
        }
        let mut feeding = Vec::new();
        let mut input = Arc::clone(&self.io.stdin);
        for command in before {
            let (reader, writer) = tokio::io::duplex(64 * 1024);
            let mut stage = self.clone();
            stage.io.stdin = std::mem::replace(&mut input, Arc::new(Mutex::new(Box::pin(reader))));
            stage.io.stdout = Arc::new(Mutex::new(Box::pin(writer)));
            feeding.push(async move { stage.command(command).await });
        }
        let mut consumer = self.clone();
        consumer.io.stdin = input;
        let consume = async move { consumer.command(last).await.status() };
        let feed = async {
            let mut feeding: Vec<Pin<Box<dyn Future<Output = Flow> + Send + '_>>> = feeding
                .into_iter()
                .map(|stage| Box::pin(stage) as Running<'_>)
                .collect();
            std::future::poll_fn(move |cx| {
                feeding.retain_mut(|stage| stage.as_mut().poll(cx).is_pending());
                if feeding.is_empty() {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
        };
        let (status, ()) = tokio::join!(consume, feed);
        Flow::Next(status)
    }

    fn command<'a>(&'a mut self, command: &'a Command) -> Running<'a> {
        Box::pin(async move {
            let mut files = Vec::new();
            let before = self.io.clone();
            for redirection in &command.redirections {
                if let Err(message) = self.redirect(redirection, &mut files) {
                    self.io = before;
                    return self.complain("sh", &message).await;
                }
            }
            let flow = match &command.body {
                Body::Group(list) => Flow::Next(self.clone().list(list).await.status()),
                Body::Words(words) => self.words(words).await,
            };
            self.io = before;
            for file in files {
                let path = file.path.clone();
                if !file.finish(&self.inside).await {
                    return self.complain("sh", &format!("cannot create {path}")).await;
                }
            }
            flow
        })
    }

    /// Assignments, then the command.
    async fn words(&mut self, words: &[Word]) -> Flow {
        let mut argv: Vec<_> = words.iter().filter_map(|word| self.expand(word)).collect();
        let assignments = argv.iter().take_while(|word| assignment(word).is_some()).count();
        let rest = argv.split_off(assignments);
        let before = self.env.clone();
        for word in &argv {
            if let Some((name, value)) = assignment(word) {
                self.env.insert(name.to_owned(), value.to_owned());
            }
        }
        if rest.is_empty() {
            return Flow::Next(0);
        }
        let keeps = !argv.is_empty();
        let flow = self.execute(rest).await;
        if keeps {
            self.env = before;
        }
        flow
    }

    fn expand(&self, word: &Word) -> Option<String> {
        let parts = word.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(name) => match name.as_str() {
                "$" => self.pid.to_string(),
                "?" => self.status.to_string(),
                "!" => self.last_child.map(|pid| pid.to_string()).unwrap_or_default(),
                name => self.env.get(name).cloned().unwrap_or_default(),
            },
        });
        let text: String = parts.collect();
        (word.quoted || !text.is_empty()).then_some(text)
    }

    fn redirect(&mut self, redirection: &Redirection, files: &mut Vec<Sink>) -> Result<(), String> {
        match redirection {
            Redirection::Duplicate(stream, 1) if *stream == 2 => self.io.stderr = Arc::clone(&self.io.stdout),
            Redirection::Duplicate(_, 2) => self.io.stdout = Arc::clone(&self.io.stderr),
            Redirection::Duplicate(..) => {}
            Redirection::From(path) => {
                let path = absolute(&self.cwd, &self.expand(path).unwrap_or_default());
                let bytes = match path.as_str() {
                    "/dev/null" => Vec::new(),
                    path => self
                        .inside
                        .files
                        .read(path)
                        .ok_or_else(|| format!("cannot open {path}"))?,
                };
                self.io.stdin = Arc::new(Mutex::new(Box::pin(std::io::Cursor::new(bytes))));
            }
            Redirection::To { stream, path, append } => {
                let path = absolute(&self.cwd, &self.expand(path).unwrap_or_default());
                let (reader, writer) = tokio::io::duplex(64 * 1024);
                let writer: Arc<Mutex<BoxWrite>> = Arc::new(Mutex::new(Box::pin(writer)));
                if *stream == 2 {
                    self.io.stderr = writer;
                } else {
                    self.io.stdout = writer;
                }
                files.push(Sink::open(reader, path, *append));
            }
        }
        Ok(())
    }

    pub(super) async fn say(&self, text: &[u8]) -> bool {
        self.io.stdout.lock().await.write_all(text).await.is_ok()
    }

    pub(super) async fn say_error(&self, line: &str) {
        let line = format!("{line}\n");
        // Whoever does not listen misses it.
        let _ = self.io.stderr.lock().await.write_all(line.as_bytes()).await;
    }

    /// Prints `name: message`; 127 where the thing is not found, else 1.
    pub(super) async fn complain(&self, name: &str, message: &str) -> Flow {
        self.say_error(&format!("{name}: {message}")).await;
        Flow::Next(if message == "not found" { 127 } else { 1 })
    }
}

fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some((name, value))
}

/// A file that a redirection fills.
struct Sink {
    path: String,
    append: bool,
    content: tokio::task::JoinHandle<Vec<u8>>,
}

impl Sink {
    fn open(mut reader: tokio::io::DuplexStream, path: String, append: bool) -> Self {
        let content = tokio::spawn(async move {
            let mut content = Vec::new();
            // What came before the break is what there is.
            let _ = reader.read_to_end(&mut content).await;
            content
        });
        Self { path, append, content }
    }

    /// Waits until the last writer is gone, and keeps what was written.
    async fn finish(mut self, inside: &Inside) -> bool {
        let content = (&mut self.content).await.unwrap_or_default();
        match self.path.as_str() {
            "/dev/null" => true,
            "/proc/1/fd/1" | "/proc/1/fd/2" => {
                for line in String::from_utf8_lossy(&content).lines() {
                    inside.log.say(inside.clock.time(), line);
                }
                true
            }
            path => inside.files.write(path, &content, self.append),
        }
    }
}

/// Runs a program until it ends by itself, by a signal, or with its machine.
pub(super) async fn until_end(own: &Job, group: &Job, run: &Run, program: impl Future<Output = i32>) -> Exit {
    tokio::select! {
        biased;
        signal = own.killed() => Exit::Signal(signal.into()),
        signal = group.killed() => Exit::Signal(signal.into()),
        () = run.ended.cancelled() => Exit::Signal("KILL".into()),
        code = program => Exit::Code(code),
    }
}
