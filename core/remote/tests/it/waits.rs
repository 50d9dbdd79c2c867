//! Calls that wait for a host: none of them for longer than its caller, and none because of another one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use encamp_core::{CopyIn, CopyOut, Cx, Dial, Error, ErrorKind, Listen, Result, Size, SshAccess};
use encamp_remote::{Client, Remote};
use futures_util::future::{BoxFuture, join_all};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, cases, cx, done, finish, remote, run, shell, target};
use crate::cuts::{Link, link};

cases!(
    a_host_that_never_speaks_holds_no_call,
    a_host_that_falls_silent_holds_no_call,
    who_waits_behind_a_login_gives_up_alone,
    a_login_that_nobody_waits_for_is_given_up,
    sessions_that_are_all_in_use_hold_no_call,
    a_host_has_one_connection_whatever_stands_before_commands,
    another_user_or_key_has_a_connection_of_its_own,
);

/// How much longer than its deadline a call may take here, where other tests run beside it; what would hold it does so for
/// longer.
const SLACK: Duration = Duration::from_secs(8);

/// Every call that goes to a host.
const CALLS: [&str; 7] = ["reach", "exec", "terminal", "copy in", "copy out", "dial", "listen"];

fn call<'a>(what: &'static str, remote: &'a Remote, access: &'a SshAccess, cx: Cx) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        match what {
            "reach" => remote.reach(&cx, access, None).await,
            "exec" => remote.exec(&cx, access, None, shell("sleep 30")).await.map(drop),
            "terminal" => {
                let mut exec = shell("sleep 30");
                exec.tty = Some(Size::new(24, 80));
                remote.exec(&cx, access, None, exec).await.map(drop)
            }
            "copy in" => {
                let endless = Box::pin(tokio::io::repeat(0));
                // Where nothing can be made.
                let a = CopyIn::new(target(), "/proc/encamp");
                remote.copy_in(&cx, access, None, &a, endless).await
            }
            "copy out" => {
                let a = CopyOut::new(target(), "/etc/hostname");
                remote.copy_out(&cx, access, None, &a).await.map(drop)
            }
            "dial" => remote.dial(&cx, access, None, &Dial::new(target(), 1)).await.map(drop),
            _ => remote
                .listen(&cx, access, None, &Listen::new(target(), 1))
                .await
                .map(drop),
        }
    })
}

/// What a call comes to that must be over within so long.
async fn over_within(limit: Duration, what: &str, call: impl Future<Output = Result<()>>) -> Error {
    match timeout(limit + SLACK, call).await {
        Ok(Err(error)) => error,
        Ok(Ok(())) => panic!("{what} came to something"),
        Err(elapsed) => panic!("{what} holds its caller for longer than {limit:?}: {elapsed}"),
    }
}

/// A port where connections are accepted, and nothing more; with how many of them are not closed again.
async fn mute() -> (u16, tokio::sync::watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (count, open) = tokio::sync::watch::channel(0);
    let count = Arc::new(count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            count.send_modify(|open| *open += 1);
            tokio::spawn(async move {
                let mut said = Vec::new();
                let _ = stream.read_to_end(&mut said).await;
                count.send_modify(|open| *open -= 1);
            });
        }
    });
    (port, open)
}

async fn a_host_that_never_speaks_holds_no_call(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let (port, _open) = mute().await;
    let mut access = bed.access();
    access.port = port;
    // Somebody who is patient is there first.
    let patient = CALLS.map(|what| call(what, &remote, &access, Cx::within(Duration::from_mins(1))));
    let others = async {
        sleep(Duration::from_millis(300)).await;
        let limit = Duration::from_millis(500);
        let late = CALLS.map(|what| over_within(limit, what, call(what, &remote, &access, Cx::within(limit))));
        for (what, error) in CALLS.into_iter().zip(join_all(late).await) {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}: {error:?}");
            assert!(
                error.message().contains("no way to root@127.0.0.1"),
                "{what}: {error:?}"
            );
        }
        // And whoever gives up before the deadline is told at once.
        let cancel = CancellationToken::new();
        let cancelled = CALLS.map(|what| {
            let cx = Cx::within(Duration::from_secs(15)).with_cancel(cancel.clone());
            over_within(limit, what, call(what, &remote, &access, cx))
        });
        let given_up = async {
            sleep(limit).await;
            cancel.cancel();
        };
        let (errors, ()) = tokio::join!(join_all(cancelled), given_up);
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
        }
    };
    tokio::select! {
        ended = futures_util::future::select_all(patient) => panic!("{:?}", ended.0),
        () = others => {}
    }
}

async fn a_host_that_falls_silent_holds_no_call(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let relay = crate::relay::Relay::to(bed.port).await;
    let mut access = bed.access();
    access.port = relay.port;
    // Whatever they need is there.
    for what in CALLS {
        let _ = call(what, &remote, &access, Cx::within(Duration::from_secs(2))).await;
    }
    relay.silence();
    let limit = Duration::from_millis(500);
    for what in CALLS.into_iter().filter(|what| *what != "reach") {
        let error = over_within(limit, what, call(what, &remote, &access, Cx::within(limit))).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}: {error:?}");
    }
}

