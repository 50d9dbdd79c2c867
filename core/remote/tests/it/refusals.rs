//! What goes wrong, each with what mends it.

use std::process::Command;
use std::time::Duration;

use encamp_core::{CopyIn, Cx, Error, ErrorKind, Exit, Identity, Retry, Signal, Size, SshAccess};
use encamp_remote::{Client, Remote};

use crate::bed::{Bed, Disk, cases, command, cx, done, finish, remote, run, shell, target};

cases!(
    an_unknown_key_is_told_with_how_to_trust_it,
    a_changed_key_is_refused_before_the_login,
    one_of_several_keys_is_enough,
    a_refused_login_is_told_with_what_was_offered,
    a_key_that_is_no_key_is_named,
    no_way_to_a_host_is_told,
    a_host_without_a_shell_is_told,
    a_login_without_a_shell_in_its_path_is_told,
    a_guard_that_refuses_is_told,
    a_guards_reason_is_the_error,
    a_full_disk_is_told,
    a_disk_that_is_full_under_files_is_told,
    a_disk_that_fills_up_is_a_lost_outcome,
    no_session_at_all_is_told,
    a_server_that_drops_logins_is_asked_again,
    an_environments_key_must_be_known,
);

async fn fails(remote: &Remote, access: &SshAccess) -> Error {
    let within = Cx::within(Duration::from_secs(15));
    match remote.exec(&within, access, None, command(&["true"])).await {
        Ok(_) => panic!("it was let in"),
        Err(error) => error,
    }
}

fn fact<'a>(error: &'a Error, name: &str) -> &'a str {
    error
        .context()
        .find(|(key, _)| *key == name)
        .map_or("", |(_, value)| value)
}

/// As OpenSSH's own tool prints it.
fn fingerprint(bed: &Bed, key: &str) -> String {
    let output = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(bed.path(key))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

async fn an_unknown_key_is_told_with_how_to_trust_it(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut access = bed.access();
    access.host_keys.clear();
    let error = fails(&remote, &access).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let seen = fingerprint(&bed, "host");
    assert_eq!(fact(&error, "seen"), seen);
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(&format!("encamp trust [127.0.0.1]:{} {seen}", bed.port)),
        "{hint}"
    );
    assert!(!bed.log().contains("Accepted"), "{}", bed.log());
}

async fn a_changed_key_is_refused_before_the_login(client: Client) {
    let (bed, remote) = (Bed::with("LogLevel DEBUG1"), remote(client));
    let mut access = bed.access();
    access.host_keys = vec![
        std::fs::read_to_string(bed.path("stranger.pub"))
            .unwrap()
            .trim()
            .to_owned(),
    ];
    let error = fails(&remote, &access).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    assert_eq!(fact(&error, "seen"), fingerprint(&bed, "host"));
    assert_eq!(fact(&error, "expected"), fingerprint(&bed, "stranger"));
    assert!(!error.hint().unwrap().contains("encamp trust"), "{error:?}");
    let log = bed.log();
    assert!(!log.contains("userauth-request") && !log.contains("Accepted"), "{log}");
}

async fn one_of_several_keys_is_enough(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut access = bed.access();
    let stranger = std::fs::read_to_string(bed.path("stranger.pub"))
        .unwrap()
        .trim()
        .to_owned();
    access.host_keys.insert(0, stranger);
    assert_eq!(
        run(&remote, &access, shell("echo in")).await.unwrap(),
        done(0, "in\n", "")
    );
}

async fn a_refused_login_is_told_with_what_was_offered(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let error = fails(&remote, &bed.access_as(&bed.path("stranger"))).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(
        fact(&error, "offered").contains(&fingerprint(&bed, "stranger")),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("authorized_keys"), "{error:?}");
    let mut wrong_user = bed.access();
    wrong_user.user = "nobody-here".into();
    let error = fails(&remote, &wrong_user).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.message().contains("nobody-here@127.0.0.1"), "{error}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("~nobody-here/.ssh/authorized_keys") && hint.contains("is the user right?"),
        "{hint}"
    );
}

