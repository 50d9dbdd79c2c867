//! What runs have left on a host that nobody asks for any more.

use std::path::PathBuf;
use std::time::Duration;

use encamp_remote::Client;
use tokio::time::sleep;

use crate::bed::{Bed, cases, remote, run, shell};

cases!(what_others_left_is_swept,);

fn make_old(paths: &[impl AsRef<std::ffi::OsStr>]) {
    let touched = std::process::Command::new("touch")
        .args(["-h", "-d", "2 hours ago"])
        .args(paths)
        .status();
    assert!(touched.unwrap().success());
}

/// Whether a process ends soon; it does not live on in any case.
async fn ends(child: &mut std::process::Child) -> bool {
    for _ in 0..400 {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

async fn what_others_left_is_swept(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let run_folder = bed.path("run");
    let mut living = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", living.id())).unwrap();
    let began = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap();
    let make = |name: &str, boot: &str, ended: bool, old: bool| {
        let folder = run_folder.join(format!("encamp-run-{name}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("boot"), format!("{boot}\n")).unwrap();
        if name.contains("living") {
            std::fs::write(folder.join("pid"), format!("{0} {began} {0}\n", living.id())).unwrap();
        }
        let mut touched = vec![folder.clone()];
        if ended {
            std::fs::write(folder.join("exit"), "0\n").unwrap();
            touched.push(folder.join("exit"));
        }
        if old {
            make_old(&touched);
        }
    };
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot = boot.trim();
    make("ended-old", boot, true, true);
    make("ended-new", boot, true, false);
    make("unfinished-old", boot, false, true);
    make("living-old", boot, false, true);
    make("living-other-boot-old", "x", false, true);
    make("other-boot-old", "x", false, true);
    make("other-boot-new", "x", false, false);
    std::os::unix::fs::symlink("/etc", run_folder.join("encamp-run-link")).unwrap();
    make_old(&[run_folder.join("encamp-run-link")]);
    // What waits there for ever is let go.
    let waits = run_folder.join("encamp-run-unfinished-old/i.hold");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&waits)
            .status()
            .unwrap()
            .success()
    );
    make_old(&[waits.parent().unwrap()]);
    let mut waiting = std::process::Command::new("cat").arg(&waits).spawn().unwrap();
    run(&remote, &bed.access(), shell("sleep 0.5")).await.unwrap();
    assert!(ends(&mut waiting).await, "it waits on");
    living.kill().unwrap();
    living.wait().unwrap();
    let left = || {
        let folders = bed.left_behind();
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().replace("encamp-run-", "");
        let mut names: Vec<_> = folders.iter().map(name).collect();
        names.sort();
        names
    };
    // Its own goes a moment after its end.
    for _ in 0..100 {
        if left().len() <= 4 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left(), ["ended-new", "link", "living-old", "other-boot-new"]);
    assert!(std::path::Path::new("/etc/passwd").exists());
}
