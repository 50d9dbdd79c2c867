//! Files and connections.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use encamp_core::{Accept, CopyIn, CopyOut, Dial, ErrorKind, Listen, SshAccess};
use encamp_remote::{Client, Remote};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::bed::{Bed, cases, cx, remote, run, shell, target};
use crate::relay::Relay;

cases!(
    files_go_in_and_out,
    what_cannot_be_copied_is_told,
    what_tar_says_is_understood_in_any_language,
    half_a_stream_is_no_whole_one,
    a_source_that_breaks_is_told,
    what_nobody_reads_is_packed_no_more,
    files_hold_up_no_command,
    ports_are_dialled_from_the_host,
    ports_are_listened_on_at_the_host,
    two_jump_hosts_are_gone_through,
    a_jump_hosts_key_is_checked_too,
);

fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn unpacked(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), content)
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    entries
}

fn stream(bytes: Vec<u8>) -> encamp_core::BoxRead {
    Box::pin(std::io::Cursor::new(bytes))
}

async fn files_go_in_and_out(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let access = bed.access();
    let folder = bed.path("new folder/it's -deep");
    let folder = folder.to_str().unwrap();
    let big = crate::bed::noise(5_000_000);
    let tar = packed(&[("a/b", b"small"), ("-big", &big)]);
    let a = CopyIn::new(target(), folder);
    remote.copy_in(&cx(), &access, None, &a, stream(tar)).await.unwrap();
    assert_eq!(std::fs::read(format!("{folder}/a/b")).unwrap(), b"small");
    for (path, names) in [
        (format!("{folder}/-big"), vec![("-big".to_owned(), big.clone())]),
        (
            format!("{folder}/a/"),
            vec![("a/".to_owned(), vec![]), ("a/b".to_owned(), b"small".to_vec())],
        ),
    ] {
        let a = CopyOut::new(target(), path);
        let mut out = remote.copy_out(&cx(), &access, None, &a).await.unwrap();
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).await.unwrap();
        assert!(unpacked(&bytes) == names, "{:?}", names[0].0);
    }
}

async fn what_cannot_be_copied_is_told(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let access = bed.access();
    let missing = CopyOut::new(target(), "/no/such");
    let error = remote
        .copy_out(&cx(), &access, None, &missing)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let relative = CopyOut::new(target(), "here");
    let error = remote
        .copy_out(&cx(), &access, None, &relative)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let no_folder = CopyIn::new(target(), "/proc/nowhere");
    let error = remote
        .copy_in(&cx(), &access, None, &no_folder, stream(packed(&[])))
        .await
        .unwrap_err();
    assert!(error.message().contains("/proc/nowhere"), "{error:?}");
    let garbage = CopyIn::new(target(), bed.path("garbage").to_str().unwrap());
    let error = remote
        .copy_in(&cx(), &access, None, &garbage, stream(vec![b'x'; 4096]))
        .await
        .unwrap_err();
    assert!(
        error
            .context()
            .any(|(key, value)| key == "said" && value.contains("tar")),
        "{error:?}"
    );
    let cut = packed(&[("a", &vec![7; 100_000])]);
    let short = CopyIn::new(target(), bed.path("short").to_str().unwrap());
    remote
        .copy_in(&cx(), &access, None, &short, stream(cut[..50_000].to_vec()))
        .await
        .unwrap_err();
}

