//! On a terminal: live lines, questions, and commands that have one.

use crate::bed::{Bed, pair};

#[test]
fn live_lines_end_as_one_for_each_machine() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("echo hello from the task"));
    let ran = bed.on_terminal("run", "", "");
    // What is drawn last stands below the last time that the cursor moved up.
    for line in [
        "web      docker   \u{1b}[33mcreating",
        "hello from the task",
        "down",
        "nothing left",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {ran}");
    }
    assert!(ran.stdout.contains("A\r\u{1b}[J"), "nothing was redrawn: {ran}");
    bed.nothing_is_left();
}

#[test]
fn a_command_gets_a_terminal_of_the_right_size() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    let ran = bed
        .on_terminal(
            "exec client -- sh -c 'test -t 0 && until stty size | grep 100; do sleep 0.1; done; exit 5'",
            "",
            "",
        )
        .exits(5);
    assert!(ran.stdout.contains("24 100"), "{ran}");
    let ran = bed
        .on_terminal(
            "exec client -- sh -c 'echo asked; read line; echo got $line'",
            "asked",
            "typed\n",
        )
        .exits(0);
    assert!(ran.stdout.contains("got typed"), "{ran}");
    let ran = bed
        .on_terminal("exec -T client -- sh -c 'test -t 1 || echo no terminal'", "", "")
        .exits(0);
    assert!(ran.stdout.contains("no terminal"), "{ran}");
}

#[test]
fn a_question_is_asked_where_somebody_can_answer() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    let before = bed.on_daemon();
    bed.write("encamp.toml", &pair("true").replace("sleep 600", "sleep 601"));
    let ran = bed.on_terminal("up", "[y/N]", "n\n").exits(2);
    assert!(ran.stdout.contains("Replace 1 machine? [y/N]"), "{ran}");
    assert!(ran.stdout.contains("not confirmed · pair is as it was"), "{ran}");
    assert_eq!(bed.on_daemon(), before);
    let ran = bed.on_terminal("up", "[y/N]", "\u{3}").exits(130);
    assert!(ran.stdout.contains("interrupted · pair is as it was"), "{ran}");
    assert_eq!(bed.on_daemon(), before);
    bed.on_terminal("up", "[y/N]", "y\n").exits(0);
    assert_ne!(bed.on_daemon(), before);
}
