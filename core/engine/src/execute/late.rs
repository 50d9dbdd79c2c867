//! What of a machine's description holds only once others are ready.

use std::collections::BTreeSet;

use encamp_core::{KindName, Name};
use encamp_file::spec::{Action, Command, Machine};
use encamp_file::text::{Facts, Template, Text, Viewer};

/// The late texts of set-up and services.
fn texts(machine: &Machine) -> Vec<&Text> {
    let mut texts: Vec<&Text> = Vec::new();
    for service in &machine.services {
        texts.extend(words(&service.command));
        texts.extend(service.env.values());
    }
    for step in &machine.setup {
        texts.extend(step.env.values());
        match &step.action {
            Action::Run(run) => texts.extend(words(run)),
            Action::Script(script) => texts.extend(&script.args),
            Action::Fetch(fetch) => texts.push(&fetch.url),
            Action::Copy(_) | Action::Template(_) | Action::Sync(_) => {}
        }
    }
    texts.retain(|text| text.is_late());
    texts
}

fn words(command: &Command) -> Vec<&Text> {
    match command {
        Command::Shell(text) => vec![text],
        Command::Argv(words) => words.iter().collect(),
    }
}

/// The late template files of the set-up.
fn templates(machine: &Machine) -> impl Iterator<Item = &Template> {
    let templates = machine.setup.iter().filter_map(|step| match &step.action {
        Action::Template(file) => Some(&file.template),
        _ => None,
    });
    templates.filter(|template| template.is_late())
}

/// What is late in a machine's set-up and services, rendered.
pub(super) fn set_up(machine: &Machine, facts: &Facts, viewer: &Viewer) -> Result<Vec<String>, String> {
    let texts = texts(machine).into_iter().map(|text| text.render(facts, viewer));
    let templates = templates(machine).map(|template| template.render(facts, viewer));
    texts
        .chain(templates)
        .map(|text| text.map_err(|e| e.to_string()))
        .collect()
}

/// The machines whose addresses, ports or outputs a machine is made with.
pub(crate) fn needs(machine: &Machine, kind: &KindName) -> BTreeSet<Name> {
    let mut needs = BTreeSet::new();
    let env = machine.env.values().filter(|text| text.is_late());
    let table = machine
        .tables
        .get(kind)
        .into_iter()
        .flat_map(encamp_file::text::Tree::late);
    let all = env.chain(table.map(|(_, text)| text)).chain(texts(machine));
    needs.extend(all.flat_map(Text::needs).cloned());
    needs.extend(templates(machine).flat_map(Template::needs).cloned());
    needs.remove(&machine.name);
    needs
}
