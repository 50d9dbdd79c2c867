//! A command that is killed between the record of a machine and its start: nothing of the user's has run.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use crate::bed::{Bed, pause};

const FILE: &str = r#"
name = "gated"
ttl = "10m"

[machines.web]
provider = "local"
local.command = "echo ran >> $TRACE/ran; exec sleep 600"
env = { TRACE = "PLACE" }
ready = [{ run = "true" }]
"#;

/// The shims of a bed, by what they were asked for.
fn shims(bed: &Bed) -> usize {
    let folder = bed.path().join("state/sandboxes").to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").expect("this host can be asked").flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("environ")).ok())
        .filter(|environment| {
            let text = String::from_utf8_lossy(environment);
            text.split('\0')
                .any(|one| one.starts_with("ENCAMP_HELPER=shim ") && one.contains(&folder))
        })
        .count()
}

#[test]
fn what_was_recorded_and_not_started_has_not_run() {
    // Machines see this folder as it is, so that what runs leaves its trace where it is not taken away.
    let place = tempfile::tempdir().expect("this host can be asked");
    for point in [
        "send.create.web.before",
        "send.create.web.after",
        "commit.seen.web.before",
        "commit.seen.web.after",
        "send.start.web.before",
    ] {
        let bed = Bed::with_local();
        bed.write("encamp.toml", &FILE.replace("PLACE", &place.path().to_string_lossy()));
        let settled = |arguments: &[&str]| {
            let mut command = bed.command(arguments);
            // So that a machine's writes are seen at all.
            command.env("ENCAMP__PROVIDERS__LOCAL__FILES", "plain");
            command
        };
        let status = settled(&["up"])
            .env("ENCAMP__FAILPOINT", point)
            .output()
            .expect("this host can be asked")
            .status;
        assert_eq!(status.signal(), Some(9), "{point}");
        for _ in 0..300 {
            if shims(&bed) == 0 {
                break;
            }
            pause();
        }
        assert_eq!(shims(&bed), 0, "{point}: a shim outlives who held its gate");
        assert_eq!(trace(place.path()), "", "{point}: it has run");
        bed.run(&mut settled(&["up"])).exits(0);
        for _ in 0..300 {
            if trace(place.path()) == "ran\n" {
                break;
            }
            pause();
        }
        assert_eq!(
            trace(place.path()),
            "ran\n",
            "{point}: it runs once, and when it is meant to"
        );
        // That none is left says something only where one is seen.
        assert!(shims(&bed) > 0, "{point}: none is seen");
        bed.run(&mut settled(&["down"])).exits(0);
        assert_eq!(shims(&bed), 0, "{point}");
        std::fs::remove_file(place.path().join("ran")).expect("this host can be asked");
    }
}

fn trace(place: &Path) -> String {
    std::fs::read_to_string(place.join("ran")).unwrap_or_default()
}
