//! Commands.

use std::time::Duration;

use encamp_core::{ErrorKind, Exit, Signal};
use encamp_remote::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bed::{Bed, cases, command, cx, done, finish, remote, run, shell};

cases!(
    streams_and_status_are_the_commands_own,
    words_arrive_as_they_are,
    variables_and_folder_are_the_commands_own,
    input_arrives_whole_and_ends,
    input_that_nobody_reads_harms_nobody,
    much_output_has_no_hole,
    signals_reach_all_that_the_command_started,
    a_command_has_the_signals_of_a_terminal,
    the_end_of_input_may_come_after_the_command,
    many_commands_at_once_find_room,
    what_is_left_behind_makes_nobody_wait,
    a_host_with_busybox_alone_is_enough,
    another_user_is_asked_of_sudo,
);

async fn streams_and_status_are_the_commands_own(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let access = bed.access();
    for (script, code, out, err) in [
        ("echo out; echo err >&2; exit 3", 3, "out\n", "err\n"),
        ("exit 255", 255, "", ""),
        ("printf a; printf b >&2", 0, "a", "b"),
        ("kill -KILL $$", 137, "", ""),
        (
            r"printf '\036encamp-0:x0\036' >&2; exit 4",
            4,
            "",
            "\u{1e}encamp-0:x0\u{1e}",
        ),
    ] {
        assert_eq!(
            run(&remote, &access, shell(script)).await.unwrap(),
            done(code, out, err),
            "{script}"
        );
    }
    let missing = run(&remote, &access, command(&["no-such-program"])).await.unwrap();
    assert_eq!(missing.exit, Exit::Code(127), "{missing:?}");
    assert!(missing.err.contains("no-such-program"), "{missing:?}");
    bed.is_clean().await;
}

async fn words_arrive_as_they_are(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let awkward = [
        "", "a b", "it's", "$HOME", "`id`", "\\", "a\nb", "*", "-n", "ä", "\"", "!x", "ENCAMP_", "\t", "\u{1e}",
    ];
    let argv: Vec<_> = ["printf", "<%s>"].into_iter().chain(awkward).collect();
    let expected: String = awkward.iter().map(|word| format!("<{word}>")).collect();
    assert_eq!(
        run(&remote, &bed.access(), command(&argv)).await.unwrap(),
        done(0, &expected, "")
    );
    let long = "x".repeat(100_000);
    assert_eq!(
        run(&remote, &bed.access(), command(&["printf", "%s", &long]))
            .await
            .unwrap()
            .out,
        long
    );
}

async fn variables_and_folder_are_the_commands_own(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    // Names that the scripts on the host use themselves, names of the shell, and one that no shell can assign to.
    let names = [
        "A", "d", "id", "mask", "code", "p", "IFS", "UID", "PPID", "a.b", "base", "say",
    ];
    let mut exec = command(&["env", "-0"]);
    for name in names {
        exec.env.insert(name.into(), format!("it's\n{name} $x"));
    }
    let seen = run(&remote, &bed.access(), exec).await.unwrap();
    for name in names {
        let expected = format!("{name}=it's\n{name} $x");
        assert!(seen.out.split('\0').any(|line| line == expected), "{name}: {seen:?}");
    }
    assert!(!seen.out.contains("LC_ALL"), "{seen:?}");
    let mut exec = shell("pwd; umask");
    exec.cwd = Some("/usr/lib".into());
    assert_eq!(
        run(&remote, &bed.access(), exec).await.unwrap(),
        done(0, "/usr/lib\n0022\n", "")
    );
    let mut exec = command(&["true"]);
    exec.cwd = Some("/no/such folder".into());
    let error = run(&remote, &bed.access(), exec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("/no/such folder"), "{error}");
    bed.is_clean().await;
}

async fn input_arrives_whole_and_ends(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut exec = command(&["sha256sum"]);
    exec.stdin = true;
    let mut process = remote.exec(&cx(), &bed.access(), None, exec).await.unwrap();
    let bytes = crate::bed::noise(3_000_000);
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(&bytes).await.unwrap();
    stdin.shutdown().await.unwrap();
    let expected = crate::bed::sha256(&bytes);
    assert_eq!(finish(process).await, done(0, &format!("{expected}  -\n"), ""));
    // Without input there is none, and its end is there at once.
    assert_eq!(
        run(&remote, &bed.access(), command(&["cat"])).await.unwrap(),
        done(0, "", "")
    );
    bed.is_clean().await;
}

