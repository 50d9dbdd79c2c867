//! Ends and new beginnings.

use std::time::Duration;

use encamp_core::{Cx, Exec, Exit, Phase, Renew, Retry, Size, Time, Verb};
use libtest_mimic::Trial;
use serde_json::json;
use tokio::io::AsyncReadExt;

use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::bed::{Bed, cx, fresh_word, is_root, is_there, processes_of, send, ticket, trial, until, with_word};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("life::a_machine_whose_shim_was_killed_starts_again", again),
        trial("life::what_ends_just_now_is_waited_for", ending),
        trial("life::what_begins_just_now_is_waited_for", beginning),
        trial("life::its_time_ends_what_was_held_and_what_runs", expiry),
        trial("life::a_shorter_time_counts_within_seconds", shortened),
        trial("life::a_time_that_is_over_changes_no_end", kept_end),
        trial("life::a_time_that_cannot_be_read_any_more_counts", unread),
        trial("life::a_grace_before_destroy_is_kept", grace),
        trial("life::whoever_looks_at_the_end_of_a_machine_is_none_of_it", looked_at),
        trial("life::what_nobody_listens_to_goes_on", unheard),
        trial("life::a_connection_that_cannot_be_taken_is_taken_later", crowded),
        trial("life::a_command_whose_streams_do_not_get_in_is_not_started", cut),
        trial("life::what_is_left_behind_holds_no_output_open", left_behind),
        trial("life::a_terminal_leads_its_session", terminal),
        trial("life::an_end_by_signal_is_seen_as_one", signal),
        trial("life::a_command_that_ends_at_once_has_run_once", at_once),
        trial("life::run_is_empty_after_a_new_start", fresh_run),
    ];
    if is_root() {
        trials.push(trial("life::a_full_disk_keeps_no_machine", no_room));
    }
    trials
}

async fn again() {
    let bed = Bed::new().await;
    bed.raise("web", json!({ "command": "echo begun; while :; do sleep 1; done" }))
        .await;
    // Neither sees the other's end.
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in processes_of(&bed.folder("web")) {
            send(pid, signal);
        }
    }
    bed.wait_for("web", |phase| matches!(phase, Phase::Exited(Exit::Lost(_))))
        .await;
    bed.start("web").await.unwrap();
    assert_eq!(bed.phase("web").await, Phase::Running);
    assert_eq!(bed.run("web", "echo here").await.out, "here\n");
    bed.destroy("web").await;
}

/// Its first process has ended, and its shim takes a while to follow.
async fn ending() {
    let bed = Bed::new().await;
    bed.create(bed.request("web", json!({})).await).await.unwrap();
    let end_first = async || {
        let [shim, first] = processes_of(&bed.folder("web"));
        send(shim, Signal::STOP);
        send(first, Signal::KILL);
        until("the end of the first process", || !is_there(first)).await;
        shim
    };
    let go_on = async |shim| {
        tokio::time::sleep(Duration::from_millis(300)).await;
        send(shim, Signal::CONT);
    };
    let shim = end_first().await;
    let (brought, ()) = tokio::join!(bed.copy_in("web", "/srv", "file", b"x"), go_on(shim));
    brought.unwrap();
    let shim = end_first().await;
    let (started, ()) = tokio::join!(bed.start("web"), go_on(shim));
    started.unwrap();
    assert_eq!(bed.phase("web").await, Phase::Running);
    bed.destroy("web").await;
}

/// Its first process is there, and has no socket yet.
async fn beginning() {
    let bed = Bed::new().await;
    bed.create(bed.request("web", json!({})).await).await.unwrap();
    let [socket, hidden] = ["socket", "hidden"].map(|name| bed.folder("web").join(name));
    std::fs::rename(&socket, &hidden).unwrap();
    let listening = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::fs::rename(&hidden, &socket).unwrap();
    };
    let (started, ()) = tokio::join!(bed.start("web"), listening);
    started.unwrap();
    assert_eq!(bed.phase("web").await, Phase::Running);
    bed.destroy("web").await;
}

fn in_seconds(seconds: u64) -> Time {
    #[expect(clippy::disallowed_methods, reason = "the machine goes by the host's clock")]
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Time::from_unix_millis(i64::try_from(since.as_millis()).unwrap()).plus(Duration::from_secs(seconds))
}

