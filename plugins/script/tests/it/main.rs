//! Scripts as they are written: badly, slowly, and all at once.

mod nspawn;
mod yard;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{
    Ambient, ControllerId, ControllerPrefix, CopyIn, CopyOut, Create, Created, Cx, Dial, ErrorKind, Exec, Exit,
    InstanceName, Key, Labels, List, Logs, Name, Provider, Removal, Retry, Signal, Stamp, Target, Ticket, Token, Verb,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
        let verbs = [
            "create", "destroy", "list", "exec", "copy_in", "copy_out", "dial", "logs",
        ];
        let there = |verb: &&str| ["create", "destroy", "list"].contains(verb) || arms.contains(&format!("{verb})"));
        let run: Vec<String> = verbs
            .into_iter()
            .filter(there)
            .map(|verb| {
                format!(
                    "{verb} = [\"./lab.sh\", \"{verb}\"]
"
                )
            })
            .collect();
        let run = run.concat();
        let file = folder.path().join("lab.provider.toml");
        fs::write(&file, format!("pass = [\"GIVEN\"]\n{manifest}\n[run]\n{run}")).expect("a bed can be made");
        let script = folder.path().join("lab.sh");
        fs::write(&script, format!("#!/bin/sh\ncase $1 in\n{arms}\nesac\n")).expect("a bed can be made");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a bed can be made");
        Self::of(folder, &file).await
    }

    /// Another script, with its machines in this folder.
    async fn of(folder: TempDir, manifest: &Path) -> Self {
        let provider = connected(folder.path(), manifest).await;
        Self { folder, provider }
    }

    /// The bed of another process, which is that one's to remove.
    async fn again(path: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a bed can be made");
        let provider = connected(path, &path.join("lab.provider.toml")).await;
        Self { folder, provider }
    }

    /// What is kept of turns.
    fn turns(&self) -> Vec<PathBuf> {
        let user = rustix::process::geteuid().as_raw();
        let folder = fs::read_dir(self.path(&format!("encamp-scripts-{user}")));
        folder
            .expect("turns are kept")
            .flatten()
            .map(|entry| entry.path())
            .collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Whether the process lives whose number a command has written down.
    fn lives(&self, name: &str) -> bool {
        let number: u32 = self.read(name).trim().parse().unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{number}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn begins(&self, name: &str) {
        soon(name, || self.lives(name)).await;
    }

    async fn ends(&self, name: &str) {
        soon(name, || !self.read(name).is_empty() && !self.lives(name)).await;
    }

    /// Ends what a command has left.
    fn kill(&self, name: &str) {
        let number = self.read(name).trim().parse().ok();
        let number = number.and_then(rustix::process::Pid::from_raw).expect("a number");
        rustix::process::kill_process(number, rustix::process::Signal::KILL).expect("it lives");
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

    async fn create(&self, cx: &Cx) -> encamp_core::Result<Created> {
        let stamp = self.target().stamp;
        let ticket = Ticket::of_committed_intent(stamp.key.clone(), Verb::Create, 1);
        let name = Name::new("web").expect("a name");
        let create = Create::new(stamp, self.provider.site().clone(), serde_json::json!({}), name);
        self.provider.create(cx, &ticket, create).await
    }

    async fn list(&self) -> encamp_core::Result<encamp_core::Listing> {
        let controller = ControllerId::new("abcdef").expect("a bed can be made");
        self.provider
            .list(&cx(), List::new(ControllerPrefix::new(&controller)))
            .await
    }
}

/// With its folder for all that is temporary.
async fn connected(folder: &Path, manifest: &Path) -> Arc<dyn Provider> {
    let kind = encamp_plugin_script::kind(manifest).expect("a bed can be made");
    let temporary = folder.display().to_string();
    let variables = [
        ("PATH", "/usr/bin:/bin"),
        ("GIVEN", "yes"),
        ("HIDDEN", "no"),
        ("TMPDIR", &temporary),
    ];
    let ambient = Ambient::new(variables.map(|(name, value)| (name.to_owned(), value.to_owned())), None);
    let name = InstanceName::new("lab").expect("a bed can be made");
    let settings = serde_json::json!({ "site": "one" });
    let provider = kind.connect(&cx(), name, settings, ambient).await;
    provider.expect("a bed can be made")
}

async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} does not come to it");
}

fn cx() -> Cx {
    Cx::within(Duration::from_secs(30))
}

