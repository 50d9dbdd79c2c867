//! The secrets that an environment speaks of.

use std::collections::BTreeSet;

use encamp_core::Name;

use super::{Action, Command, Condition, Environment, Machine, Probe, SecretSource, Task, TaskAction};
use crate::text::Text;

/// All of them.
pub(super) fn secrets(environment: &Environment) -> BTreeSet<Name> {
    let mut names = Names::default();
    for machine in &environment.machines {
        names.machine(machine);
    }
    for task in environment.stages.iter().flat_map(|stage| &stage.tasks) {
        names.task(task);
    }
    names.texts(environment.outputs.values());
    for source in environment.secrets.values() {
        if let SecretSource::Command(command) = source {
            names.command(command);
        }
    }
    names.0
}

#[derive(Default)]
struct Names(BTreeSet<Name>);

impl Names {
    fn text(&mut self, text: &Text) {
        self.0.extend(text.secrets().iter().cloned());
    }

    fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t Text>) {
        for text in texts {
            self.text(text);
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Shell(text) => self.text(text),
            Command::Argv(words) => self.texts(words),
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Run(command) => self.command(command),
            Action::Script(script) => self.texts(&script.args),
            Action::Copy(copy) => self.text(&copy.to),
            Action::Template(file) => {
                self.0.extend(file.template.secrets().iter().cloned());
                self.text(&file.to);
            }
            Action::Fetch(fetch) => self.texts([&fetch.url, &fetch.to]),
            Action::Sync(sync) => self.text(&sync.to),
        }
    }

    fn probe(&mut self, probe: &Probe) {
        match &probe.condition {
            Condition::Http { path, .. } | Condition::File { path } => self.text(path),
            Condition::Run(command) => self.command(command),
            Condition::Tcp { .. }
            | Condition::Exited
            | Condition::Log { .. }
            | Condition::Healthcheck
            | Condition::Ssh
            | Condition::CloudInit => {}
        }
    }

    fn machine(&mut self, machine: &Machine) {
        self.texts(machine.env.values());
        self.texts(machine.secrets.values());
        for tree in machine.tables.values() {
            for (_, text) in tree.late() {
                self.text(text);
            }
        }
        for step in &machine.setup {
            self.action(&step.action);
            self.texts(step.env.values());
            self.texts(&step.cwd);
        }
        for service in &machine.services {
            self.command(&service.command);
            self.texts(service.env.values());
            self.texts(&service.cwd);
        }
        for probe in machine.ready.iter().chain(&machine.group_ready) {
            self.probe(probe);
        }
    }

    fn task(&mut self, task: &Task) {
        match &task.action {
            TaskAction::Step(action) => self.action(action),
            TaskAction::Control { .. } | TaskAction::Finish { .. } => {}
        }
        self.texts(task.env.values());
        self.texts(&task.cwd);
    }
}
