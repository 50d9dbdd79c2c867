//! Links that break under a command.

use std::sync::atomic::Ordering;
use std::time::Duration;

use encamp_core::{Cx, Exit, Signal, SshAccess};
use encamp_remote::{Client, Options, Remote};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use crate::bed::{Bed, Disk, Done, ambient, cases, cx, done, finish, finish_with, run, sha256, shell};
use crate::relay::Relay;

cases!(
    a_cut_leaves_no_hole_and_no_repeat,
    a_cut_in_the_middle_of_much_output,
    a_cut_in_the_middle_of_input,
    a_cut_under_input_that_nobody_reads,
    a_cut_at_the_beginning_begins_a_command_once,
    a_silent_link_is_found_out,
    a_silent_link_under_much_output,
    many_cuts_in_a_row,
    a_quiet_command_is_searched_for_at_each_cut,
    a_command_that_ends_during_a_cut_has_its_status,
    a_host_that_stays_away_is_a_lost_outcome,
    a_host_that_stays_away_after_the_status_leaves_no_whole_output,
    a_disk_that_fills_up_during_a_cut_leaves_no_whole_output,
    what_is_gone_is_a_lost_outcome,
    a_signal_after_a_cut_arrives,
);

/// A server behind a link that can be cut.
pub(crate) struct Link {
    pub(crate) bed: Bed,
    pub(crate) relay: Relay,
    pub(crate) remote: Remote,
    pub(crate) access: SshAccess,
}

pub(crate) async fn link(client: Client) -> Link {
    let bed = Bed::new();
    let relay = Relay::to(bed.port).await;
    let mut access = bed.access();
    access.port = relay.port;
    let options = Options::new()
        .ssh_config("/dev/null")
        .client(client)
        .keepalive(Duration::from_secs(1))
        .patience(Duration::from_secs(4));
    let remote = Remote::new(&ambient(), options).unwrap();
    Link {
        bed,
        relay,
        remote,
        access,
    }
}

const COUNTING: &str =
    "i=0; while [ $i -lt 60 ]; do echo out $i; echo err $i >&2; i=$((i + 1)); sleep 0.03; done; exit 42";

fn counted() -> Done {
    let lines = |word: &str| (0..60).map(|n| format!("{word} {n}\n")).collect::<String>();
    done(42, &lines("out"), &lines("err"))
}

async fn a_cut_leaves_no_hole_and_no_repeat(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let is_cut = bed.path("cut");
    // Half of it comes after the cut, however late that is.
    let gate = format!(
        "[ $i != 30 ] || until [ -e {} ]; do sleep 0.03; done; echo out",
        is_cut.display()
    );
    let script = COUNTING.replacen("echo out", &gate, 1);
    let process = remote.exec(&cx(), &access, None, shell(&script)).await.unwrap();
    let cut = async {
        sleep(Duration::from_millis(600)).await;
        relay.cut().await;
        std::fs::write(&is_cut, "").unwrap();
        sleep(Duration::from_millis(700)).await;
        relay.mend();
    };
    let (ended, ()) = tokio::join!(finish(process), cut);
    assert_eq!(ended, counted());
    assert!(relay.made.load(Ordering::Relaxed) > 1, "the link was cut");
    bed.is_clean().await;
}