/// What is answered while the clock stands: what a command does counts then, and not how soon it does it.
async fn unhurried<T>(answer: impl Future<Output = T>) -> T {
    let (over, going) = std::sync::mpsc::channel::<()>();
    tokio::time::pause();
    // Where there is nothing to do a clock that stands goes on by itself, unless something blocks.
    let standing = tokio::task::spawn_blocking(move || going.recv_timeout(Duration::from_secs(30)));
    let answer = answer.await;
    tokio::time::resume();
    drop(over);
    let _ = standing.await;
    answer
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

/// The line of a script that waits until its last command has left the group, with which it would be ended.
const APART: &str = "until [ \"$(cut -d' ' -f6 /proc/$!/stat)\" = $! ]; do sleep 0.02; done";

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
async fn a_stream_is_not_taken_for_ever() {
    let bed = Bed::new("copy_in) echo $$ >child; cat >got; exec sleep 1799;;").await;
    let stream = || Box::pin(std::io::Cursor::new(b"some".to_vec()));
    let short = Cx::within(Duration::from_millis(500));
    let error = tokio::time::timeout(
        Duration::from_secs(15),
        bed.provider
            .copy_in(&short, CopyIn::new(bed.target(), "/there"), stream()),
    )
    .await;
    let error = error.expect("it has no deadline").unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
    // It may not have come to it.
    soon("the end", || !bed.lives("child")).await;
    // The same where it has taken all of it.
    let bed = Bed::new("copy_in) echo $$ >child; cat >got; exec sleep 1799;;").await;
    let cancelled = cx();
    let cancel = async {
        soon("the stream", || bed.read("got") == "some").await;
        cancelled.cancel();
    };
    let (taken, ()) = tokio::join!(
        bed.provider
            .copy_in(&cancelled, CopyIn::new(bed.target(), "/there"), stream()),
        cancel
    );
    let error = taken.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
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
async fn how_a_stream_ends_is_not_lost() {
    let refused = "echo encamp:error:not_found:no such file >&2; exit 1;;";
    let bed = Bed::new(&format!("copy_out) {refused}\nlogs) {refused}\ndial) {refused}")).await;
    let errors = [
        bed.provider
            .copy_out(&cx(), CopyOut::new(bed.target(), "/no"))
            .await
            .err(),
        bed.provider.logs(&cx(), Logs::new(bed.target())).await.err(),
        unhurried(bed.provider.dial(&cx(), Dial::new(bed.target(), 80)))
            .await
            .err(),
    ];
    for error in errors {
        let error = error.expect("it has failed");
        assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "no such file"));
    }
    // It has begun, and breaks off.
    let bed = Bed::new("copy_out) echo half; sleep 0.3; echo the disk is gone >&2; exit 3;;").await;
    let mut stream = bed
        .provider
        .copy_out(&cx(), CopyOut::new(bed.target(), "/a"))
        .await
        .unwrap();
    let mut read = Vec::new();
    let error = stream.read_to_end(&mut read).await.unwrap_err();
    assert_eq!(read, b"half\n");
    assert!(error.to_string().contains("its command exited 3"), "{error:?}");
    // What it leaves behind does not hold the stream.
    let bed = Bed::new("copy_out) sleep 1799 & echo $! >child; echo whole;;").await;
    let mut stream = bed
        .provider
        .copy_out(&cx(), CopyOut::new(bed.target(), "/a"))
        .await
        .unwrap();
    let (mut read, limit) = (Vec::new(), Duration::from_secs(30));
    let whole = tokio::time::timeout(limit, stream.read_to_end(&mut read)).await;
    whole.expect("it is held").unwrap();
    assert_eq!(read, b"whole\n");
    bed.ends("child").await;
}