async fn expiry() {
    let bed = Bed::new().await;
    let word = fresh_word();
    let mut request = bed
        .request("web", json!({ "command": ["sh", "-c", "sleep 600; :", "sh", word] }))
        .await;
    request.expires = Some(in_seconds(3600));
    bed.raise_request(request).await;
    let mut held = bed.request("held", json!({})).await;
    held.expires = Some(in_seconds(2));
    bed.create(held).await.unwrap();
    let [shim, _] = processes_of(&bed.folder("held"));
    // What starts a program looks like two for a moment.
    until("the one that runs", || with_word(&word).len() == 1).await;
    shorten(&bed).await;
    until("the end of what runs", || with_word(&word).is_empty()).await;
    bed.wait_for("web", |phase| *phase == Phase::Stopped).await;
    let why = bed.provider.inspect(&cx(), bed.target("web")).await.unwrap().why;
    assert_eq!(why.as_deref(), Some("its time was over"));
    until("the end of the shim", || {
        !std::path::Path::new(&format!("/proc/{shim}/exe")).exists()
    })
    .await;
    bed.destroy("web").await;
    bed.destroy("held").await;
}

async fn shortened() {
    let bed = Bed::new().await;
    let mut request = bed.request("web", json!({})).await;
    request.expires = Some(in_seconds(3600));
    bed.raise_request(request).await;
    shorten(&bed).await;
    bed.wait_for("web", |phase| *phase == Phase::Stopped).await;
    bed.destroy("web").await;
}

async fn shorten(bed: &Bed) {
    let renew = Renew::new(bed.target("web"), in_seconds(1));
    let ticket = ticket("web", Verb::Renew);
    bed.provider.renew(&cx(), &ticket, renew).await.unwrap();
}

async fn kept_end() {
    let bed = Bed::new().await;
    let mut request = bed.request("web", json!({ "command": "exit 3" })).await;
    request.expires = Some(in_seconds(3600));
    bed.create(request).await.unwrap();
    bed.start("web").await.unwrap();
    let ended = Phase::Exited(Exit::Code(3));
    bed.wait_for("web", |phase| matches!(phase, Phase::Exited(_))).await;
    // There is a shim again, but nothing runs.
    bed.copy_in("web", "/srv", "file", b"x").await.unwrap();
    let [shim, _] = processes_of(&bed.folder("web"));
    assert!(is_there(shim));
    shorten(&bed).await;
    until("the end of the shim", || !is_there(shim)).await;
    assert_eq!(bed.phase("web").await, ended);
    bed.destroy("web").await;
}

