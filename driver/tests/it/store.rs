//! What is answered from the store alone.

use insta::assert_snapshot;

use crate::bed::Bed;

#[test]
fn an_empty_store_lists_nothing() {
    let bed = Bed::new();
    assert_snapshot!(bed.encamp(&["ls"]), @"");
    assert_eq!(bed.encamp(&["ls", "--json"]).stdout, "{\"environments\":[],\"v\":1}\n");
}

#[test]
fn what_is_not_there_is_said() {
    let bed = Bed::new();
    assert_snapshot!(bed.encamp(&["show"]), @"");
    assert_snapshot!(bed.encamp(&["exec", "web", "-e", "shop", "--", "true"]), @"");
    assert_snapshot!(bed.encamp(&["down", "-e", "shop", "--json"]), @"");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let bed = Bed::new();
    let mut shell = std::process::Command::new("sh");
    shell
        .args([
            "-c",
            &format!("{} ls --state state | true", env!("CARGO_BIN_EXE_encamp")),
        ])
        .current_dir(bed.path());
    let ran = bed.run(&mut shell);
    assert_eq!(ran.stderr, "", "{ran}");
}
