//! Nothing of the user's runs before it is written down that it may.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use encamp_core::helper::Helper;
use encamp_core::{Cx, ErrorKind, Phase, Retry};
use libtest_mimic::Trial;
use serde_json::json;

use crate::bed::{Bed, connect, connect_by, cx, is_there, processes_of, trial, until};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("gate::who_made_it_is_gone_and_nothing_ran", gone),
        trial("gate::another_process_starts_what_was_held", taken_over),
        trial("gate::what_stands_for_it_is_written_down_before", written),
        trial("gate::files_land_before_the_command_begins", files),
        trial("gate::another_folder_is_another_site", sites),
        trial("gate::what_this_host_does_not_have_is_told", refused),
        trial("gate::what_was_refused_once_is_tried_again", tried_again),
        trial("gate::what_cannot_be_kept_is_found_out_again", unkept),
        trial(
            "gate::what_another_version_wrote_is_told_and_left_alone",
            another_format,
        ),
        trial("gate::what_others_cannot_read_hides_nothing_of_ours", others),
        trial("gate::a_folder_that_others_can_write_is_refused", open_folder),
    ]
}

/// A command that leaves a trace.
fn traced() -> serde_json::Value {
    json!({ "command": "echo ran >> /srv/trace; while :; do sleep 1; done" })
}

fn trace(bed: &Bed) -> String {
    std::fs::read_to_string(bed.folder("web").join("upper/srv/trace")).unwrap_or_default()
}

async fn gone() {
    let mut bed = Bed::new().await;
    bed.create(bed.request("web", traced()).await).await.unwrap();
    assert_eq!(bed.phase("web").await, Phase::Held);
    let [shim, first] = processes_of(&bed.folder("web"));
    assert!(is_there(shim) && is_there(first));
    // The only provider that holds the gate.
    bed.provider = bed.again().await;
    until("the end of the shim", || !is_there(shim) && !is_there(first)).await;
    assert_eq!(bed.phase("web").await, Phase::Held);
    assert_eq!(trace(&bed), "");
    bed.start("web").await.unwrap();
    until("the command", || trace(&bed) == "ran\n").await;
    bed.destroy("web").await;
}

async fn taken_over() {
    let mut bed = Bed::new().await;
    bed.create(bed.request("web", traced()).await).await.unwrap();
    let shims = processes_of(&bed.folder("web"));
    let again = bed.again().await;
    let first = std::mem::replace(&mut bed.provider, again);
    bed.start("web").await.unwrap();
    assert_eq!(processes_of(&bed.folder("web")), shims, "a second shim was started");
    // It runs, so it no longer matters who made it.
    drop(first);
    until("the command", || trace(&bed) == "ran\n").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bed.phase("web").await, Phase::Running);
    assert_eq!(trace(&bed), "ran\n");
    bed.destroy("web").await;
}

async fn written() {
    let bed = Bed::new().await;
    bed.create(bed.request("web", traced()).await).await.unwrap();
    assert_eq!(bed.listed().await, [Bed::stamp("web").key.to_string()]);
    let run = std::fs::read_to_string(bed.folder("web").join("run.json")).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(run.contains(boot.trim()), "{run}");
    assert!(!bed.folder("web").join("life.json").exists());
    bed.start("web").await.unwrap();
    let life = std::fs::read_to_string(bed.folder("web").join("life.json")).unwrap();
    assert_eq!(life, "\"running\"");
    bed.destroy("web").await;
    assert!(bed.listed().await.is_empty());
}