async fn what_tar_says_is_understood_in_any_language(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    // A `tar` of the test's own, which speaks the language of its user.
    let tools = bed.path("tools");
    std::fs::create_dir(&tools).unwrap();
    let script = "#!/bin/sh\ntell() { [ \"$LC_ALL\" = C ] && echo \"tar: a: $1\" >&2 || echo \"tar: a: $2\" >&2; }\n\
                  case $1 in\n\
                  -cf) /bin/tar \"$@\"; tell 'file changed as we read it' 'Datei hat sich beim Lesen verändert'; exit 1 ;;\n\
                  *) cat >/dev/null; tell 'No space left on device' 'Kein Speicherplatz mehr'; exit 2 ;;\nesac\n";
    std::fs::write(tools.join("tar"), script).unwrap();
    std::fs::set_permissions(tools.join("tar"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut access = bed.access();
    let path = format!("PATH={}:/usr/bin:/bin", tools.display());
    access.prefix = ["env", &path, "LC_ALL=de_DE.UTF-8"].map(str::to_owned).to_vec();
    let a = CopyOut::new(target(), "/etc/hostname");
    let mut out = remote.copy_out(&cx(), &access, None, &a).await.unwrap();
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(unpacked(&bytes)[0].0, "hostname");
    let a = CopyIn::new(target(), bed.path("in").to_str().unwrap());
    let tar = stream(packed(&[("a", b"x")]));
    let error = remote.copy_in(&cx(), &access, None, &a, tar).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota, "{error:?}");
}

async fn half_a_stream_is_no_whole_one(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let relay = Relay::to(bed.port).await;
    let mut access = bed.access();
    access.port = relay.port;
    std::fs::write(bed.path("big"), vec![1; 20_000_000]).unwrap();
    let a = CopyOut::new(target(), bed.path("big").to_str().unwrap());
    let mut out = remote.copy_out(&cx(), &access, None, &a).await.unwrap();
    let mut first = vec![0; 100_000];
    out.read_exact(&mut first).await.unwrap();
    relay.cut().await;
    let error = out.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("broke while"), "{error}");
}

/// An archive with an end, and an error behind it.
struct Breaking(std::io::Cursor<Vec<u8>>);

impl AsyncRead for Breaking {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.0.position() == self.0.get_ref().len() as u64 {
            return Poll::Ready(Err(std::io::Error::other("the source broke")));
        }
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

async fn a_source_that_breaks_is_told(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let access = bed.access();
    let whole = packed(&[("a", b"a"), ("b", b"b")]);
    // Between two files, where tar takes it for a whole one, and behind the end.
    for length in [1024, whole.len()] {
        let source = Breaking(std::io::Cursor::new(whole[..length].to_vec()));
        let a = CopyIn::new(target(), bed.path("in").to_str().unwrap());
        let copied = remote.copy_in(&cx(), &access, None, &a, Box::pin(source)).await;
        let error = encamp_core::Report(&copied.unwrap_err()).to_string();
        assert!(error.contains("the source broke"), "{length}: {error}");
    }
}

async fn what_nobody_reads_is_packed_no_more(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let access = bed.access();
    let big = bed.path("big");
    std::fs::File::create(&big).unwrap().set_len(64 << 30).unwrap();
    let a = CopyOut::new(target(), big.to_str().unwrap());
    let mut out = remote.copy_out(&cx(), &access, None, &a).await.unwrap();
    out.read_exact(&mut [0; 4096]).await.unwrap();
    drop(out);
    for _ in 0..400 {
        if !is_packed(&bed) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is still packed");
}

/// Whether a tar packs something of this bed.
fn is_packed(bed: &Bed) -> bool {
    let folder = bed.folder.path().to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    lines.any(|line| line.starts_with("tar\0-cf") && line.contains(folder))
}

async fn files_hold_up_no_command(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let access = bed.access();
    std::fs::write(bed.path("big"), vec![1; 30_000_000]).unwrap();
    let a = CopyOut::new(target(), bed.path("big").to_str().unwrap());
    // Nobody reads it.
    let unread = remote.copy_out(&cx(), &access, None, &a).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(run(&remote, &access, shell("echo on")).await.unwrap().out, "on\n");
    // Nor does a command whose output nobody reads hold up others, nor its own signal; and nothing of it is lost.
    let mut process = remote
        .exec(&cx(), &access, None, shell("seq 1 1500000; exec yes"))
        .await
        .unwrap();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(run(&remote, &access, shell("echo on")).await.unwrap().out, "on\n");
    }
    let expected: String = (1..=1_500_000).map(|n| format!("{n}\n")).collect();
    let mut seen = vec![0; expected.len()];
    process.stdout.read_exact(&mut seen).await.unwrap();
    assert!(seen == expected.as_bytes(), "a hole or a repeat");
    process.control.signal(encamp_core::Signal::Kill).await.unwrap();
    drop(process.stdout);
    assert_eq!(process.control.wait().await.unwrap(), encamp_core::Exit::Code(137));
    drop(unread);
    bed.is_clean().await;
}

async fn ports_are_dialled_from_the_host(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let access = bed.access();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                all.reverse();
                stream.write_all(&all).await.unwrap();
            });
        }
    });
    for _ in 0..3 {
        let mut line = remote
            .dial(&cx(), &access, None, &Dial::new(target(), port))
            .await
            .unwrap();
        line.write_all(b"abc").await.unwrap();
        line.shutdown().await.unwrap();
        let mut answer = String::new();
        line.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "cba");
    }
    let error = remote
        .dial(&cx(), &access, None, &Dial::new(target(), 1))
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("127.0.0.1:1: connect"), "{error}");
    let forbidding = Bed::with("AllowTcpForwarding no");
    let error = remote
        .dial(&cx(), &forbidding.access(), None, &Dial::new(target(), port))
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
}