async fn input_that_nobody_reads_harms_nobody(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut exec = shell("exec <&-; echo closed; sleep 0.5; exit 7");
    exec.stdin = true;
    let mut process = remote.exec(&cx(), &bed.access(), None, exec).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let wrote = async {
        for _ in 0..200 {
            if stdin.write_all(&[0; 8192]).await.is_err() {
                return;
            }
        }
    };
    let (done_, ()) = tokio::join!(finish(process), wrote);
    assert_eq!(done_, done(7, "closed\n", ""));
    bed.is_clean().await;
}

async fn much_output_has_no_hole(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let expected: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
    let both = run(&remote, &bed.access(), shell("seq 1 300000; seq 1 300000 >&2"))
        .await
        .unwrap();
    assert_eq!(both.exit, Exit::Code(0));
    assert!(both.out == expected, "{} bytes of {}", both.out.len(), expected.len());
    assert!(both.err == expected, "{} bytes of {}", both.err.len(), expected.len());
    bed.is_clean().await;
}

async fn signals_reach_all_that_the_command_started(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mark = bed.path("children");
    let script = format!(
        "(trap 'echo child; exit' TERM; echo ready; while :; do sleep 0.05; done) & wait; echo $! >{}",
        mark.display()
    );
    let mut process = remote.exec(&cx(), &bed.access(), None, shell(&script)).await.unwrap();
    let mut ready = [0; 6];
    process.stdout.read_exact(&mut ready).await.unwrap();
    process.control.signal(Signal::Term).await.unwrap();
    let ended = finish(process).await;
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Code(143), "child\n"));
    // To one that has ended nothing is sent, and that is no error.
    let mut process = remote
        .exec(&cx(), &bed.access(), None, command(&["true"]))
        .await
        .unwrap();
    process.control.wait().await.unwrap();
    process.control.signal(Signal::Kill).await.unwrap();
    // One that has just been asked for is signalled too.
    let mut process = remote
        .exec(&cx(), &bed.access(), None, command(&["sleep", "60"]))
        .await
        .unwrap();
    process.control.signal(Signal::Kill).await.unwrap();
    assert_eq!(finish(process).await.exit, Exit::Code(137));
    bed.is_clean().await;
}

async fn a_command_has_the_signals_of_a_terminal(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    for (signal, code) in [(Signal::Int, 130), (Signal::Quit, 131)] {
        // A shell that something ignores when it begins can take no interest in it any more.
        let exec = shell("ulimit -c 0; echo ready; sleep 60; exit 1");
        let mut process = remote.exec(&cx(), &bed.access(), None, exec).await.unwrap();
        process.stdout.read_exact(&mut [0; 6]).await.unwrap();
        process.control.signal(signal.clone()).await.unwrap();
        assert_eq!(finish(process).await.exit, Exit::Code(code), "{signal}");
    }
    let trapped = shell("trap 'echo got; exit 5' INT; echo ready; while :; do sleep 0.05; done");
    let mut process = remote.exec(&cx(), &bed.access(), None, trapped).await.unwrap();
    process.stdout.read_exact(&mut [0; 6]).await.unwrap();
    process.control.signal(Signal::Int).await.unwrap();
    assert_eq!(finish(process).await, done(5, "got\n", ""));
    bed.is_clean().await;
}

async fn the_end_of_input_may_come_after_the_command(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    // What it leaves behind keeps its output open for a while.
    let mut exec = shell("sleep 0.7 & exit 3");
    exec.stdin = true;
    let mut process = remote.exec(&cx(), &bed.access(), None, exec).await.unwrap();
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(3));
    process.stdin.as_mut().unwrap().shutdown().await.unwrap();
    assert_eq!(finish(process).await, done(3, "", ""));
    bed.is_clean().await;
}