async fn a_key_that_is_no_key_is_named(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    std::fs::write(bed.path("broken"), "no key\n").unwrap();
    for name in ["broken", "missing"] {
        let error = fails(&remote, &bed.access_as(&bed.path(name))).await;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}: {error:?}");
        assert_eq!(fact(&error, "file"), bed.path(name).to_str().unwrap());
    }
}

async fn no_way_to_a_host_is_told(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut closed = bed.access();
    closed.port = 1;
    let error = fails(&remote, &closed).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("127.0.0.1:1: connection refused"), "{error}");
    assert!(error.hint().unwrap().contains("is sshd running there"), "{error:?}");
    let mut nameless = bed.access();
    nameless.host = "no-such-host.invalid".into();
    let error = fails(&remote, &nameless).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert_eq!(error.hint(), Some("see `getent hosts no-such-host.invalid`"));
    let mut routeless = bed.access();
    // No connection leads to a group of hosts, whatever routes there are.
    routeless.host = "224.0.0.1".into();
    let within = Cx::within(Duration::from_secs(3));
    let error = remote
        .exec(&within, &routeless, None, command(&["true"]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("no way to root@224.0.0.1"), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(&format!("ssh -p {} root@224.0.0.1", bed.port)) && hint.contains("firewall"),
        "{hint}"
    );
}

async fn a_host_without_a_shell_is_told(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut access = bed.access();
    access.prefix = ["env", "PATH=/nowhere"].map(str::to_owned).to_vec();
    let error = fails(&remote, &access).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.hint().unwrap().contains("POSIX sh"), "{error:?}");
}

/// Whatever is asked of a host, that it can run nothing is told alike.
async fn a_login_without_a_shell_in_its_path_is_told(client: Client) {
    let (bed, remote) = (Bed::with("SetEnv PATH=/nowhere"), remote(client));
    let access = bed.access();
    let mut on_terminal = command(&["true"]);
    on_terminal.tty = Some(Size::new(24, 80));
    let into = CopyIn::new(target(), "/tmp");
    let nothing = Box::pin(tokio::io::empty());
    for error in [
        fails(&remote, &access).await,
        run(&remote, &access, on_terminal).await.unwrap_err(),
        remote.copy_in(&cx(), &access, None, &into, nothing).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        let at = format!("root@127.0.0.1:{} has no `sh`", bed.port);
        assert!(error.message().starts_with(&at), "{error:?}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("POSIX sh") && hint.contains("PATH of logins"), "{hint}");
    }
}

async fn a_guard_that_refuses_is_told(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut access = bed.access();
    access.prefix = ["sh", "-c", "echo held by another >&2; exit 75"]
        .map(str::to_owned)
        .to_vec();
    let error = fails(&remote, &access).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    assert_eq!(fact(&error, "said"), "held by another");
}

async fn a_guards_reason_is_the_error(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let held = bed.path("held");
    // It tells its reason from the file `held`, and lets all through without one.
    let guard = bed.path("guard");
    let script = format!(
        "#!/bin/sh\n[ -e {0} ] || exec \"$@\"\necho a greeting >&2\ncat {0} >&2\nexit $STATUS\n",
        held.display()
    );
    std::fs::write(&guard, script).unwrap();
    std::fs::set_permissions(&guard, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let guarded = |status: &str| {
        let mut access = bed.access();
        access.prefix = ["env", &format!("STATUS={status}"), guard.to_str().unwrap()]
            .map(str::to_owned)
            .to_vec();
        access
    };
    let is_held = |error: &Error| {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        assert_eq!(error.retryable(), Retry::Never, "{error:?}");
        let message = format!("root@127.0.0.1:{}: held by `lab` since 10:00", bed.port);
        assert_eq!(error.message(), message);
    };
    let access = guarded("254");
    let mut process = remote
        .exec(&cx(), &access, None, command(&["sleep", "60"]))
        .await
        .unwrap();
    std::fs::write(&held, "encamp-guard: held by `lab` since 10:00\n").unwrap();
    is_held(&fails(&remote, &access).await);
    let mut on_terminal = command(&["true"]);
    on_terminal.tty = Some(Size::new(24, 80));
    is_held(&run(&remote, &access, on_terminal).await.unwrap_err());
    let a = CopyIn::new(target(), bed.path("in").to_str().unwrap());
    let copied = remote
        .copy_in(&cx(), &access, None, &a, Box::pin(tokio::io::empty()))
        .await;
    is_held(&copied.unwrap_err());
    is_held(&process.control.signal(Signal::Kill).await.unwrap_err());
    // Another status, or another line, is not its word.
    let error = fails(&remote, &guarded("1")).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    std::fs::write(&held, "held by `lab`\n").unwrap();
    let error = fails(&remote, &access).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    std::fs::remove_file(&held).unwrap();
    process.control.signal(Signal::Kill).await.unwrap();
    assert_eq!(finish(process).await.exit, Exit::Code(137));
}

async fn a_full_disk_is_told(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let _disk = Disk::of(&bed, "64k");
    // As much as there is room for.
    let _ = std::fs::write(bed.path("run/full"), vec![0; 1 << 20]);
    let error = fails(&remote, &bed.access()).await;
    assert_eq!(error.kind(), ErrorKind::Quota, "{error:?}");
    assert!(error.message().contains("is full at"), "{error}");
    assert!(error.hint().unwrap().starts_with("make room below "), "{error:?}");
    let mut on_terminal = command(&["true"]);
    on_terminal.tty = Some(Size::new(24, 80));
    let error = run(&remote, &bed.access(), on_terminal).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota, "{error:?}");
    assert!(error.hint().unwrap().starts_with("make room below "), "{error:?}");
    assert_eq!(bed.left_behind().len(), 1);
}

async fn a_disk_that_is_full_under_files_is_told(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let _disk = Disk::of(&bed, "64k");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1 << 20);
    header.set_mode(0o640);
    tar.append_data(&mut header, "big", &*vec![7; 1 << 20]).unwrap();
    let tar = Box::pin(std::io::Cursor::new(tar.into_inner().unwrap()));
    let folder = bed.path("run").display().to_string();
    let a = CopyIn::new(target(), &folder);
    let error = remote.copy_in(&cx(), &bed.access(), None, &a, tar).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota, "{error:?}");
    assert_eq!(
        error.hint(),
        Some(format!("make room below {folder} on the host").as_str())
    );
}