async fn files() {
    let bed = Bed::new().await;
    let command = json!({ "command": "cat /etc/app/conf; while :; do sleep 1; done" });
    bed.create(bed.request("web", command).await).await.unwrap();
    bed.copy_in("web", "/etc/app", "conf", b"brought\n").await.unwrap();
    assert_eq!(bed.phase("web").await, Phase::Held);
    bed.start("web").await.unwrap();
    until_said(&bed, "brought\n").await;
    // Also into one that has stopped, which does not begin to run by that.
    bed.stop("web", Duration::ZERO).await;
    bed.copy_in("web", "/etc/app", "conf", b"again\n").await.unwrap();
    assert_eq!(bed.phase("web").await, Phase::Stopped);
    bed.start("web").await.unwrap();
    until_said(&bed, "brought\nagain\n").await;
    bed.destroy("web").await;
}

async fn until_said(bed: &Bed, text: &str) {
    for _ in 0..200 {
        if bed.said("web").await == text {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it said {:?}", bed.said("web").await);
}

async fn sites() {
    let (one, other) = (Bed::new().await, Bed::new().await);
    assert_ne!(one.provider.site(), other.provider.site());
    assert_eq!(one.provider.site(), one.again().await.site());
    let target = encamp_core::Target::new(Bed::stamp("web"), other.provider.site().clone(), None);
    let error = one.provider.inspect(&cx(), target).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

async fn refused() {
    let name = encamp_core::InstanceName::new("local").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "root": folder.path() });
    let without = encamp_core::Ambient::none();
    let kind = encamp_provider_local::kind();
    let error = kind.connect(&cx(), name, settings, without).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint().unwrap().contains("helper"));
    if !crate::bed::is_root() {
        let settings = json!({ "root": folder.path(), "cage": "cgroup" });
        let error = connect(settings).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.hint().unwrap().contains("`cage`"), "{error:?}");
    }
}

async fn tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "root": folder.path() });
    // It answers in a minute.
    let silent = Helper::new("sleep").arguments(["60"]);
    let within = Cx::within(Duration::from_millis(300));
    let waiting = connect_by(&within, settings.clone(), silent);
    let connected = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    let error = connected.expect("it waits longer than it may").unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
    let refusing = connect_by(&cx(), settings.clone(), Helper::new("false")).await.unwrap();
    assert!(!refusing.capabilities().mounts);
    let provider = connect(settings).await.unwrap();
    assert!(provider.capabilities().mounts);
    let kept = std::fs::read_to_string(folder.path().join(".abilities.json")).unwrap();
    provider.check(&cx(), encamp_core::Check::new()).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(folder.path().join(".abilities.json")).unwrap(),
        kept
    );
}

async fn unkept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".abilities.json");
    std::fs::create_dir_all(file.join("in_the_way")).unwrap();
    let provider = connect(json!({ "root": folder.path() })).await.unwrap();
    assert!(provider.capabilities().mounts);
    assert!(file.is_dir());
}

async fn another_format() {
    let bed = Bed::new().await;
    bed.create(bed.request("web", json!({})).await).await.unwrap();
    let file = bed.folder("web").join("machine.json");
    let before = std::fs::read_to_string(&file).unwrap();
    let later = before.replace("\"format\":1,", "\"format\":2,");
    assert_ne!(before, later);
    std::fs::write(&file, later).unwrap();
    let error = bed.provider.inspect(&cx(), bed.target("web")).await.unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("in format 2"), "{error:?}");
    assert!(
        !bed.covers().await,
        "a machine that cannot be read was left out without a word"
    );
    std::fs::write(&file, before).unwrap();
    bed.destroy("web").await;
}

async fn others() {
    let bed = Bed::new().await;
    for (name, covers) in [("ec-zzzzzz-another", true), ("ec-abcdef-ours", false)] {
        let folder = bed.root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("machine.json"), "of another version").unwrap();
        assert_eq!(bed.covers().await, covers, "{name}");
    }
}

async fn open_folder() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "root": folder.path() });
    let allow = |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    for (mode, taken) in [(0o777, false), (0o770, false), (0o755, true)] {
        allow(mode);
        let connected = connect(settings.clone()).await;
        assert_eq!(connected.is_ok(), taken, "{mode:o}");
        if let Err(error) = connected {
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }
}
