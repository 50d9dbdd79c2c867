//! Whatever becomes of a good file, it is taken or refused with a place, and nothing panics.

use encamp_core::Name;
use encamp_file::Severity;
use encamp_file::text::{Facts, Viewer};
use proptest::prelude::*;

use crate::fake::{SHOP, load};

const TOKENS: [&str; 34] = [
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
];

fn check(text: &str) {
    match load(text) {
        Ok(loaded) => {
            for machine in &loaded.environment.machines {
                for text in machine.env.values() {
                    let _ = text.render(&Facts::default(), &Viewer::Member(machine.name.clone()));
                }
            }
            for text in loaded.environment.outputs.values() {
                let _ = text.render(&Facts::default(), &Viewer::Controller);
                let _ = text.render(&Facts::default(), &Viewer::Member(Name::new("nobody").expect("a name")));
            }
            loaded.render(true);
        }
        Err(failure) => {
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
                assert!(text.get(span).is_some(), "the span lies between characters");
            }
            assert!(!failure.render(false).is_empty());
            failure.render(true);
            failure.to_json();
        }
    }
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
    fn pieces_replaced(edits in prop::collection::vec((any::<usize>(), 0_usize..12, 0..TOKENS.len()), 1..6)) {
        let mut text = SHOP.to_owned();
        for (at, len, token) in edits {
            text = splice(&text, at, len, TOKENS[token]);
        }
        check(&text);
    }

    #[test]
    fn bytes_flipped(flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let mut bytes = SHOP.as_bytes().to_vec();
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] ^= byte;
        }
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn lines_dropped_and_moved(moves in prop::collection::vec((any::<usize>(), any::<usize>(), any::<bool>()), 1..6)) {
        let mut lines: Vec<&str> = SHOP.lines().collect();
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
    fn words_swapped(swaps in prop::collection::vec((any::<usize>(), any::<usize>()), 1..5)) {
        let mut words: Vec<&str> = SHOP.split_inclusive([' ', '\n', '.', '(', ')', '"', '\'']).collect();
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
}