/// Listens on a port that nobody else has taken since it was looked for.
async fn listen_somewhere(remote: &Remote, access: &SshAccess) -> (u16, Box<dyn Accept>) {
    for _ in 0..10 {
        let looked = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = looked.local_addr().unwrap().port();
        drop(looked);
        match remote.listen(&cx(), access, None, &Listen::new(target(), port)).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            listening => return (port, listening.unwrap()),
        }
    }
    panic!("each port is taken");
}

async fn ports_are_listened_on_at_the_host(client: Client) {
    let (bed, remote) = (Bed::new(), remote(client));
    let access = bed.access();
    let (port, mut accept) = listen_somewhere(&remote, &access).await;
    for word in ["one", "two"] {
        let mut outside = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut inside = accept.accept().await.unwrap();
        outside.write_all(word.as_bytes()).await.unwrap();
        outside.shutdown().await.unwrap();
        let mut seen = String::new();
        inside.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, word);
        inside.write_all(b"back").await.unwrap();
        inside.shutdown().await.unwrap();
        let mut back = String::new();
        outside.read_to_string(&mut back).await.unwrap();
        assert_eq!(back, "back");
    }
    let taken = remote
        .listen(&cx(), &access, None, &Listen::new(target(), bed.port))
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict, "{taken:?}");
    // Dropping it gives the port back.
    drop(accept);
    for _ in 0..700 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    panic!("the port is still listened on");
}

async fn two_jump_hosts_are_gone_through(client: Client) {
    let (outer, inner, goal) = (Bed::new(), Bed::new(), Bed::new());
    let remote = remote(client);
    let mut access = goal.access();
    let mut second = inner.access();
    second.via = Some(Box::new(outer.access()));
    access.via = Some(Box::new(second));
    let ran = run(&remote, &access, shell("echo $SSH_CONNECTION; echo $XDG_RUNTIME_DIR"))
        .await
        .unwrap();
    assert!(ran.out.contains(&format!(" {}\n", goal.port)), "{ran:?}");
    assert!(ran.out.contains(goal.path("run").to_str().unwrap()), "{ran:?}");
    for bed in [&outer, &inner, &goal] {
        assert_eq!(bed.log().matches("Accepted publickey").count(), 1);
    }
}

async fn a_jump_hosts_key_is_checked_too(client: Client) {
    let (outer, goal) = (Bed::new(), Bed::new());
    let remote = remote(client);
    let mut access = goal.access();
    let mut jump = outer.access();
    jump.host_keys = vec![goal.host_key.clone()];
    access.via = Some(Box::new(jump));
    let error = run(&remote, &access, shell("true")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.message().contains(&outer.port.to_string()), "{error}");
    assert!(!goal.log().contains("Accepted"), "nobody went further");
}
