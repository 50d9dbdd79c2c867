//! The example of a provider in shell, where this host is not as it expects.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use encamp_core::{ErrorKind, Exec, Exit, Phase, Removal};
use tokio::io::AsyncReadExt;

use crate::bed::{Bed, cx};

const MACHINE: &str = "ec-abcdef-0123456789-web-g1-x";

async fn yard() -> Bed {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/providers/yard/yard.provider.toml");
    Bed::of(tempfile::tempdir().expect("a bed can be made"), &manifest).await
}

fn root(bed: &Bed) -> PathBuf {
    bed.path(&format!("encamp-yard-{}", rustix::process::getuid().as_raw()))
}

#[tokio::test]
async fn a_number_that_passed_on_is_not_killed() {
    let bed = yard().await;
    // Another process, with the machine's number; and one that only has ended.
    for (began, ended) in [(false, false), (true, true)] {
        bed.create(&cx()).await.unwrap();
        let machine = root(&bed).join(MACHINE);
        assert_eq!(bed.list().await.unwrap().found[0].phase, Phase::Running);
        let ours = fs::read_to_string(machine.join("pid")).unwrap();
        let mut other = Command::new("sleep").arg("1799").process_group(0).spawn().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", other.id())).unwrap();
        let began = if began { stat.split(' ').nth(21).unwrap() } else { "7" };
        fs::write(machine.join("pid"), format!("{} {began}\n", other.id())).unwrap();
        if ended {
            fs::write(machine.join("exit"), "3\n").unwrap();
        }
        let code = if ended { 3 } else { 137 };
        let listing = bed.list().await.unwrap();
        assert_eq!(listing.found[0].phase, Phase::Exited(Exit::Code(code)));
        assert_eq!(bed.destroy(&cx()).await.unwrap(), Removal::Gone);
        assert!(other.try_wait().unwrap().is_none(), "somebody else's process is gone");
        other.kill().unwrap();
        other.wait().unwrap();
        let group = ours.split(' ').next().unwrap().parse().ok();
        let group = group.and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_others_may_have_made_is_refused() {
    let bed = yard().await;
    bed.create(&cx()).await.unwrap();
    let mode = fs::metadata(root(&bed)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    bed.destroy(&cx()).await.unwrap();
    fs::remove_dir(root(&bed)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root(&bed)).unwrap();
    assert_eq!(bed.create(&cx()).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(bed.list().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_command_sees_its_variables() {
    let bed = yard().await;
    bed.create(&cx()).await.unwrap();
    let mut exec = Exec::new(bed.target(), ["sh", "-c", "echo \"$A\"; pwd"]);
    exec.env.insert("A".to_owned(), "it's $HOME".to_owned());
    let mut process = bed.provider.exec(&cx(), exec).await.unwrap();
    let mut out = String::new();
    process.stdout.read_to_string(&mut out).await.unwrap();
    let home = root(&bed).join(MACHINE).join("home");
    assert_eq!(out, format!("it's $HOME\n{}\n", home.display()));
    bed.destroy(&cx()).await.unwrap();
}
