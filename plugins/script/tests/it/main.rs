//! Scripts as they are written: badly, slowly, and all at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{
    Ambient, ControllerId, ControllerPrefix, Cx, ErrorKind, Exec, InstanceName, Key, Labels, List, Provider, Removal,
    Retry, Stamp, Target, Ticket, Token, Verb,
};
use tempfile::TempDir;

struct Bed {
    folder: TempDir,
    provider: Arc<dyn Provider>,
}

impl Bed {
    /// A script with these arms of its `case`.
    async fn new(arms: &str) -> Self {
        Self::with("", arms).await
    }

    async fn with(manifest: &str, arms: &str) -> Self {
        let folder = tempfile::tempdir().expect("a bed can be made");
        let verbs = ["create", "destroy", "list", "exec"];
        let run: String = verbs
            .map(|verb| format!("{verb} = [\"./lab.sh\", \"{verb}\"]\n"))
            .concat();
        let file = folder.path().join("lab.provider.toml");
        fs::write(&file, format!("pass = [\"GIVEN\"]\n{manifest}\n[run]\n{run}")).expect("a bed can be made");
        let script = folder.path().join("lab.sh");
        fs::write(&script, format!("#!/bin/sh\ncase $1 in\n{arms}\nesac\n")).expect("a bed can be made");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a bed can be made");
        let kind = encamp_plugin_script::kind(&file).expect("a bed can be made");
        let variables = [("PATH", "/usr/bin:/bin"), ("GIVEN", "yes"), ("HIDDEN", "no")];
        let ambient = Ambient::new(variables.map(|(name, value)| (name.to_owned(), value.to_owned())), None);
        let settings = serde_json::json!({ "site": "one" });
        let provider = kind
            .connect(
                &cx(),
                InstanceName::new("lab").expect("a bed can be made"),
                settings,
                ambient,
            )
            .await
            .expect("a bed can be made");
        Self { folder, provider }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn target(&self) -> Target {
        let labels = Labels::from([("encamp.controller".to_owned(), "abcdef".to_owned())]);
        let stamp = Stamp::new(Key::new("ec-abcdef-0123456789-web-g1-x"), Token::new("t"), labels);
        Target::new(stamp, self.provider.site().clone(), None)
    }

    async fn destroy(&self, cx: &Cx) -> encamp_core::Result<Removal> {
        let target = self.target();
        let ticket = Ticket::of_committed_intent(target.stamp.key.clone(), Verb::Destroy, 1);
        self.provider.destroy(cx, &ticket, target).await
    }

    async fn list(&self) -> encamp_core::Result<encamp_core::Listing> {
        let controller = ControllerId::new("abcdef").expect("a bed can be made");
        self.provider
            .list(&cx(), List::new(ControllerPrefix::new(&controller)))
            .await
    }
}

fn cx() -> Cx {
    Cx::within(Duration::from_secs(10))
}

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
    let child = bed.read("child");
    let gone = || !fs::read_to_string(format!("/proc/{}/stat", child.trim())).is_ok_and(|stat| !stat.contains(") Z "));
    for _ in 0..100 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{child} is still there");
}

#[tokio::test]
async fn changes_of_one_machine_are_made_one_after_the_other() {
    let bed = Bed::new("destroy) mkdir lock || exit 9; sleep 0.2; rmdir lock;;").await;
    let (one, other) = (cx(), cx());
    let (one, other) = tokio::join!(bed.destroy(&one), bed.destroy(&other));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn a_command_of_a_machine_is_the_scripts_own_process() {
    use tokio::io::AsyncReadExt;
    let list = r#"list) echo '{"key":"ec-abcdef-0123456789-web-g1-x"}'; echo '{"complete":true}';;"#;
    let bed = Bed::new(&format!("{list}\nexec) shift; exec \"$@\";;")).await;
    let mut exec = Exec::new(bed.target(), ["sh", "-c", "echo $A; echo $0 >&2; exit 7"]);
    exec.env.insert("A".to_owned(), "a b".to_owned());
    let mut process = bed.provider.exec(&cx(), exec).await.unwrap();
    let mut out = String::new();
    process.stdout.read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "a b\n");
    assert_eq!(process.control.wait().await.unwrap(), encamp_core::Exit::Code(7));
}