async fn a_cut_in_the_middle_of_much_output(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let mut process = remote
        .exec(&cx(), &access, None, shell("seq 1 900000; seq 1 900000 >&2; exit 3"))
        .await
        .unwrap();
    let mut first = vec![0; 1_000_000];
    process.stdout.read_exact(&mut first).await.unwrap();
    relay.cut().await;
    sleep(Duration::from_millis(300)).await;
    relay.mend();
    let ended = finish(process).await;
    let expected: String = (1..=900_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(ended.exit, Exit::Code(3));
    let out = format!("{}{}", String::from_utf8(first).unwrap(), ended.out);
    assert!(out == expected, "{} bytes of {}", out.len(), expected.len());
    assert!(ended.err == expected, "{} bytes of {}", ended.err.len(), expected.len());
    bed.is_clean().await;
}

async fn a_cut_in_the_middle_of_input(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let mut exec = shell("sha256sum; exit 2");
    exec.stdin = true;
    let mut process = remote.exec(&cx(), &access, None, exec).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let bytes = crate::bed::noise(4_000_000);
    let sent = bytes.clone();
    let feeding = async {
        for (at, chunk) in sent.chunks(100_000).enumerate() {
            stdin.write_all(chunk).await.unwrap();
            if at == 10 || at == 25 {
                relay.cut().await;
                sleep(Duration::from_millis(200)).await;
                relay.mend();
            }
        }
        stdin.shutdown().await.unwrap();
    };
    let (ended, ()) = tokio::join!(finish(process), feeding);
    assert_eq!(ended, done(2, &format!("{}  -\n", sha256(&bytes)), ""));
    bed.is_clean().await;
}

async fn a_cut_under_input_that_nobody_reads(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let mut exec = shell("sleep 2; exit 4");
    exec.stdin = true;
    let mut process = remote.exec(&cx(), &access, None, exec).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    // Half of what a pipe holds; the rest is for the session that takes over.
    stdin.write_all(&vec![b'x'; 32 * 1024]).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    relay.cut().await;
    sleep(Duration::from_millis(200)).await;
    relay.mend();
    let feeding = async {
        // Whether it is taken is not known before the end.
        let _ = stdin.write_all(&vec![b'x'; 256 * 1024]).await;
    };
    let (ended, ()) = tokio::join!(finish(process), feeding);
    assert_eq!(ended, done(4, "", ""));
    drop(stdin);
    bed.is_clean().await;
}

async fn a_cut_at_the_beginning_begins_a_command_once(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    run(&remote, &access, shell("true")).await.unwrap();
    let file = bed.path("once");
    for turn in 0..8_u64 {
        let script = format!("echo {turn} >>{}; echo {turn}", file.display());
        let cut = async {
            sleep(Duration::from_millis(turn * 6)).await;
            relay.cut().await;
            sleep(Duration::from_millis(50)).await;
            relay.mend();
        };
        let (ran, ()) = tokio::join!(run(&remote, &access, shell(&script)), cut);
        assert_eq!(ran.unwrap(), done(0, &format!("{turn}\n"), ""));
    }
    let lines: String = (0..8).map(|turn| format!("{turn}\n")).collect();
    assert_eq!(std::fs::read_to_string(file).unwrap(), lines);
}

async fn a_silent_link_is_found_out(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let mut exec = shell(&format!("read line; echo $line; {COUNTING}"));
    exec.stdin = true;
    let mut process = remote.exec(&cx(), &access, None, exec).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(b"first\n").await.unwrap();
    let mut first = [0; 6];
    process.stdout.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"first\n");
    relay.silence();
    // What was connected stays silent; whoever comes anew finds the link mended.
    let cut = async {
        while relay.made.load(Ordering::Relaxed) < 2 {
            sleep(Duration::from_millis(20)).await;
        }
        relay.mend();
    };
    let (ended, ()) = tokio::join!(finish(process), cut);
    assert_eq!(ended, counted());
    drop(stdin);
    bed.is_clean().await;
}

async fn a_silent_link_under_much_output(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let mut process = remote
        .exec(&cx(), &access, None, shell("seq 1 900000; exit 3"))
        .await
        .unwrap();
    let mut first = vec![0; 300_000];
    process.stdout.read_exact(&mut first).await.unwrap();
    // The server does not learn of it, and what writes to the former session stands still for ever.
    relay.silence();
    let cut = async {
        while relay.made.load(Ordering::Relaxed) < 2 {
            sleep(Duration::from_millis(20)).await;
        }
        relay.mend();
    };
    let (ended, ()) = tokio::join!(finish(process), cut);
    let expected: String = (1..=900_000).map(|n| format!("{n}\n")).collect();
    let out = format!("{}{}", String::from_utf8(first).unwrap(), ended.out);
    assert_eq!(ended.exit, Exit::Code(3));
    assert!(out == expected, "{} bytes of {}", out.len(), expected.len());
    bed.is_clean().await;
}

async fn many_cuts_in_a_row(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let process = remote.exec(&cx(), &access, None, shell(COUNTING)).await.unwrap();
    let cut = async {
        for _ in 0..5 {
            sleep(Duration::from_millis(250)).await;
            relay.cut().await;
            sleep(Duration::from_millis(50)).await;
            relay.mend();
        }
    };
    let (ended, ()) = tokio::join!(finish(process), cut);
    assert_eq!(ended, counted());
    bed.is_clean().await;
}

async fn a_quiet_command_is_searched_for_at_each_cut(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    // Each search alone is shorter than the patience; from the first cut to the last it is much longer.
    let soon = Cx::within(Duration::from_secs(4));
    let process = remote
        .exec(&soon, &access, None, shell("sleep 7; echo last; exit 6"))
        .await
        .unwrap();
    let cuts = async {
        for _ in 0..2 {
            relay.cut().await;
            sleep(Duration::from_millis(600)).await;
            relay.mend();
            sleep(Duration::from_millis(4500)).await;
        }
    };
    let (ended, ()) = tokio::join!(finish(process), cuts);
    assert_eq!(ended, done(6, "last\n", ""));
    bed.is_clean().await;
}

async fn a_command_that_ends_during_a_cut_has_its_status(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let process = remote
        .exec(&cx(), &access, None, shell("sleep 0.4; echo last; exit 9"))
        .await
        .unwrap();
    relay.cut().await;
    let mend = async {
        sleep(Duration::from_millis(900)).await;
        relay.mend();
    };
    let (ended, ()) = tokio::join!(finish(process), mend);
    assert_eq!(ended, done(9, "last\n", ""));
    bed.is_clean().await;
}

