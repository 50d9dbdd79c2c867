//! Each example that is a program does what its page says, and leaves nothing. Those that are files are tried with the driver.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What an example says, with a state folder of its own as its last argument.
fn said(name: &str, arguments: &[&str]) -> String {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let folder = test.parent().and_then(Path::parent).expect("it lies in `deps`");
    let program = folder.join("examples").join(name);
    let build = "cargo build --workspace --all-features --examples";
    assert!(program.is_file(), "{} is not there: {build}", program.display());
    let state = tempfile::tempdir().expect("a folder");
    let output = Command::new(&program)
        .args(arguments)
        .arg(state.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}{failed}");
    for machines in ["sandboxes", "desks"] {
        let left = fs::read_dir(state.path().join(machines))
            .into_iter()
            .flatten()
            .flatten();
        let left: Vec<_> = left
            .map(|it| it.file_name())
            .filter(|it| it.to_string_lossy().starts_with("ec-"))
            .collect();
        assert!(left.is_empty(), "{name} has left {left:?}");
    }
    said
}

#[track_caller]
fn says(said: &str, all: &[&str]) {
    for wanted in all {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[cfg(all(feature = "local", target_os = "linux"))]
#[test]
fn embed() {
    let said = said("embed", &[]);
    says(
        &said,
        &[
            "is up; Keeper {",
            "the web server has 3 apples\n",
            "dialled at 127.0.0.1:",
            "2 machines are gone",
        ],
    );
}

#[cfg(all(feature = "local", target_os = "linux"))]
#[test]
fn from_file() {
    let said = said("from_file", &["examples/quickstart/encamp.toml"]);
    says(
        &said,
        &[
            "vault on local calls itself vault\n",
            "client on local calls itself client\n",
            "all are gone",
        ],
    );
}

#[cfg(all(feature = "local", target_os = "linux"))]
#[test]
fn events() {
    let said = said("events", &[]);
    says(
        &said,
        &[
            "worker-0 setup",
            "worker-2 ready",
            "ready after ",
            "worker-1 gone",
            "3 gone after ",
        ],
    );
}

#[test]
fn custom_provider() {
    let said = said("custom_provider", &[]);
    says(&said, &["ada: of ada\n", "grace-1: of grace\n", "the office is empty"]);
}
