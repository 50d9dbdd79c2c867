//! Into machines and out of them: files, connections, shells.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use rustix::process::Signal;

use crate::bed::{Bed, pair, signal};

fn up() -> Bed {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    bed
}

fn inside(bed: &Bed, script: &str) -> String {
    bed.encamp(&["exec", "client", "--", "sh", "-c", script])
        .exits(0)
        .stdout
}

#[test]
fn files_and_folders_go_in_as_with_docker_cp() {
    let bed = up();
    bed.write("conf/a", "alpha\n");
    bed.write("conf/deep/b", "beta\n");
    let ran = bed.encamp(&["cp", "conf/a", "client:/tmp"]).exits(0);
    assert_eq!(ran.stdout, "Copied 1 file, 6 bytes   to client:/tmp/a\n");
    bed.encamp(&["cp", "conf/a", "client:/tmp/renamed"]).exits(0);
    bed.encamp(&["cp", "conf/a", "client:srv/new/"]).exits(0);
    bed.encamp(&["cp", "conf", "client:/etc"]).exits(0);
    bed.encamp(&["cp", "conf", "client:/absent"]).exits(0);
    bed.encamp(&["cp", "conf/.", "client:/opt"]).exits(0);
    let found = inside(
        &bed,
        "cat /tmp/a /tmp/renamed /srv/new/a /etc/conf/deep/b /absent/deep/b /opt/a; stat -c %U /etc/conf/a",
    );
    assert_eq!(found, "alpha\nalpha\nalpha\nbeta\nbeta\nalpha\nroot\n");
    let ran = bed.encamp(&["cp", "conf", "client:/etc/hosts"]).exits(2);
    assert!(
        ran.stderr
            .contains("error[E0311]: `/etc/hosts` is there, and is no folder"),
        "{ran}"
    );
    let ran = bed.encamp(&["cp", "absent", "client:/tmp"]).exits(2);
    assert!(ran.stderr.contains("error[E0311]: absent cannot be read"), "{ran}");
    let ran = bed.encamp(&["cp", "conf", "elsewhere"]).exits(2);
    assert!(
        ran.stderr.contains("exactly one of the two sides must be MACHINE:PATH"),
        "{ran}"
    );
}

#[test]
fn files_and_folders_come_out_and_nothing_escapes() {
    let bed = up();
    inside(
        &bed,
        "mkdir -p /data/deep && echo one >/data/a && echo two >/data/deep/b && ln -s a /data/inner \
         && ln -s /etc/passwd /data/outer && ln -s ../../../../etc /data/deep/up && mkfifo /data/pipe \
         && chmod 4755 /data/a && ln -s /data /linked",
    );
    let ran = bed.encamp(&["cp", "client:/data", "out"]).exits(0);
    assert_eq!(ran.stdout, "Copied 2 files, 8 bytes   to out\n");
    for line in [
        "left out: outer: a link that leads out of the folder",
        "left out: deep/up: a link that leads out of the folder",
        "left out: pipe: neither a file, a folder nor a link",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    assert_eq!(bed.read("out/inner"), "one\n");
    assert_eq!(bed.read("out/deep/b"), "two\n");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(bed.path().join("out/a")).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o755);
    bed.encamp(&["cp", "client:/data", "out"]).exits(0);
    assert_eq!(bed.read("out/data/a"), "one\n");
    bed.encamp(&["cp", "client:/linked", "followed"]).exits(0);
    assert_eq!(bed.read("followed/a"), "one\n");
    bed.encamp(&["cp", "client:/data/.", "."]).exits(0);
    assert_eq!(bed.read("a"), "one\n");
    let ran = bed.encamp(&["cp", "client:/bin", "large", "--limit", "1KB"]).exits(2);
    assert!(
        ran.stderr
            .contains("error[E0311]: the files are larger than 1000 bytes"),
        "{ran}"
    );
    assert!(!bed.path().join("large").exists());
    let ran = bed.encamp(&["cp", "client:/nope", "."]).exits(3);
    assert!(ran.stderr.contains("error[E0404]: there is no path `/nope`"), "{ran}");
    assert!(
        ran.stderr.contains("while: cp pair, client on `docker`, step copy_out"),
        "{ran}"
    );
}

#[test]
fn tar_streams_pass() {
    let bed = up();
    bed.write("conf/a", "alpha\n");
    let packed = std::process::Command::new("tar")
        .args(["-c", "-C", &bed.path().display().to_string(), "conf"])
        .output()
        .unwrap();
    bed.encamp_with_input(&["cp", "-", "client:/streamed"], &packed.stdout)
        .exits(0);
    assert_eq!(inside(&bed, "cat /streamed/conf/a"), "alpha\n");
    let mut child = bed
        .command(&["cp", "client:/streamed", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut tar = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut tar).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(String::from_utf8_lossy(&tar).contains("streamed/conf/a"));
}

#[test]
fn many_connections_are_carried_at_once() {
    let bed = up();
    let mut child = bed.start(&["forward", "web", "http", "--json"]);
    let mut line = Vec::new();
    let stdout = child.stdout.as_mut().unwrap();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    let said: serde_json::Value = serde_json::from_slice(&line).unwrap();
    let local = u16::try_from(said["local"].as_u64().unwrap()).unwrap();
    assert_eq!(
        (said["port"].as_u64(), said["host"].as_str()),
        (Some(8080), Some("127.0.0.1"))
    );
    let mut streams: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", local)).unwrap())
        .collect();
    for stream in streams.iter_mut().rev() {
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(page.contains("hello"), "{page}");
    }
    let taken = bed.encamp(&["forward", "web", &format!("http:{local}")]).exits(2);
    assert!(
        taken.stderr.contains(&format!(
            "error[E0312]: port {local} of this host cannot be listened on"
        )),
        "{taken}"
    );
    signal(&child, Signal::INT);
    bed.ran(child).exits(130);
    assert!(TcpStream::connect(("127.0.0.1", local)).is_err());
    let ran = bed.encamp(&["forward", "web", "htpp"]).exits(2);
    assert!(ran.stderr.contains("declared are http 8080"), "{ran}");
}

#[test]
fn a_shell_is_the_users_own() {
    let bed = up();
    let ran = bed
        .encamp_with_input(&["shell", "client"], b"echo in $0; exit 7\n")
        .exits(7);
    assert_eq!(ran.stdout, "in sh\n");
    let ran = bed.on_terminal("shell client", "#", "stty size; exit 5\n").exits(5);
    assert!(ran.stdout.contains("24 100"), "{ran}");
}
