//! What a script is told, and what is made of how its calls end.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{CopyOut, Cx, ErrorKind, Exec, Exit, Removal, Retry, Signal};
use tokio::io::AsyncReadExt;

use crate::bed::{APART, Bed, cx, soon};

#[tokio::test]
async fn a_command_sees_what_it_is_told_and_nothing_else() {
    let bed = Bed::new("destroy) env | sort >seen; cat >request; pwd >where;;").await;
    assert_eq!(bed.destroy(&cx()).await.unwrap(), Removal::Gone);
    let seen = bed.read("seen");
    for line in [
        "ENCAMP_KEY=ec-abcdef-0123456789-web-g1-x",
        "ENCAMP_VERB=destroy",
        "ENCAMP_SETTING_SITE=one",
        "GIVEN=yes",
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line}: {seen}");
    }
    // Neither what the caller has and does not pass, nor what this process has.
    assert!(!seen.contains("HIDDEN") && !seen.contains("CARGO"), "{seen}");
    let request: serde_json::Value = serde_json::from_str(&bed.read("request")).unwrap();
    assert_eq!(request["stamp"]["key"], "ec-abcdef-0123456789-web-g1-x");
    assert_eq!(
        bed.read("where").trim(),
        bed.folder.path().canonicalize().unwrap().to_str().unwrap()
    );
}

#[tokio::test]
async fn a_change_that_fails_without_a_word_has_an_unknown_outcome() {
    let bed = Bed::new("destroy) echo broken >&2; exit 3;;").await;
    let error = bed.destroy(&cx()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retryable()),
        (ErrorKind::Unavailable, Retry::Unknown)
    );
    assert!(
        error.context().any(|(key, value)| key == "said" && value == "broken"),
        "{error:?}"
    );
    let bed = Bed::new("destroy) echo encamp:error:capacity:no host is free >&2; exit 3;;").await;
    let error = bed.destroy(&cx()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Capacity, Retry::Safe));
}

#[tokio::test]
async fn a_change_whose_answer_cannot_be_read_has_an_unknown_outcome() {
    for said in [
        "echo ok",
        "echo '{\"id\":7}'",
        "printf '\\377\\n'",
        "head -c 70000000 /dev/zero",
    ] {
        let bed = Bed::new(&format!("create) {said};;\ndestroy) {said};;\nlist) {said};;")).await;
        let created = bed.create(&cx()).await.unwrap_err();
        let destroyed = bed.destroy(&cx()).await.unwrap_err();
        for error in [created, destroyed] {
            let (kind, retry) = (error.kind(), error.retryable());
            assert_eq!(
                (kind, retry),
                (ErrorKind::Unavailable, Retry::Unknown),
                "{said}: {error:?}"
            );
        }
        assert_eq!(bed.list().await.unwrap_err().retryable(), Retry::Safe, "{said}");
    }
}

#[tokio::test]
async fn a_listing_that_fails_silently_is_never_empty() {
    // `for n in $(failing)` swallows the failure; only the last line tells.
    for arms in [
        "list) for n in $(false); do echo; done;;",
        "list) echo '{\"complete\":true}'; exit 1;;",
        "list) echo 'libvirt: error'; echo '{\"complete\":true}';;",
        "list) kill -9 $$;;",
    ] {
        let bed = Bed::new(arms).await;
        let error = bed.list().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{arms}: {error:?}");
    }
    let bed = Bed::new("list) echo '{\"complete\":true}';;").await;
    assert!(bed.list().await.unwrap().covers(bed.provider.site()));
}

