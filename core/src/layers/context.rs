//! Says in every error, once, during which verb, of which provider, environment and machine.

use async_trait::async_trait;

use super::layered::{About, Again, Answer, Call, Layer, Once};
use crate::{Accept, Control, Duplex, Error, Exit, InstanceName, Listing, Process, Result, Signal, Size, Verb};

/// Adds what the place of an error knows and the error itself does not.
#[derive(Debug)]
pub(super) struct AddContext {
    pub(super) provider: InstanceName,
}

impl AddContext {
    fn facts(&self, verb: Verb, about: About) -> Facts {
        Facts {
            verb,
            provider: self.provider.clone(),
            about,
        }
    }
}

#[derive(Debug)]
struct Facts {
    verb: Verb,
    provider: InstanceName,
    about: About,
}

impl Facts {
    fn add(&self, error: Error) -> Error {
        let mut error = error.at(self.verb).of_provider(&self.provider);
        if let Some(environment) = &self.about.environment {
            error = error.of_environment_id(environment);
        }
        if let Some(machine) = &self.about.machine {
            error = error.of_machine(machine);
        }
        error
    }
}

impl Layer for AddContext {
    fn around<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Once<'a, T>) -> Answer<'a, T> {
        let answer = next(call.cx.clone());
        let facts = self.facts(call.verb, call.about);
        Box::pin(async move { answer.await.map_err(|error| facts.add(error)) })
    }

    fn around_read<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Again<'a, T>) -> Answer<'a, T> {
        self.around(call, Box::new(next))
    }

    fn listing(&self, about: &About, mut listing: Listing) -> Listing {
        let facts = self.facts(Verb::List, about.clone());
        for coverage in &mut listing.coverage {
            let outcome = std::mem::replace(&mut coverage.outcome, Ok(()));
            coverage.outcome = outcome.map_err(|error| facts.add(error));
        }
        listing
    }

    fn process(&self, about: &About, mut process: Process) -> Process {
        process.control = Box::new(Telling {
            inner: process.control,
            facts: self.facts(Verb::Exec, about.clone()),
        });
        process
    }

    fn accept(&self, about: &About, inner: Box<dyn Accept>) -> Box<dyn Accept> {
        let facts = self.facts(Verb::Listen, about.clone());
        Box::new(Telling { inner, facts })
    }
}

/// A handle whose errors say where they come from.
#[derive(Debug)]
struct Telling<H> {
    inner: H,
    facts: Facts,
}

#[async_trait]
impl Control for Telling<Box<dyn Control>> {
    async fn signal(&mut self, signal: Signal) -> Result<()> {
        self.inner.signal(signal).await.map_err(|error| self.facts.add(error))
    }

    async fn resize(&mut self, size: Size) -> Result<()> {
        self.inner.resize(size).await.map_err(|error| self.facts.add(error))
    }

    async fn wait(&mut self) -> Result<Exit> {
        self.inner.wait().await.map_err(|error| self.facts.add(error))
    }
}

#[async_trait]
impl Accept for Telling<Box<dyn Accept>> {
    async fn accept(&mut self) -> Result<Duplex> {
        self.inner.accept().await.map_err(|error| self.facts.add(error))
    }
}
