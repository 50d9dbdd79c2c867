//! The program of this folder does with its own kind what `encamp` does with its kinds.

use std::path::Path;
use std::process::Command;

fn encamp(state: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_custom-driver"))
        .arg("--state")
        .arg(state)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("it was built with this test");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_file_may_speak_of_the_new_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    encamp(&state, &["up"]);
    let there = || std::fs::read_dir(state.join("desks")).expect("a folder").count();
    assert_eq!(there(), 2);
    assert!(encamp(&state, &["show"]).contains("grace"));
    encamp(&state, &["down", "--yes"]);
    assert_eq!(there(), 0);
}