async fn a_host_that_stays_away_is_a_lost_outcome(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let short = Cx::within(Duration::from_secs(4));
    let process = remote
        .exec(&short, &access, None, shell("echo a; sleep 5"))
        .await
        .unwrap();
    relay.cut().await;
    let ended = finish(process).await;
    let Exit::Lost(how) = &ended.exit else {
        panic!("{ended:?}")
    };
    assert!(how.contains("not reached again"), "{how}");
    // Nothing is left of it when somebody comes back but what the next sweep takes.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.left_behind().len(), 1);
}

async fn a_host_that_stays_away_after_the_status_leaves_no_whole_output(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let short = Cx::within(Duration::from_secs(4));
    // What is left behind is waited for as long as it says something.
    let script = format!(
        "echo first; (i=0; while [ $i -lt 200 ] && [ -d {} ]; do printf .; i=$((i + 1)); sleep 0.3; done) & exit 0",
        bed.folder.path().display()
    );
    let mut process = remote.exec(&short, &access, None, shell(&script)).await.unwrap();
    let mut first = [0; 6];
    process.stdout.read_exact(&mut first).await.unwrap();
    assert_eq!(process.control.wait().await.unwrap(), Exit::Code(0));
    relay.cut().await;
    let (ended, broken) = finish_with(process).await;
    assert_eq!(broken.len(), 2, "{ended:?}: {broken:?}");
    let said = ended.out.trim_matches('.');
    assert_eq!((ended.exit, said, ended.err.as_str()), (Exit::Code(0), "", ""));
    for error in broken {
        assert!(error.to_string().contains("not reached again"), "{error}");
    }
}

async fn a_disk_that_fills_up_during_a_cut_leaves_no_whole_output(client: Client) {
    for (by_others, script) in [
        // There is room for the status again, and what was said has a hole.
        (false, "seq 1 500000; rm -f $XDG_RUNTIME_DIR/ballast"),
        // Then not even the status can be kept.
        (true, ":"),
    ] {
        let Link {
            bed,
            relay,
            remote,
            access,
        } = link(client).await;
        let _disk = Disk::of(&bed, "600k");
        std::fs::write(bed.path("run/ballast"), vec![0; 64 << 10]).unwrap();
        // On another disk.
        let filled = bed.path("filled");
        let gated = format!(
            "until [ -e {} ]; do sleep 0.05; done; {script}; exit 0",
            filled.display()
        );
        let process = remote.exec(&cx(), &access, None, shell(&gated)).await.unwrap();
        relay.cut().await;
        if by_others {
            // As much as there is room for.
            let _ = std::fs::write(bed.path("run/full"), vec![0; 1 << 20]);
        }
        std::fs::write(&filled, "").unwrap();
        let mend = async {
            while !bed.left_behind().iter().any(|run| run.join("exit").exists()) {
                sleep(Duration::from_millis(20)).await;
            }
            relay.mend();
        };
        let ((ended, broken), ()) = tokio::join!(finish_with(process), mend);
        assert_eq!(broken.len(), 2, "{script}: {:?}, {} bytes", ended.exit, ended.out.len());
        for error in broken {
            assert!(error.to_string().contains("does not have all"), "{script}: {error}");
        }
        let lost = matches!(ended.exit, Exit::Lost(_));
        assert_eq!(lost, by_others, "{script}: {:?}", ended.exit);
    }
}

async fn what_is_gone_is_a_lost_outcome(client: Client) {
    for (what, expected) in [
        ("folder", "is gone"),
        ("supervisor", "was killed"),
        ("boot", "started anew"),
    ] {
        let Link {
            bed,
            relay,
            remote,
            access,
        } = link(client).await;
        let process = remote
            .exec(&cx(), &access, None, shell("echo $$; sleep 60"))
            .await
            .unwrap();
        relay.cut().await;
        sleep(Duration::from_millis(100)).await;
        let run = bed.left_behind().pop().unwrap();
        match what {
            "folder" => std::fs::remove_dir_all(&run).unwrap(),
            "boot" => std::fs::write(run.join("boot"), "another\n").unwrap(),
            _ => {
                let text = std::fs::read_to_string(run.join("supervisor")).unwrap();
                let pid = text.split(' ').next().unwrap().parse().unwrap();
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
        }
        relay.mend();
        let ended = finish(process).await;
        let Exit::Lost(how) = &ended.exit else {
            panic!("{what}: {ended:?}")
        };
        assert!(how.contains(expected), "{what}: {how}");
    }
}

async fn a_signal_after_a_cut_arrives(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    let mut process = remote
        .exec(
            &cx(),
            &access,
            None,
            shell("trap 'echo got; exit 4' TERM; echo ready; while :; do sleep 0.05; done"),
        )
        .await
        .unwrap();
    let mut ready = [0; 6];
    process.stdout.read_exact(&mut ready).await.unwrap();
    relay.cut().await;
    sleep(Duration::from_millis(100)).await;
    relay.mend();
    process.control.signal(Signal::Term).await.unwrap();
    let ended = finish(process).await;
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Code(4), "got\n"));
    bed.is_clean().await;
}