#[tokio::test]
async fn a_connection_that_stands_is_one() {
    let bed = Bed::new("dial) exec cat;;\nlogs) echo $$ >child; exec sleep 1799;;").await;
    let mut connection = bed.provider.dial(&cx(), Dial::new(bed.target(), 80)).await.unwrap();
    connection.write_all(b"there and back").await.unwrap();
    connection.shutdown().await.unwrap();
    let mut read = String::new();
    connection.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "there and back");
    // Nor has what ends at once without a word anybody on its other side.
    let bed = Bed::new("dial) exit 0;;").await;
    let error = unhurried(bed.provider.dial(&cx(), Dial::new(bed.target(), 80)))
        .await
        .err();
    assert_eq!(error.unwrap().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_log_without_a_word_can_be_followed() {
    let follow = "[capabilities]\nlogs = { follow = true }";
    let bed = Bed::with(follow, "logs) echo $$ >child; exec sleep 1799;;").await;
    let mut logs = Logs::new(bed.target());
    logs.follow = true;
    let followed = tokio::time::timeout(Duration::from_secs(15), bed.provider.logs(&cx(), logs)).await;
    let stream = followed.expect("it is held").unwrap();
    bed.begins("child").await;
    drop(stream);
    bed.ends("child").await;
}

#[tokio::test]
async fn changes_of_one_machine_are_made_one_after_the_other() {
    let bed = Bed::new("destroy) mkdir lock || exit 9; sleep 0.2; rmdir lock;;").await;
    let (one, other) = (cx(), cx());
    let (one, other) = tokio::join!(bed.destroy(&one), bed.destroy(&other));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    // Also with the look at its labels that comes before.
    let list = "list) mkdir lock || exit 9; sleep 0.2; rmdir lock; echo '{\"complete\":true}';;";
    let bed = Bed::with("[capabilities]\nkeeps = \"labels\"", &format!("destroy) :;;\n{list}")).await;
    let (one, other) = (cx(), cx());
    let (one, other) = tokio::join!(bed.destroy(&one), bed.destroy(&other));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
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
async fn the_command_of_a_process_that_was_killed_has_its_turn() {
    const FOLDER: &str = "ENCAMP_TEST_FOLDER";
    if let Some(folder) = Ambient::of_process().variable(FOLDER) {
        let bed = Bed::again(Path::new(folder)).await;
        // Its command is not over when this is killed.
        let ended = bed.destroy(&cx()).await;
        panic!("it is not killed: {ended:?}");
    }
    let arms = "destroy) cat >request; echo $$ >child; echo began >>seen
        until [ -e go ]; do sleep 0.05; done; echo ended >>seen;;";
    let bed = Bed::new(arms).await;
    let name = "the_command_of_a_process_that_was_killed_has_its_turn";
    let mut other = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(FOLDER, bed.folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    bed.begins("child").await;
    soon("the first", || bed.read("seen") == "began\n").await;
    other.kill().unwrap();
    other.wait().unwrap();
    // What may not wait so long has changed nothing.
    let error = bed.destroy(&Cx::within(Duration::from_millis(100))).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
    assert!(error.message().contains("still at work"), "{error:?}");
    assert_eq!(bed.read("seen"), "began\n");
    let long = cx();
    let going = async {
        // Time for whoever would not wait.
        tokio::time::sleep(Duration::from_millis(300)).await;
        fs::write(bed.path("go"), "").unwrap();
    };
    let (destroyed, ()) = tokio::join!(bed.destroy(&long), going);
    assert_eq!(destroyed.unwrap(), Removal::Gone);
    assert_eq!(bed.read("seen"), "began\nended\nbegan\nended\n");
    assert!(bed.turns().is_empty(), "{:?}", bed.turns());
}

#[tokio::test]
async fn turns_are_private_and_go_with_the_machine() {
    let arms = format!("create) setsid sleep 1799 <&0 >/dev/null 2>&1 & echo $! >child; {APART};;\ndestroy) :;;");
    let bed = Bed::new(&arms).await;
    bed.create(&cx()).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let turns = bed.turns();
    assert_eq!(turns.len(), 1, "{turns:?}");
    assert_eq!((mode(&turns[0]), mode(turns[0].parent().unwrap())), (0o600, 0o700));
    // What is to stay reads from the pipe of a command that has ended, which is nobody's turn.
    assert!(bed.lives("child"));
    assert_eq!(bed.destroy(&cx()).await.unwrap(), Removal::Gone);
    assert!(bed.lives("child") && bed.turns().is_empty());
    bed.kill("child");
    // Somebody else's folder is not used.
    let folder = turns[0].parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(bed.destroy(&cx()).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn what_was_cancelled_before_its_turn_is_not_started() {
    let bed = Bed::new("destroy) echo began >seen;;").await;
    let cancelled = cx();
    cancelled.cancel();
    assert_eq!(bed.destroy(&cancelled).await.unwrap_err().kind(), ErrorKind::Cancelled);
    let late = bed.destroy(&Cx::within(Duration::ZERO)).await.unwrap_err();
    assert_eq!(late.retryable(), Retry::Safe);
    assert_eq!(bed.read("seen"), "");
}

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