async fn unread() {
    let bed = Bed::new().await;
    let mut request = bed.request("web", json!({})).await;
    request.expires = Some(in_seconds(3600));
    bed.raise_request(request).await;
    // The shim has it from a pipe, which is gone before it has read it.
    let expires = bed.folder("web").join("expires.json");
    let pipe = bed.root.join("pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    std::fs::rename(&pipe, &expires).unwrap();
    let mut open = None;
    until("whoever reads it", || {
        // Without a reader it cannot be opened so.
        open = rustix::fs::open(&expires, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok();
        open.is_some()
    })
    .await;
    std::fs::remove_file(&expires).unwrap();
    serde_json::to_writer(std::fs::File::from(open.unwrap()), &in_seconds(1)).unwrap();
    bed.wait_for("web", |phase| *phase == Phase::Stopped).await;
    bed.destroy("web").await;
}

async fn grace() {
    let bed = Bed::new().await;
    let table = json!({
        "command": "trap 'echo asked > /tmp/asked; cp /tmp/asked \"$OUT\"; exit 0' TERM; echo done >/tmp/listens; while :; do sleep 0.1; done",
        "stop_grace": "5s",
    });
    let folder = tempfile::tempdir().unwrap();
    let mut request = bed.request("web", table).await;
    let mut mount = encamp_core::Mount::read_only(folder.path(), "/mnt/out");
    mount.read_only = false;
    request.mounts.push(mount);
    request.env.insert("OUT".to_owned(), "/mnt/out/asked".to_owned());
    bed.raise_request(request).await;
    until_done(&bed, "/tmp/listens").await;
    bed.destroy("web").await;
    assert_eq!(std::fs::read_to_string(folder.path().join("asked")).unwrap(), "asked\n");
}

async fn looked_at() {
    let bed = Bed::new().await;
    bed.raise("web", json!({})).await;
    let lock = std::fs::File::open(bed.folder("web").join("lock")).unwrap();
    // It has the lock as soon as the last of the machine lets it go.
    let looking = std::thread::spawn(move || {
        rustix::fs::flock(&lock, FlockOperation::LockShared).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a thread without a runtime")]
        std::thread::sleep(Duration::from_millis(500));
    });
    bed.destroy("web").await;
    looking.join().unwrap();
}

async fn no_room() {
    let mut bed = Bed::on_small_disk().await;
    let word = fresh_word();
    let script = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let table = json!({ "command": ["sh", "-c", script, "sh", word], "stop_grace": "5s" });
    bed.raise("web", table).await;
    bed.raise("beside", json!({})).await;
    let _filler = bed.fill();
    // Nothing is known any more, as after a boot, and nothing can be found out.
    std::fs::remove_file(bed.root.join(".abilities.json")).unwrap();
    std::fs::write(bed.root.join("taken"), b"").unwrap();
    bed.provider = bed.again().await;
    bed.destroy("web").await;
    assert_eq!(with_word(&word), [0; 0]);
    bed.destroy("beside").await;
}

async fn unheard() {
    let bed = Bed::new().await;
    bed.raise("web", json!({})).await;
    // More than a pipe holds, so that it would wait for ever, or end by a signal.
    let script = "sleep 0.2; head -c 1000000 /dev/zero && head -c 1000000 /dev/zero >&2 && echo done > /tmp/done";
    drop(bed.provider.exec(&cx(), bed.script("web", script)).await.unwrap());
    until_done(&bed, "/tmp/done").await;
    // The same where the whole process that asked is gone.
    let script = "sleep 1; head -c 1000000 /dev/zero && echo done > /tmp/after";
    let exec = bed.script("web", script);
    let provider = bed.again().await;
    let other = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        drop(runtime.block_on(async { provider.exec(&cx(), exec).await.unwrap() }));
    });
    other.join().unwrap();
    until_done(&bed, "/tmp/after").await;
    bed.destroy("web").await;
}

async fn until_done(bed: &Bed, path: &str) {
    for _ in 0..300 {
        if bed.run("web", &format!("cat {path}")).await.out == "done\n" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} did not come");
}

async fn crowded() {
    let bed = Bed::new().await;
    bed.raise("web", json!({})).await;
    let [_, first] = processes_of(&bed.folder("web"));
    let usual = rustix::process::getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..usual
    };
    let allow = |limit: Rlimit| rustix::process::prlimit(Pid::from_raw(first), Resource::Nofile, limit).unwrap();
    allow(none);
    // It was waiting for this one already.
    let broken_off = bed.provider.exec(&cx(), bed.script("web", "echo here")).await;
    assert!(broken_off.is_err());
    let soon = Cx::within(Duration::from_millis(300));
    let unanswered = bed.provider.exec(&soon, bed.script("web", "echo here"));
    let unanswered = tokio::time::timeout(Duration::from_secs(20), unanswered).await;
    assert_eq!(
        unanswered.expect("it waits for ever").err().unwrap().retryable(),
        Retry::Unknown
    );
    let context = cx();
    let mut asked = bed.provider.exec(&context, bed.script("web", "echo here"));
    let early = tokio::time::timeout(Duration::from_millis(500), &mut asked).await;
    assert!(early.is_err(), "it was answered with no file more");
    allow(usual);
    let mut process = asked.await.unwrap();
    let mut said = String::new();
    process.stdout.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "here\n");
    let complaints = std::fs::read_to_string(bed.folder("web").join("log/shim")).unwrap();
    assert_eq!(complaints.matches("nobody can be answered").count(), 1, "{complaints}");
    bed.destroy("web").await;
}

fn is_asleep(stat: &std::path::Path) -> bool {
    std::fs::read_to_string(stat).is_ok_and(|stat| stat.contains(") S "))
}

