//! What is told while something happens. Progress lines, `--json` and reports are renderings of these.

use encamp_core::{InstanceName, Progress, Time};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::keeper::Survival;
use crate::plan::Plan;
use crate::secrets::Redactor;

/// A machine's status; a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its create is on its way.
    Creating,
    /// It exists and is being started.
    Starting,
    /// Its set-up runs.
    Setup,
    /// It waits for what readiness asks for, or for others.
    Waiting,
    /// Everything that readiness asks for holds.
    Ready,
    /// It did not become ready.
    Failed,
    /// It is being destroyed.
    Destroying,
    /// It is proved to be gone.
    Gone,
}

impl Status {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Starting => "starting",
            Self::Setup => "setup",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Destroying => "destroying",
            Self::Gone => "gone",
        }
    }
}

/// Which of a process's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What happened. `at` is wall-clock time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// An environment is about to be made or changed.
    Planned {
        /// Its name.
        environment: String,
        /// What is to be done.
        plan: Plan,
        /// When its lease ends.
        ends: Time,
        /// What ends it if this command cannot.
        survival: Survival,
    },
    /// A machine or scope item changed its status.
    Machine {
        /// Its name.
        machine: String,
        /// Where.
        instance: InstanceName,
        /// The status.
        status: Status,
        /// More about it, in a few words.
        detail: String,
        /// Milliseconds since work on it began.
        millis: u64,
        /// It is a scope item.
        scope: bool,
    },
    /// A long step of a machine goes on.
    Progress {
        /// Its name.
        machine: String,
        /// How far.
        progress: Progress,
    },
    /// Everything is ready.
    Ready {
        /// By name.
        outputs: std::collections::BTreeMap<String, String>,
        /// Milliseconds since the command began.
        millis: u64,
    },
    /// A task begins on a machine.
    TaskStarted {
        /// Its stage.
        stage: String,
        /// Its name.
        task: String,
        /// Where; `controller` beside encamp itself.
        machine: String,
        /// 1 for the first run.
        attempt: u32,
    },
    /// A task said a line.
    TaskOutput {
        /// Its stage.
        stage: String,
        /// Its name.
        task: String,
        /// Where.
        machine: String,
        /// On which stream.
        stream: Stream,
        /// Without its end.
        line: String,
    },
    /// A task ended on a machine.
    TaskFinished(crate::report::TaskReport),
    /// The environment is being taken down.
    Disposing {
        /// Its name.
        environment: String,
    },
    /// The environment was taken down, or what of it is left.
    Disposed(crate::report::Disposal),
    /// Something worth a line.
    Note {
        /// The line.
        text: String,
    },
}

impl Event {
    /// The same without secrets in anything that it tells. Names are the file's own, and a plan is made of those.
    fn redacted(mut self, redactor: &Redactor) -> Self {
        match &mut self {
            Self::Machine { detail: text, .. } | Self::TaskOutput { line: text, .. } | Self::Note { text } => {
                redactor.redact_in(text);
            }
            Self::Progress { progress, .. } => progress.note.iter_mut().for_each(|text| redactor.redact_in(text)),
            Self::Ready { outputs, .. } => outputs.values_mut().for_each(|text| redactor.redact_in(text)),
            Self::TaskFinished(report) => report.redact(redactor),
            Self::Disposed(disposal) => disposal.redact(redactor),
            Self::Planned { .. } | Self::TaskStarted { .. } | Self::Disposing { .. } => {}
        }
        self
    }
}

/// Where events go. A slow reader slows the work down and loses nothing.
#[derive(Debug, Clone, Default)]
pub struct Events {
    sender: Option<mpsc::Sender<Event>>,
    redactor: Redactor,
    /// Nothing waits for a reader.
    hurried: bool,
}

impl Events {
    /// Events into a channel.
    pub fn into_channel(sender: mpsc::Sender<Event>) -> Self {
        Self {
            sender: Some(sender),
            redactor: Redactor::none(),
            hurried: false,
        }
    }

    /// Nobody listens.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same, with secrets taken out of everything that is told.
    #[must_use]
    pub(crate) fn redacted_by(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// The same, but nothing waits for a reader who is behind: what there is no room for is not told.
    #[must_use]
    pub(crate) fn hurried(&self) -> Self {
        Self {
            hurried: true,
            ..self.clone()
        }
    }

    /// Tells an event. A reader that is gone is not missed.
    pub async fn tell(&self, event: Event) {
        if self.hurried {
            self.mention(event);
        } else if let Some(sender) = &self.sender {
            let _ = sender.send(event.redacted(&self.redactor)).await;
        }
    }

    /// Tells an event where it need not arrive: dropped when the reader is behind.
    pub fn mention(&self, event: Event) {
        if let Some(sender) = &self.sender {
            let _ = sender.try_send(event.redacted(&self.redactor));
        }
    }

    /// Tells a line.
    pub async fn note(&self, text: impl Into<String>) {
        self.tell(Event::Note { text: text.into() }).await;
    }
}

#[cfg(test)]
mod tests {
    use encamp_core::Secret;

    use super::*;
    use crate::report::{Disposal, Left, Outcome, TaskReport, Tests};

    #[tokio::test]
    async fn no_text_of_an_event_keeps_a_secret() {
        let text = || "a hunter22 b".to_owned();
        let instance = InstanceName::new("sim").unwrap();
        let task = TaskReport {
            stage: "test".into(),
            task: "t".into(),
            machine: "web".into(),
            command: text(),
            outcome: Outcome::Failed,
            exit: Some(encamp_core::Exit::Lost(text())),
            failure: Some(text()),
            tail: vec![text(), text()],
            attempts: 1,
            began: None,
            millis: 0,
            tests: Tests::default(),
            files: Vec::new(),
            allowed: false,
        };
        let left = Left {
            object: "web".into(),
            instance: Some(instance.clone()),
            key: "k".into(),
            why: text(),
            help: Some(text()),
        };
        let events = [
            Event::Machine {
                machine: "web".into(),
                instance,
                status: Status::Failed,
                detail: text(),
                millis: 0,
                scope: false,
            },
            Event::Progress {
                machine: "web".into(),
                progress: Progress::note("pull", text()),
            },
            Event::Ready {
                outputs: [("url".to_owned(), text())].into(),
                millis: 0,
            },
            Event::TaskOutput {
                stage: "test".into(),
                task: "t".into(),
                machine: "web".into(),
                stream: Stream::Stdout,
                line: text(),
            },
            Event::TaskFinished(task),
            Event::Disposed(Disposal {
                environment: "shop".into(),
                machines: 0,
                items: 0,
                left: vec![left],
                millis: 0,
            }),
            Event::Note { text: text() },
        ];
        let (sender, mut told) = mpsc::channel(16);
        let all = Events::into_channel(sender).redacted_by(Redactor::of([&Secret::new("hunter22".to_owned())]));
        for event in events {
            let kept = serde_json::to_string(&event).unwrap().matches("hunter22").count();
            all.mention(event.clone());
            all.tell(event).await;
            for _ in 0..2 {
                let told = serde_json::to_string(&told.recv().await.unwrap()).unwrap();
                assert!(kept > 0 && !told.contains("hunter22"), "{told}");
                assert_eq!(told.matches("a *** b").count(), kept, "{told}");
            }
        }
    }
}
