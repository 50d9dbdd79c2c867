//! What is answered from the store alone.

use insta::assert_snapshot;

use crate::bed::Bed;

#[test]
fn an_empty_store_lists_nothing() {
    let bed = Bed::new();
    assert_snapshot!(bed.encamp(&["ls"]), @r"
    exit 0
    -- stdout
    no environments
    -- stderr
    ");
    assert_eq!(bed.encamp(&["ls", "--json"]).stdout, "{\"v\":1,\"environments\":[]}\n");
}

#[test]
fn what_is_not_there_is_said() {
    let bed = Bed::new();
    assert_snapshot!(bed.encamp(&["show"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0302]: no environment came from encamp.toml in this folder
      why:   there is no environment at all
      help:  encamp up
    ");
    assert_snapshot!(bed.encamp(&["exec", "web", "-e", "shop", "--", "true"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0302]: no environment is called `shop`
      help:  encamp ls
    ");
    assert_snapshot!(bed.encamp(&["down", "-e", "shop", "--json"]), @r#"
    exit 2
    -- stdout
    {"v":1,"errors":[{"code":"E0302","kind":"not_found","message":"no environment is called `shop`","next_step":"encamp ls","retry":"never"}],"exit":2}
    -- stderr
    "#);
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