/// There is room for a connection and for some of a command's streams.
async fn cut() {
    let bed = Bed::new().await;
    bed.raise("web", json!({})).await;
    assert_eq!(bed.run("web", "echo here").await.out, "here\n");
    let [_, first] = processes_of(&bed.folder("web"));
    // What it had open for that is closed once its three threads alone are left, and rest.
    let rests = |task: std::fs::DirEntry| is_asleep(&task.path().join("stat"));
    until("its rest", || {
        let tasks = std::fs::read_dir(format!("/proc/{first}/task")).unwrap();
        let tasks: Vec<_> = tasks.flatten().collect();
        tasks.len() == 3 && tasks.into_iter().all(rests)
    })
    .await;
    // The number for the connection that it waits for is taken already.
    let open = |number: &u64| std::fs::exists(format!("/proc/{first}/fd/{number}")).unwrap();
    let third_free = (0..).filter(|number| !open(number)).nth(2).unwrap();
    let usual = rustix::process::getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(third_free + 1),
        ..usual
    };
    let allow = |limit: Rlimit| rustix::process::prlimit(Pid::from_raw(first), Resource::Nofile, limit).unwrap();
    allow(few);
    let error = bed
        .provider
        .exec(&cx(), bed.script("web", "echo here"))
        .await
        .err()
        .unwrap();
    assert!(error.message().contains("too many files"), "{error:?}");
    allow(usual);
    assert_eq!(bed.run("web", "echo here").await.out, "here\n");
    bed.destroy("web").await;
}

async fn left_behind() {
    let bed = Bed::new().await;
    bed.raise("web", json!({})).await;
    let finishing = bed.run("web", "echo said; sleep 600 & exit 7");
    let said = tokio::time::timeout(Duration::from_secs(20), finishing)
        .await
        .expect("it waits for the sleeper");
    assert_eq!(
        (said.exit, said.out.as_str(), said.err.as_str()),
        (Exit::Code(7), "said\n", "")
    );
    bed.destroy("web").await;
}

async fn terminal() {
    let bed = Bed::new().await;
    bed.raise("web", json!({})).await;
    let script = "tty; (: </dev/tty) && echo controlling; stty size; echo $TERM";
    let mut exec = Exec::new(bed.target("web"), ["sh", "-c", script]);
    exec.tty = Some(Size::new(31, 77));
    let mut process = bed.provider.exec(&cx(), exec).await.unwrap();
    let mut said = Vec::new();
    process.stdout.read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said).replace('\r', "");
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(0));
    assert!(said.starts_with("/dev/pts/"), "{said}");
    assert!(said.ends_with("controlling\n31 77\nxterm\n"), "{said}");
    bed.destroy("web").await;
}

async fn signal() {
    let bed = Bed::new().await;
    let table = json!({ "command": "kill -SEGV $$" });
    bed.create(bed.request("web", table).await).await.unwrap();
    bed.start("web").await.unwrap();
    bed.wait_for("web", |phase| *phase == Phase::Exited(Exit::Signal("SEGV".into())))
        .await;
    bed.destroy("web").await;
    let missing = json!({ "command": ["encamp-no-such-program"] });
    bed.create(bed.request("missing", missing).await).await.unwrap();
    bed.start("missing").await.unwrap();
    bed.wait_for("missing", |phase| *phase == Phase::Exited(Exit::Code(127)))
        .await;
    assert!(
        bed.said("missing")
            .await
            .contains("`encamp-no-such-program` cannot be run")
    );
    bed.destroy("missing").await;
}

async fn at_once() {
    let bed = Bed::new().await;
    bed.create(bed.request("web", json!({ "command": "echo ran" })).await)
        .await
        .unwrap();
    for round in 1..=8 {
        bed.start("web").await.unwrap();
        bed.wait_for("web", |phase| *phase == Phase::Exited(Exit::Code(0)))
            .await;
        assert_eq!(bed.said("web").await, "ran\n".repeat(round));
    }
    bed.destroy("web").await;
}

async fn fresh_run() {
    let bed = Bed::new().await;
    bed.raise("web", json!({})).await;
    bed.run(
        "web",
        "mkdir -p /run/app && echo 7 > /run/app/pid && echo kept > /root/kept",
    )
    .await;
    bed.stop("web", Duration::ZERO).await;
    bed.start("web").await.unwrap();
    assert_eq!(bed.run("web", "ls /run; cat /root/kept").await.out, "lock\nkept\n");
    bed.destroy("web").await;
}