async fn who_waits_behind_a_login_gives_up_alone(client: Client) {
    let Link {
        bed,
        relay,
        remote,
        access,
    } = link(client).await;
    relay.silence();
    let (short, long) = (Cx::within(Duration::from_millis(400)), cx());
    let first = async {
        let reached = remote.reach(&short, &access, None);
        let error = over_within(Duration::from_millis(400), "reach", reached).await;
        relay.mend();
        error
    };
    // They are asked in this order, so the second finds the login of the first.
    let (error, reached) = tokio::join!(first, remote.reach(&long, &access, None));
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    reached.unwrap();
    assert_eq!(relay.made.load(Ordering::Relaxed), 1, "the login was begun anew");
    assert_eq!(
        run(&remote, &access, shell("echo in")).await.unwrap(),
        done(0, "in\n", "")
    );
    assert_eq!(logins(&bed), 1);
}

async fn a_login_that_nobody_waits_for_is_given_up(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let (port, mut open) = mute().await;
    let mut access = bed.access();
    access.port = port;
    let limit = Duration::from_millis(400);
    for what in ["reach", "exec", "copy in"] {
        over_within(limit, what, call(what, &remote, &access, Cx::within(limit))).await;
        timeout(Duration::from_secs(15), open.wait_for(|open| *open == 0))
            .await
            .expect("the connection is closed")
            .unwrap();
    }
}

async fn sessions_that_are_all_in_use_hold_no_call(client: Client) {
    let (bed, remote) = (Bed::with("MaxSessions 1"), remote(client));
    let access = bed.access();
    let within = cx();
    let runs = (0..8).map(|_| remote.exec(&within, &access, None, shell("sleep 60")));
    let mut processes = Vec::new();
    for ran in join_all(runs).await {
        processes.push(ran.unwrap());
    }
    // Until then it must be learnt that no connection takes more.
    let limit = Duration::from_secs(5);
    let error = over_within(limit, "exec", call("exec", &remote, &access, Cx::within(limit))).await;
    assert_eq!(error.kind(), ErrorKind::Quota, "{error:?}");
    assert!(error.message().contains("in use"), "{error:?}");
    assert!(error.hint().unwrap().contains("MaxSessions"), "{error:?}");
    let limit = Duration::from_millis(500);
    let cancel = CancellationToken::new();
    let given_up = Cx::within(Duration::from_secs(15)).with_cancel(cancel.clone());
    let called = call("exec", &remote, &access, given_up);
    let (error, ()) = tokio::join!(over_within(limit, "exec", called), async {
        sleep(limit).await;
        cancel.cancel();
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
    // The place of one that ends is another one's.
    let waits = run(&remote, &access, shell("echo in"));
    let ends = async {
        sleep(Duration::from_millis(300)).await;
        let mut first = processes.pop().unwrap();
        first.control.signal(encamp_core::Signal::Kill).await.unwrap();
        finish(first).await
    };
    let (ran, _) = tokio::join!(waits, ends);
    assert_eq!(ran.unwrap(), done(0, "in\n", ""));
    for mut process in processes {
        process.control.signal(encamp_core::Signal::Kill).await.unwrap();
    }
    bed.is_clean().await;
}

/// How often somebody logged in.
fn logins(bed: &Bed) -> usize {
    bed.log().matches("Accepted publickey").count()
}

async fn a_host_has_one_connection_whatever_stands_before_commands(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let bare = bed.access();
    let with = |word: &str| {
        let mut access = bed.access();
        access.prefix = ["env".to_owned(), format!("GUARD={word}")].to_vec();
        access
    };
    // Another remark behind a key is no other key.
    let mut remarked = with("third");
    remarked.host_keys = vec![format!("{} and a remark", bed.host_key)];
    for (access, said) in [
        (&bare, "none"),
        (&with("first"), "first"),
        (&with("second"), "second"),
        (&remarked, "third"),
    ] {
        assert_eq!(
            run(&remote, access, shell("echo ${GUARD-none}")).await.unwrap(),
            done(0, &format!("{said}\n"), "")
        );
    }
    assert_eq!(logins(&bed), 1, "{}", bed.log());
    // At once, too.
    let other = crate::bed::remote(client);
    let (first, second) = (with("first"), with("second"));
    let all = [&bare, &first, &second].map(|access| run(&other, access, shell("exit 3")));
    for ran in join_all(all).await {
        assert_eq!(ran.unwrap(), done(3, "", ""));
    }
    assert_eq!(logins(&bed), 2, "{}", bed.log());
}

async fn another_user_or_key_has_a_connection_of_its_own(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    assert_eq!(
        run(&remote, &bed.access(), shell("exit 3")).await.unwrap(),
        done(3, "", "")
    );
    let stranger = bed.access_as(&bed.path("stranger"));
    let error = run(&remote, &stranger, shell("exit 3")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    let mut other_key = bed.access();
    other_key.host_keys.clear();
    let error = run(&remote, &other_key, shell("exit 3")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    let mut nobody = bed.access();
    nobody.user = "nobody-here".into();
    let error = run(&remote, &nobody, shell("exit 3")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    let mut through = bed.access();
    through.via = Some(Box::new(bed.access()));
    assert_eq!(run(&remote, &through, shell("exit 3")).await.unwrap(), done(3, "", ""));
    // The second login goes through a connection for that alone.
    assert_eq!(logins(&bed), 3, "{}", bed.log());
}
