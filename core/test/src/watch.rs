//! What is told while an environment is brought up, and a look at it before it goes because that failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use encamp::events::Status;
use encamp::{Encamp, Error, ErrorKind, Event, Events, Result, Time};
use tokio::sync::mpsc::{self, Receiver};

use crate::look::{self, Sight};

/// What is known of an environment that is brought up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Its name, once it has one.
    pub(crate) name: Option<String>,
    /// What each of its machines was told to be at.
    pub(crate) machines: BTreeMap<String, String>,
    /// Its machines when the first of them failed.
    pub(crate) failed: Option<Vec<Sight>>,
}

/// Listens to one `up`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    /// Listens on a thread of its own, since the test's own may be busy. The engine waits for it with each event: so what
    /// failed is still there while it is looked at.
    pub(crate) fn begin(encamp: &Encamp, since: Time) -> Result<(Self, Events)> {
        let failed = |e| Error::new(ErrorKind::Internal, "what happens cannot be listened to").caused_by(e);
        let (sender, receiver) = mpsc::channel(1);
        let watch = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (listening, encamp) = (watch.clone(), encamp.clone());
        thread::Builder::new()
            .name("encamp-watch".into())
            .spawn(move || runtime.block_on(listening.listen(receiver, &encamp, since)))
            .map_err(failed)?;
        Ok((watch, Events::into_channel(sender)))
    }

    pub(crate) fn seen(&self) -> Seen {
        self.with(|seen| seen.clone())
    }

    /// Keeps how its machines stand.
    pub(crate) fn note(&self, sights: Vec<Sight>) {
        self.with(|seen| seen.failed = Some(sights));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn listen(self, mut events: Receiver<Event>, encamp: &Encamp, since: Time) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Planned { environment, .. } => self.with(|seen| seen.name = Some(environment)),
                Event::Machine {
                    machine,
                    status,
                    detail,
                    scope: false,
                    ..
                } => {
                    let at = if detail.is_empty() {
                        status.as_str().to_owned()
                    } else {
                        format!("{}: {detail}", status.as_str())
                    };
                    let (name, first) = self.with(|seen| {
                        seen.machines.insert(machine, at);
                        (seen.name.clone(), seen.failed.is_none())
                    });
                    if status == Status::Failed
                        && first
                        && let Some(name) = name
                        && let Ok(sights) = look::at(encamp, &name, since).await
                    {
                        self.note(sights);
                    }
                }
                // What comes from now on changes what was seen into what is gone.
                Event::Disposing { .. } => break,
                _ => {}
            }
        }
    }
}