async fn many_commands_at_once_find_room(client: Client) {
    let (bed, remote) = (Bed::with("MaxSessions 3"), remote(client));
    let access = bed.access();
    let all = (0..14).map(|n| {
        let (remote, access) = (&remote, &access);
        async move {
            let ran = run(remote, access, shell(&format!("sleep 0.3; echo {n}")))
                .await
                .unwrap();
            assert_eq!(ran, done(0, &format!("{n}\n"), ""));
        }
    });
    futures_util::future::join_all(all).await;
    bed.is_clean().await;
}

async fn what_is_left_behind_makes_nobody_wait(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let access = bed.access();
    let ran = run(&remote, &access, shell("sleep 300 & echo $!; echo e >&2; exit 6"));
    let ran = tokio::time::timeout(Duration::from_secs(20), ran).await;
    let ran = ran.expect("nobody waits for it").unwrap();
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Code(6), "e\n"));
    // Nothing was done to it.
    let pid: i32 = ran.out.trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    bed.is_clean().await;
}

async fn a_host_with_busybox_alone_is_enough(client: Client) {
    let tools = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("busybox")
        .args(["--install", "-s"])
        .arg(tools.path())
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "apt-get install busybox-static"
    );
    let bed = Bed::new();
    let remote = remote(client);
    let mut access = bed.access();
    let path = format!("PATH={}", tools.path().display());
    access.prefix = ["env", &path].map(str::to_owned).to_vec();
    let mut exec = shell("readlink /proc/$$/exe; tr a-z A-Z; seq 1 20000; seq 1 20000 >&2; exit 9");
    exec.stdin = true;
    let mut process = remote.exec(&cx(), &access, None, exec).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(b"abc\n").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let ended = finish(process).await;
    let seq: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(ended.exit, Exit::Code(9));
    let (first, rest) = ended.out.split_once('\n').unwrap();
    assert!(first.contains("busybox"), "{first}");
    assert!(rest == format!("ABC\n{seq}"), "{} bytes", rest.len());
    assert!(ended.err == seq);
    let mut process = remote
        .exec(&cx(), &access, None, command(&["sleep", "60"]))
        .await
        .unwrap();
    process.control.signal(Signal::Term).await.unwrap();
    assert_eq!(finish(process).await.exit, Exit::Code(143));
    let mut process = remote
        .exec(&cx(), &access, None, command(&["sleep", "60"]))
        .await
        .unwrap();
    process.control.signal(Signal::Int).await.unwrap();
    assert_eq!(finish(process).await.exit, Exit::Code(130));
    bed.is_clean().await;
}

async fn another_user_is_asked_of_sudo(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut own = command(&["id", "-un"]);
    own.user = Some("root".into());
    assert_eq!(run(&remote, &bed.access(), own).await.unwrap(), done(0, "root\n", ""));
    // A `sudo` of the test's own, which knows one user and keeps the variables that are named.
    let tools = tempfile::tempdir().unwrap();
    let sudo = tools.path().join("sudo");
    std::fs::write(
        &sudo,
        "#!/bin/sh\nkeep=\n[ \"$1\" = -n ] || exit 1\nshift\ncase $1 in --preserve-env=*) keep=$1; shift ;; esac\n\
         [ \"$1 $2 $3\" = \"-u daemon --\" ] || exit 1\nshift 3\nexport KEPT=$keep\nexec \"$@\"\n",
    )
    .unwrap();
    std::fs::set_permissions(&sudo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut access = bed.access();
    let path = format!("PATH={}:/usr/bin:/bin", tools.path().display());
    access.prefix = ["env", &path].map(str::to_owned).to_vec();
    let mut exec = shell("echo $KEPT $A; pwd");
    exec.user = Some("daemon".into());
    exec.env.insert("A".into(), "b".into());
    exec.cwd = Some("/usr".into());
    assert_eq!(
        run(&remote, &access, exec).await.unwrap(),
        done(0, "--preserve-env=A b\n/usr\n", "")
    );
    let mut exec = command(&["true"]);
    exec.user = Some("nobody".into());
    let error = run(&remote, &access, exec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("NOPASSWD"), "{error:?}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    bed.is_clean().await;
}
