//! Trees that are watched, on machines of this host.

use rustix::process::Signal;

use crate::bed::{Bed, pause, signal};

const FILE: &str = r#"
name = "watched"
ttl = "10m"

[machines.web]
provider = "local"
setup = [{ sync = "tree", to = "/srv/tree", exclude = ["*.tmp"] }]

[machines.deaf]
provider = "local"
local.command = "trap '' TERM; echo deaf; while :; do sleep 0.2; done"
ready = [{ log = "^deaf$" }]
"#;

fn watched() -> Bed {
    let bed = Bed::with_local();
    bed.write("encamp.toml", FILE);
    bed.write("tree/a.txt", "one\n");
    bed.encamp(&["up"]).exits(0);
    bed
}

fn is_there(bed: &Bed, name: &str) -> bool {
    let path = format!("/srv/tree/{name}");
    bed.encamp(&["exec", "web", "--", "test", "-e", &path]).code == 0
}

/// Somebody else's command holds the environment for a while, and nothing more changes after it.
#[test]
fn a_watch_outlives_a_refusal_and_ends_with_its_environment() {
    let bed = watched();
    let watching = bed.start_telling(&["sync", "--watch"], "told");
    bed.until_told("told", "watching; Ctrl-C ends it");
    let stopping = bed.start(&["stop", "deaf", "--grace", "5m"]);
    bed.until("the stop", || {
        bed.encamp(&["show"]).stdout.contains("held by encamp stop")
    });
    bed.write("tree/b.txt", "two\n");
    bed.until_told("told", "error[");
    assert!(!is_there(&bed, "b.txt"));
    signal(&stopping, Signal::INT);
    bed.ran(stopping).exits(130);
    bed.until("what was refused", || is_there(&bed, "b.txt"));
    let told = bed.read("told");
    assert_eq!(told.matches("error[").count(), 1, "it is said once: {told}");
    bed.encamp(&["down"]).exits(0);
    let ended = bed.ran(watching).code;
    let told = bed.read("told");
    assert_eq!(ended, 2, "{told}");
    let last = told.split("error[E0302]: ").last().unwrap_or_default();
    assert!(last.starts_with("no environment is called `watched`\n"), "{told}");
    assert!(
        last.ends_with("\n  help:  encamp ls\n") && !last.contains("now:"),
        "{told}"
    );
}

#[test]
fn a_watch_looks_only_at_what_is_brought() {
    let bed = watched();
    let watching = bed.start_telling(&["sync", "--watch", "--json"], "told");
    let synced = || bed.read("told").matches("\"event\":\"synced\"").count();
    bed.until("the first look", || synced() == 1);
    bed.write("tree/.git/index", "anything");
    bed.write("tree/b.tmp", "anything");
    // A few looks long.
    for _ in 0..20 {
        pause();
    }
    assert_eq!(synced(), 1, "{}", bed.read("told"));
    bed.write("tree/c.txt", "three\n");
    bed.until("the change", || is_there(&bed, "c.txt"));
    signal(&watching, Signal::INT);
    bed.ran(watching).exits(0);
    bed.encamp(&["down"]).exits(0);
}
