//! What machines say, and names that somebody else chose, move no cursor and set no title.

use crate::bed::{Bed, Ran, pair};

/// A title, a clipboard, a cleared screen, a moved cursor, a bell, a C1 sequence; red stays.
const HOSTILE: &str =
    r"printf 'a\033]0;evil\007b\033]52;c;ZXZpbA==\033\\c\033[2J\033[1;1Hd\007\r\302\2332Ke\033[31mred\tend\n'";

#[track_caller]
fn is_tame(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        let wild = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert!(wild.is_none(), "{wild:?} in {ran:?}");
        // The command itself is shown as it stands in the file, harmless.
        let said = text.lines().filter(|line| !line.contains("printf"));
        assert!(!said.into_iter().any(|line| line.contains("evil")), "{ran}");
    }
}

#[test]
fn lines_of_machines_are_tame_everywhere() {
    let bed = Bed::with_docker();
    let text = pair(&format!("{HOSTILE}; {HOSTILE} >&2; exit 3"))
        .replace("echo serving", &HOSTILE.replace('\\', "\\\\"))
        .replace("junit = [\"report.xml\"]\n", "");
    bed.write("encamp.toml", &text);
    bed.encamp(&["validate"]).exits(0);
    let ran = bed.encamp(&["run"]).exits(1);
    is_tame(&ran);
    // In prefixed lines as they come, and in the summary.
    assert!(ran.stderr.contains("client | abcdered\tend\n"), "{ran}");
    assert!(ran.stdout.contains("  abcdered\tend\n"), "{ran}");
    let page = bed.read("encamp-out/timeline.html");
    assert!(!page.contains('\u{1b}'), "{page}");

    bed.encamp(&["up"]).exits(0);
    for arguments in [["logs", "web"].as_slice(), &["logs"], &["logs", "web", "--json"]] {
        let ran = bed.encamp(arguments).exits(0);
        let wild = ran.stdout.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert!(wild.is_none(), "{wild:?} in {ran:?}");
    }
    assert!(bed.encamp(&["logs", "web"]).stdout.contains("abcdered\tend"));
    // On a terminal colours stay, and end with their line.
    let mut command = bed.command(&["logs", "web"]);
    let ran = bed.run(command.env("CLICOLOR_FORCE", "1"));
    assert!(
        ran.stdout.contains("abcde\u{1b}[31mred\tend\u{1b}[0m\n"),
        "{:?}",
        ran.stdout
    );
    // A program gets every character, by its number.
    let ran = bed.encamp(&["logs", "web", "--json"]).exits(0);
    let line: serde_json::Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert!(line["line"].as_str().unwrap().contains("\u{1b}]0;evil\u{7}"), "{ran}");
}

#[test]
fn names_are_tame_as_well() {
    let bed = Bed::with_docker();
    let folder = "sh\u{1b}]0;evil\u{7}op\u{9b}2J";
    bed.write(&format!("{folder}/encamp.toml"), &pair("true"));
    let mut command = bed.command(&["up", folder]);
    command.env("USER", "an\u{1b}[2Jna");
    is_tame(&bed.run(&mut command).exits(0));
    for arguments in [
        ["ls"].as_slice(),
        &["show", "-e", "pair"],
        &["show", "-e", "pa\u{1b}]0;evil\u{7}ir"],
        &["exec", "we\u{1b}[2Jb", "-e", "pair", "--", "true"],
        &["plan", folder],
        &["validate", folder],
        &["up", folder],
        &["cp", "client:/no\u{1b}[2Jpe", ".", "-e", "pair"],
        &["explain", "E\u{1b}[2J"],
        &["down", "-e", "pair"],
    ] {
        is_tame(&bed.encamp(arguments));
    }
}