async fn a_disk_that_fills_up_is_a_lost_outcome(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let _disk = Disk::of(&bed, "600k");
    let process = remote
        .exec(&cx(), &bed.access(), None, shell("seq 1 500000; sleep 1"))
        .await
        .unwrap();
    let ended = finish(process).await;
    let Exit::Lost(how) = &ended.exit else {
        panic!("{:?}", ended.exit)
    };
    assert!(how.contains("disk of the host is full"), "{how}");
}

async fn no_session_at_all_is_told(client: Client) {
    let (bed, remote) = (Bed::with("MaxSessions 0"), remote(client));
    let error = fails(&remote, &bed.access()).await;
    assert_eq!(error.kind(), ErrorKind::Quota, "{error:?}");
    assert!(error.hint().unwrap().contains("MaxSessions"), "{error:?}");
}

async fn a_server_that_drops_logins_is_asked_again(client: Client) {
    let bed = Bed::with("MaxStartups 2");
    let access = bed.access();
    let all = (0..9).map(|_| {
        let access = &access;
        async move {
            let remote = remote(client);
            run(&remote, access, shell("echo in")).await
        }
    });
    for ran in futures_util::future::join_all(all).await {
        assert_eq!(ran.unwrap(), done(0, "in\n", ""));
    }
    assert!(bed.log().contains("MaxStartups"), "none was dropped: {}", bed.log());
}

async fn an_environments_key_must_be_known(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let mut access = bed.access();
    access.identity = Identity::Environment;
    assert_eq!(fails(&remote, &access).await.kind(), ErrorKind::Invalid);
    let process = remote
        .exec(&cx(), &access, Some(bed.path("user")), shell("echo in"))
        .await
        .unwrap();
    assert_eq!(finish(process).await, done(0, "in\n", ""));
}
