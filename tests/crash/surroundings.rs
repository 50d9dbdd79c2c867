//! What a keeper stands on goes: its control group, its disk, its folder, its store.

use std::fs;
use std::time::Duration;

use crate::clock;
use crate::daemon;
use crate::files::{single, with_task};
use crate::installation::Installation;
use crate::keepers::WITHIN;

/// A control group of its own, which kills all that is in it.
struct Group(std::path::PathBuf);

impl Group {
    fn new() -> Self {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mounted = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (place, kind) = (words.next()?, words.next()?);
            (kind == "cgroup2").then(|| place.to_owned())
        });
        let root =
            mounted.expect("control groups of version 2 are mounted: mount -t cgroup2 none /sys/fs/cgroup/unified");
        let group = std::path::Path::new(&root).join(format!("encamp-crash-{}", std::process::id()));
        fs::create_dir(&group).expect("a control group can be made: run the tests as root");
        Self(group)
    }

    fn kill(&self) {
        fs::write(self.0.join("cgroup.kill"), "1").expect("a control group can be killed");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let gone = || fs::remove_dir(&self.0).ok();
        clock::until(WITHIN, gone);
    }
}

#[test]
fn crash_whole_control_group_is_killed() {
    let installation = Installation::new();
    let group = Group::new();
    let file = installation.write("one.toml", &single("one"));
    let up = installation
        .call(&["up", &file])
        .kept()
        .in_control_group(&group.0)
        .well();
    let promise = "the next encamp command if its whole control group is killed";
    assert!(up.said().contains(promise), "{up}");
    let slow = installation.write("slow.toml", &with_task("slow", "1m", "sleep 50"));
    let run = installation
        .call(&["run", &slow])
        .kept()
        .in_control_group(&group.0)
        .begin();
    clock::until(WITHIN, || run.said().contains("running").then_some(())).expect("the task runs");
    assert_eq!(installation.keepers().len(), 2);
    group.kill();
    let dead = clock::until(WITHIN, || installation.keepers().is_empty().then_some(()));
    assert!(dead.is_some(), "a keeper has left its control group");
    drop(run);
    assert!(!installation.standing().is_empty());
    // The next command ends the dead run, and keeps what is still wanted.
    installation.call(&["up", &file]).kept().well();
    let machines: Vec<String> = installation
        .standing()
        .iter()
        .map(|thing| thing.label("encamp.environment").to_owned())
        .collect();
    let one = installation.environments()[0]["id"]
        .as_str()
        .expect("it has an id")
        .to_owned();
    assert!(machines.iter().all(|of| *of == one), "{machines:?}");
    assert_eq!(installation.keepers().len(), 1);
    installation.down("one");
    installation.empties(WITHIN);
    installation.is_empty();
}

/// A state folder on a disk of its own that somebody else fills.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn at(folder: std::path::PathBuf) -> Self {
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"])
            .arg(&folder)
            .status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "a small disk needs root and the program `mount`: run the tests as root"
        );
        Self(folder)
    }

    fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.0.join("filler")).expect("a file can be made");
        while file.write_all(&[0; 4096]).is_ok() {}
        while file.write_all(&[0; 1]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        // As long as it was mounted, the installation could not take its folder with it.
        let _ = self.0.parent().map(fs::remove_dir_all);
    }
}

#[test]
fn crash_keeper_survives_a_full_disk() {
    let installation = Installation::empty();
    let disk = SmallDisk::at(installation.path().join("state"));
    // What a failure leaves is removed before the disk goes, which says whose it is.
    let installation = installation;
    let file = installation.write("slow.toml", &with_task("slow", "1m", "sleep 50"));
    let mut run = installation.call(&["run", &file]).kept().begin();
    clock::until(WITHIN, || run.said().contains("running").then_some(())).expect("the task runs");
    disk.fill();
    run.kill();
    installation.empties(WITHIN);
    let said = installation.kept();
    assert!(said.contains("disk") && said.contains("full"), "{said}");
}

#[test]
fn crash_keeper_outlives_its_folder() {
    let installation = Installation::new();
    let file = installation.write("short.toml", &single("short").replace("30m", "6s"));
    installation
        .call(&["up", &file])
        .kept()
        .env("ENCAMP__TIMEOUTS__GRACE", "2s")
        .well();
    let (prefix, keepers) = (installation.prefix(), installation.keepers());
    let stands = || daemon::everything().iter().any(|thing| thing.name.starts_with(&prefix));
    assert!(stands() && keepers.len() == 1);
    let kept = fs::canonicalize(installation.path().join("state")).expect("it is there");
    fs::remove_dir_all(&kept).expect("a folder can be removed");
    let gone = clock::until(WITHIN + Duration::from_secs(8), || (!stands()).then_some(()));
    assert!(gone.is_some(), "nobody else knows of it");
    let ended = clock::until(WITHIN, || {
        (!std::path::Path::new(&format!("/proc/{}", keepers[0])).exists()).then_some(())
    });
    assert!(ended.is_some(), "its keeper is left");
}

#[test]
fn crash_store_alone_is_lost_under_a_living_keeper() {
    let installation = Installation::new();
    let file = installation.write("one.toml", &single("one"));
    installation.call(&["up", &file]).kept().well();
    let first = installation.keepers();
    // What lies beside it is open in the keeper, and stays.
    fs::remove_file(installation.path().join("state/store.db")).expect("it is there");
    let swept = installation.call(&["gc"]).kept().well();
    assert!(swept.said().contains("encamp recover"), "{swept}");
    let second = installation.keepers();
    assert!(
        second.len() == 1 && second != first,
        "{first:?} still sits there: {swept}"
    );
    let [one] = &installation.environments()[..] else {
        panic!("{swept}")
    };
    installation.down(one["name"].as_str().expect("it has a name"));
    installation.empties(WITHIN);
    installation.is_empty();
}