#[tokio::test]
async fn what_takes_too_long_is_killed_with_all_that_it_started() {
    let bed = Bed::new("destroy) sleep 1799 & echo $! >child; sleep 1799;;").await;
    let error = bed.destroy(&Cx::within(Duration::from_millis(500))).await.unwrap_err();
    assert_eq!(error.retryable(), Retry::Unknown, "{error:?}");
    // It may not have come to it.
    soon("the end", || !bed.lives("child")).await;
    // So does what is cancelled, which begins for certain.
    let cancelled = cx();
    let bed = Bed::new("destroy) sleep 1799 & echo $! >child; sleep 1799;;").await;
    let cancel = async {
        bed.begins("child").await;
        cancelled.cancel();
    };
    let (ended, ()) = tokio::join!(bed.destroy(&cancelled), cancel);
    let error = ended.unwrap_err();
    assert_eq!(error.retryable(), Retry::Unknown, "{error:?}");
    bed.ends("child").await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_does_not_hold_its_call() {
    let bed = Bed::new("destroy) sleep 1799 & echo $! >child; echo '{\"pending\":true}';;").await;
    assert_eq!(bed.destroy(&cx()).await.unwrap(), Removal::Pending);
    bed.ends("child").await;
    // What is to stay, and has not closed its streams.
    let arms = format!("destroy) setsid sleep 1799 & echo $! >child; {APART}; echo '{{\"pending\":true}}';;");
    let bed = Bed::new(&arms).await;
    assert_eq!(bed.destroy(&cx()).await.unwrap(), Removal::Pending);
    assert!(bed.lives("child"));
    bed.kill("child");
}

#[tokio::test]
async fn what_carries_other_labels_is_not_made_again() {
    let keeps = "[capabilities]\nkeeps = \"labels\"";
    let list = r#"list) echo '{"key":"ec-abcdef-0123456789-web-g1-x","labels":{"encamp.controller":"fedcba"}}'
        echo '{"complete":true}';;"#;
    let bed = Bed::with(keeps, &format!("create|destroy) echo done >>done;;\n{list}")).await;
    for error in [
        bed.create(&cx()).await.unwrap_err(),
        bed.destroy(&cx()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    }
    assert_eq!(bed.read("done"), "");
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_what_it_started() {
    let bed = Arc::new(Bed::new("destroy) sleep 1799 & echo $! >child; wait;;").await);
    let calling = tokio::spawn({
        let bed = Arc::clone(&bed);
        async move { bed.destroy(&cx()).await }
    });
    bed.begins("child").await;
    calling.abort();
    bed.ends("child").await;
}

#[tokio::test]
async fn a_command_that_has_ended_keeps_its_number_as_long_as_it_can_be_signalled() {
    let list = r#"list) echo '{"key":"ec-abcdef-0123456789-web-g1-x"}'; echo '{"complete":true}';;"#;
    let bed = Bed::new(&format!("{list}\nexec) echo $$ >child; exit 3;;")).await;
    let mut process = bed.provider.exec(&cx(), Exec::new(bed.target(), ["x"])).await.unwrap();
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(3));
    // Signals go to the group of this number, and nobody else can have it.
    let stat = || fs::read_to_string(format!("/proc/{}/stat", bed.read("child").trim()));
    assert!(stat().unwrap().contains(") Z "));
    process.control.signal(Signal::Term).await.unwrap();
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(3));
    drop(process);
    assert!(stat().is_err());
}

#[tokio::test]
async fn what_cannot_be_started_is_said_as_it_is() {
    let bed = Bed::new("create) :;;").await;
    fs::remove_file(bed.path("lab.sh")).expect("it is there");
    let error = bed.destroy(&cx()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Invalid, Retry::Never));
    assert!(error.hint().is_some_and(|hint| hint.contains("is it there")));
    let bed = Bed::new("copy_out) :;;").await;
    let long = CopyOut::new(bed.target(), "x".repeat(200_000));
    let error = bed.provider.copy_out(&cx(), long).await.err().expect("it is too long");
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Invalid, None));
    assert!(error.message().contains("too long"), "{error:?}");
}

#[test]
fn a_manifest_may_be_named_without_a_folder() {
    let folder = |manifest| encamp_plugin_script::folder(Path::new(manifest));
    assert_eq!(folder("lab.provider.toml"), Path::new("."));
    assert_eq!(folder("/labs/lab.provider.toml"), Path::new("/labs"));
}

/// The script of a process that is killed, as the test below starts this one again.

#[tokio::test]
async fn a_command_of_a_machine_is_the_scripts_own_process() {
    let list = r#"list) echo '{"key":"ec-abcdef-0123456789-web-g1-x"}'; echo '{"complete":true}';;"#;
    let exec = r#"exec) cp /proc/$$/cmdline line; shift; eval "$ENCAMP_ENV"; exec "$@";;"#;
    let bed = Bed::new(&format!("{list}\n{exec}")).await;
    let mut exec = Exec::new(bed.target(), ["sh", "-c", "echo $A; cp /proc/$$/cmdline inner; exit 7"]);
    exec.env.insert("A".to_owned(), "a b".to_owned());
    let mut process = bed.provider.exec(&cx(), exec).await.unwrap();
    let mut out = String::new();
    process.stdout.read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "a b\n");
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(7));
    // Everybody on this host may read arguments, and variables are secrets too.
    for line in ["line", "inner"] {
        let line = bed.read(line);
        assert!(line.contains("exit 7") && !line.contains("a b"), "{line}");
    }
}
