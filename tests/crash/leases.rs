//! Machines that end by themselves, and an `extend` that dies before it has told them.

use std::time::Duration;

use crate::clock;
use crate::installation::Installation;

/// One machine on this host, which ends it when the lease does.
const HERE: &str = r#"
name = "here"
ttl = "10s"

[machines.m]
provider = "local"
local.command = ["sleep", "1800"]
"#;

/// Long enough for the first lease to end, and its grace.
const PAST: Duration = Duration::from_secs(12);

fn runs(installation: &Installation) -> bool {
    let ended = installation
        .call(&["exec", "m", "-e", "here", "-T", "--", "true"])
        .end();
    ended.code() == Some(0)
}

fn pass(span: Duration) {
    let _ = clock::until(span, || None::<()>);
}

/// The store says so, the machine does not know it yet: whoever is there tells it.
#[test]
fn crash_killed_extend_is_made_good() {
    for kept in [true, false] {
        let installation = Installation::new();
        let file = installation.write("here.toml", HERE);
        let call = |arguments: &[&str]| {
            let call = installation.call(arguments).env("ENCAMP__TIMEOUTS__GRACE", "1s");
            if kept { call.kept() } else { call }
        };
        call(&["up", &file]).well();
        let ended = call(&["extend", "10m", "-e", "here"])
            .killed_at("commit.extend.environment.after")
            .end();
        assert!(ended.was_killed(), "{ended}");
        if !kept {
            // There is no keeper, so it is typed again; a shorter one does.
            call(&["extend", "1m", "-e", "here"]).well();
        }
        pass(PAST);
        assert!(runs(&installation), "kept: {kept}: {}", installation.kept());
        call(&["down", "-e", "here"]).well();
        assert!(installation.environments().is_empty());
        installation.empties(Duration::from_secs(10));
    }
}

#[test]
fn crash_machine_that_was_not_told_ends_by_itself() {
    let installation = Installation::new();
    let file = installation.write("here.toml", HERE);
    installation.call(&["up", &file]).well();
    let ended = installation
        .call(&["extend", "10m", "-e", "here"])
        .killed_at("commit.extend.environment.after")
        .end();
    assert!(ended.was_killed(), "{ended}");
    let ended = clock::until(PAST * 3, || (!runs(&installation)).then_some(()));
    assert!(ended.is_some(), "nobody has told it");
    installation.down("here");
    assert!(installation.environments().is_empty());
}
