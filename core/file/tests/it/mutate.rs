//! Whatever becomes of a good file, it is taken or refused with a place, and nothing panics.

use std::path::Path;

use encamp_core::Name;
use encamp_file::spec::{Action, Command, Environment};
use encamp_file::text::{Facts, Text, Viewer};
use encamp_file::{Failure, Loaded, Severity};
use proptest::prelude::*;

use crate::fake::{FILE, FULL, Memory, SHOP, load_from};

/// Files that together use every feature.
const CORPUS: [&str; 2] = [SHOP, FULL];
const TEMPLATE: &str = "conf/app.conf.j2";

const TOKENS: [&str; 62] = [
    "{{",
    "}}",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    "\\",
    "\\u0000",
    "\r",
    "\u{0}",
    "ä",
    "-",
    "1e999",
    "nan",
    "1979-05-27",
    "[[machines]]",
    "[machines.web.docker]",
    "me",
    "machines.db",
    "count",
    "| join(',')",
    "{{ machines.web }}",
    "{{ inputs }}",
    "99999999999999999999",
    "machines.web[9]",
    "stage",
    "{%",
    "%}",
    "{#",
    "{% raw %}",
    "{% endraw %}",
    "{% for x in machines.web %}",
    "{% macro m(a) %}",
    "{% set machines = 1 %}",
    "{% if",
    "{% include 'x' %}",
    "secret('shop-token')",
    "secret",
    "machines.db.outputs.token",
    "me.address",
    "run",
    "copy",
    "template",
    "do = 'stop'",
    "finish",
    "raw = true",
    "'..'",
    "'/'",
    "'way-out'",
    "0o777",
    "setup",
    "services",
    "secrets",
    "of = 'group'",
];

fn check(text: &str) {
    check_with(&Memory::new(text));
}

fn check_with(memory: &Memory) {
    match load_from(memory, |_| {}) {
        Ok(loaded) => check_good(&loaded),
        Err(failure) => check_wrong(&failure, memory),
    }
}

/// Whatever is in it can be asked for, and answers.
fn check_good(loaded: &Loaded) {
    let environment = &loaded.environment;
    for machine in &environment.machines {
        let viewer = Viewer::Member(machine.name.clone());
        render(machine.env.values().chain(machine.secrets.values()), &viewer);
        for step in &machine.setup {
            action(&step.action, &viewer);
        }
        for kind in machine.tables.keys() {
            assert_eq!(machine.spec_hash(kind).len(), 16);
        }
    }
    for task in environment.stages.iter().flat_map(|stage| &stage.tasks) {
        assert!(!task.action.to_string().contains('\n'));
    }
    render(environment.outputs.values(), &Viewer::Controller);
    render(
        environment.outputs.values(),
        &Viewer::Member(Name::new("nobody").expect("a name")),
    );
    declared(environment);
    loaded.render(true);
}

fn render<'t>(texts: impl Iterator<Item = &'t Text>, viewer: &Viewer) {
    for text in texts {
        let _ = text.render(&Facts::default(), viewer);
    }
}

fn action(action: &Action, viewer: &Viewer) {
    match action {
        Action::Run(Command::Argv(words)) => render(words.iter(), viewer),
        Action::Run(Command::Shell(text)) => render([text].into_iter(), viewer),
        Action::Template(file) => {
            let _ = file.template.render(&Facts::default(), viewer);
        }
        Action::Copy(_) | Action::Script(_) | Action::Fetch(_) | Action::Sync(_) => {}
    }
}

/// What is spoken of is declared: nothing was let in from outside.
fn declared(environment: &Environment) {
    for name in environment.secret_names() {
        assert!(environment.secrets.contains_key(&name), "{name}");
    }
}

fn check_wrong(failure: &Failure, memory: &Memory) {
    let errors: Vec<_> = failure
        .diagnostics()
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .collect();
    assert!(!errors.is_empty(), "refused without a reason");
    for error in errors {
        let place = error
            .place
            .as_ref()
            .unwrap_or_else(|| panic!("{} has no place", error.message));
        assert!(place.line >= 1 && place.column >= 1);
        let span = error.span.clone().expect("an error has a span");
        let text = &memory.files[&place.file];
        assert!(text.get(span).is_some(), "the span lies between characters");
    }
    assert!(!failure.render(false).is_empty());
    failure.render(true);
    failure.to_json();
}

/// Puts `token` in the place of a part of the text.
fn splice(text: &str, at: usize, len: usize, token: &str) -> String {
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(at % (text.len() + 1));
    let end = boundary((start + len).min(text.len())).max(start);
    format!("{}{token}{}", &text[..start], &text[end..])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_replaced(
        of in 0..CORPUS.len(),
        edits in prop::collection::vec((any::<usize>(), 0_usize..12, 0..TOKENS.len()), 1..6),
    ) {
        let mut text = CORPUS[of].to_owned();
        for (at, len, token) in edits {
            text = splice(&text, at, len, TOKENS[token]);
        }
        check(&text);
    }

    #[test]
    fn bytes_flipped(of in 0..CORPUS.len(), flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let mut bytes = CORPUS[of].as_bytes().to_vec();
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] ^= byte;
        }
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn lines_dropped_and_moved(
        of in 0..CORPUS.len(),
        moves in prop::collection::vec((any::<usize>(), any::<usize>(), any::<bool>()), 1..6),
    ) {
        let mut lines: Vec<&str> = CORPUS[of].lines().collect();
        for (from, to, keep) in moves {
            let line = lines.remove(from % lines.len());
            if keep {
                let to = to % (lines.len() + 1);
                lines.insert(to, line);
            }
        }
        check(&lines.join("\n"));
    }

    #[test]
    fn words_swapped(
        of in 0..CORPUS.len(),
        swaps in prop::collection::vec((any::<usize>(), any::<usize>()), 1..5),
    ) {
        let mut words: Vec<&str> = CORPUS[of].split_inclusive([' ', '\n', '.', '(', ')', '"', '\'']).collect();
        for (a, b) in swaps {
            let (a, b) = (a % words.len(), b % words.len());
            words.swap(a, b);
        }
        check(&words.concat());
    }

    #[test]
    fn expressions_of_anything(expression in "[a-z0-9_.|~*+\\-()\\[\\]{}'\", ]{0,40}") {
        let text = format!("name = 'x'\n[machines.a]\nprovider = 'lab'\nenv = {{ A = '''{{{{ {expression} }}}}''' }}\n");
        check(&text);
    }

    #[test]
    fn templates_of_anything(edits in prop::collection::vec((any::<usize>(), 0_usize..12, 0..TOKENS.len()), 1..8)) {
        let mut memory = Memory::new(FULL);
        let path = Path::new(FILE).with_file_name(TEMPLATE);
        let mut text = memory.files[&path].clone();
        for (at, len, token) in edits {
            text = splice(&text, at, len, TOKENS[token]);
        }
        memory.put(TEMPLATE, &text);
        check_with(&memory);
    }

    #[test]
    fn templates_of_signs(text in "[a-z{}%# .|()\\[\\]'\"\\-+\n]{0,60}") {
        let mut memory = Memory::new(FULL);
        memory.put(TEMPLATE, &text);
        check_with(&memory);
    }
}
