//! What is asked of a host and leaves nothing there.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use encamp_core::{Cx, ErrorKind, Retry};
use encamp_remote::Client;

use crate::bed::{Bed, cases, cx, remote};
use crate::relay::Relay;

cases!(
    a_question_is_answered_and_leaves_nothing,
    a_question_that_fails_is_no_answer,
    what_changes_something_is_begun_once,
    questions_have_a_session_in_common,
);

async fn a_question_is_answered_and_leaves_nothing(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let long = "set -- a \"b c\"\nshow() { cat <<'HERE'\nit's \"quoted\" $1\nHERE\n}\nshow\necho \"$2\"; cat; umask\n\
                i=0; while [ $i -lt 3000 ]; do echo \"line $i of many\"; i=$((i + 1)); done\nexit 0";
    let answer = remote.ask(&cx(), &bed.access(), None, long).await.unwrap();
    let (head, many) = answer.split_at(answer.find("line 0").unwrap());
    assert_eq!(head, "it's \"quoted\" $1\nb c\n0022\n");
    assert_eq!(many.lines().count(), 3000);
    assert_eq!(bed.left_behind(), Vec::<std::path::PathBuf>::new());
    // Many at once, on sessions of their own.
    let ask = |n: usize| {
        let (remote, access) = (&remote, bed.access());
        async move { remote.ask(&cx(), &access, None, &format!("echo {n}")).await.unwrap() }
    };
    let answers = futures_util::future::join_all((0..20).map(ask)).await;
    assert!(
        answers
            .iter()
            .enumerate()
            .all(|(n, answer)| *answer == format!("{n}\n"))
    );
}

async fn a_question_that_fails_is_no_answer(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let ask_within = |limit: Duration, lines: &'static str| {
        let (remote, access) = (&remote, bed.access());
        async move { remote.ask(&Cx::within(limit), &access, None, lines).await.unwrap_err() }
    };
    let ask = |lines| ask_within(Duration::from_secs(30), lines);
    let failed = ask("echo half; echo why >&2; exit 3").await;
    assert_eq!(failed.retryable(), Retry::Safe);
    assert!(failed.message().contains("exited 3"), "{failed:?}");
    assert!(
        failed
            .context()
            .any(|(key, value)| key == "said" && value.contains("why")),
        "{failed:?}"
    );
    let long = ask("i=0; while [ $i -lt 300 ]; do printf '%01024d' 0; i=$((i + 1)); done").await;
    assert!(long.message().contains("longer than 262144 bytes"), "{long:?}");
    let killed = ask("echo half; kill -9 $PPID $$").await;
    assert_eq!(killed.kind(), ErrorKind::Unavailable, "{killed:?}");
    let late = ask_within(Duration::from_secs(5), "sleep 60").await;
    assert_eq!(late.kind(), ErrorKind::Unavailable, "{late:?}");
}

async fn what_changes_something_is_begun_once(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let relay = Relay::to(bed.port).await;
    let mut access = bed.access();
    access.port = relay.port;
    let (mark, go) = (bed.path("mark"), bed.path("go"));
    let read = || std::fs::read_to_string(&mark).unwrap_or_default();
    let until = async |text: &str| {
        for _ in 0..200 {
            if read() == text {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?} and not {text:?}", read());
    };
    let lines = format!(
        "trap '' HUP PIPE\necho begun >>{0}\nuntil [ -e {1} ]; do sleep 0.05; done\necho done >>{0}\necho told",
        mark.display(),
        go.display()
    );
    std::fs::write(&go, "").unwrap();
    let answer = remote.ask_once(&cx(), &access, None, &lines).await.unwrap();
    assert_eq!((answer.as_str(), read().as_str()), ("told\n", "begun\ndone\n"));
    // It goes on where nobody hears of it, and once.
    std::fs::remove_file(&mark).unwrap();
    std::fs::remove_file(&go).unwrap();
    let cutting = async {
        until("begun\n").await;
        relay.cut().await;
    };
    let cx = cx();
    let (answered, ()) = tokio::join!(remote.ask_once(&cx, &access, None, &lines), cutting);
    let error = answered.unwrap_err();
    assert_eq!(error.retryable(), Retry::Unknown, "{error:?}");
    std::fs::write(&go, "").unwrap();
    until("begun\ndone\n").await;
    // What cannot have been begun may be told to another host.
    std::fs::remove_file(&mark).unwrap();
    let error = remote
        .ask_once(&Cx::within(Duration::from_secs(3)), &access, None, &lines)
        .await
        .unwrap_err();
    assert_eq!(error.retryable(), Retry::Safe, "{error:?}");
    relay.mend();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(read(), "");
    // Nor is what arrives at a session that nobody hears any more.
    assert_eq!(remote.ask(&cx, &access, None, "echo there").await.unwrap(), "there\n");
    relay.mute();
    let error = remote
        .ask_once(&Cx::within(Duration::from_secs(2)), &access, None, &lines)
        .await
        .unwrap_err();
    assert_eq!(error.retryable(), Retry::Safe, "{error:?}");
    relay.mend();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(read(), "");
}

/// Waits until a file is there.
async fn there(file: &Path) {
    for _ in 0..400 {
        if file.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is not made", file.display());
}

async fn questions_have_a_session_in_common(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let ask = async |lines: &str| remote.ask(&cx(), &bed.access(), None, lines).await.unwrap();
    let lives = |shell: &str| Path::new("/proc").join(shell.trim()).exists();
    let shell = ask("echo $$; x=1; cd /; umask 0; exec 2>/dev/null").await;
    assert_eq!(ask("echo $$").await, shell);
    assert_eq!(
        ask("echo ${x-none}; umask; cat; [ \"$PWD\" = / ] || echo home").await,
        "none\n0022\nhome\n"
    );
    // What one has left behind does not speak in the answer to another.
    let said = bed.path("said");
    ask(&format!("(sleep 0.3; echo late; : >{}) &", said.display())).await;
    there(&said).await;
    assert_eq!(ask("echo mine").await, "mine\n");
    // What is asked meanwhile does not wait for an answer to something else.
    let (begun, go) = (bed.path("begun"), bed.path("go"));
    let lines = format!(
        ": >{}; until [ -e {} ]; do sleep 0.05; done; echo $$",
        begun.display(),
        go.display()
    );
    let patient = async {
        let cx = cx();
        remote.ask_once(&cx, &bed.access(), None, &lines).await
    };
    let (other, meanwhile) = tokio::join!(patient, async {
        there(&begun).await;
        let answer = ask("echo $$").await;
        std::fs::write(&go, "").unwrap();
        answer
    });
    assert_ne!(meanwhile, other.unwrap());
    // One that has died in the meantime is not missed.
    for once in [false, true] {
        let shell = ask("echo $$").await;
        assert!(
            Command::new("kill")
                .args(["-KILL", shell.trim()])
                .status()
                .unwrap()
                .success()
        );
        let answer = if once {
            remote.ask_once(&cx(), &bed.access(), None, "echo $$").await.unwrap()
        } else {
            ask("echo $$").await
        };
        assert!(answer != shell && lives(&answer), "{answer}");
    }
    // It goes when nobody asks.
    let last = ask("echo $$").await;
    for _ in 0..100 {
        if !lives(&last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a shell is kept for nobody");
}
