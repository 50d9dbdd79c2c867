//! A secret on a real machine: it gets there, and nothing else shows it.

use std::path::Path;
use std::process::Command;

use crate::bed::Bed;

const CANARY: &str = "c4nary/7Q+zwx&\"9";

const FILE: &str = r#"
name = "vault"
ttl = "10m"

[secrets]
token = { variable = "CANARY" }

[machines.web]
provider = "docker"
docker.image = "busybox:1.35"
docker.command = ["sh", "-c", "cat $TOKEN_FILE; cat /etc/app.conf; exec sleep 600"]
secrets = { TOKEN = "{{ secret('token') }}" }
setup = [
    { template = "app.conf.j2", to = "/etc/app.conf" },
    { run = "echo 'set up with {{ secret('token') }}'; cat $TOKEN_FILE >/tmp/got" },
]
services.teller = { run = "cat $TOKEN_FILE; sleep 600" }
ready = [{ run = "test \"$(cat /tmp/got)\" = \"$(cat $TOKEN_FILE)\"" }]

[[stages]]
name = "test"
[[stages.tasks]]
name = "says"
on = "web"
env = { TOKEN = "{{ secret('token') }}" }
run = "echo \"it is $TOKEN\"; ps -ef; test ${#TOKEN} -gt 10"
[[stages.tasks]]
name = "typed"
on = "web"
run = "echo '{{ secret('token') }}' | base64; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\\\0' ' ' | grep -c 'c4nar[y]' || echo unseen"
[[stages.tasks]]
name = "here"
on = "controller"
run = "echo '{{ secret('token') }}'; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\\\0' ' ' | grep -c 'c4nar[y]' || echo unseen"
[[stages.tasks]]
name = "fails"
on = "web"
allow_failure = true
run = "cat $TOKEN_FILE >&2; exit 1"
"#;

/// The forms in which a secret may show itself.
fn forms() -> Vec<Vec<u8>> {
    vec![
        CANARY.as_bytes().to_vec(),
        b"YzRuYXJ5LzdRK3p3eCYiO".to_vec(),
        b"c4nary%2F7Q%2Bzwx%26%229".to_vec(),
        b"c4nary/7Q+zwx&\\\"9".to_vec(),
    ]
}

fn shows(bytes: &[u8]) -> bool {
    forms()
        .iter()
        .any(|form| bytes.windows(form.len()).any(|window| window == form.as_slice()))
}

fn files_below(folder: &Path, all: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, all);
        } else {
            all.push(path);
        }
    }
}

#[track_caller]
fn nowhere_below(bed: &Bed, folder: &str) {
    let mut all = Vec::new();
    files_below(&bed.path().join(folder), &mut all);
    assert!(!all.is_empty(), "{folder} is empty");
    for path in all {
        assert!(
            !shows(&std::fs::read(&path).unwrap_or_default()),
            "{} shows it",
            path.display()
        );
    }
}

#[test]
fn a_secret_reaches_its_machine_and_nobody_else_sees_it() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", FILE);
    bed.write("app.conf.j2", "token={{ secret('token') }}\n");
    let encamp = |arguments: &[&str]| {
        let mut command = bed.command(arguments);
        command.env("CANARY", CANARY);
        bed.run(&mut command)
    };
    for arguments in [
        &["run"][..],
        &["up"],
        &["plan"],
        &["show"],
        &["logs"],
        &["logs", "web/teller"],
        &["--json", "ls"],
    ] {
        let ran = encamp(arguments).exits(0);
        assert!(
            !shows(ran.stdout.as_bytes()) && !shows(ran.stderr.as_bytes()),
            "{arguments:?}: {ran}"
        );
    }
    // It was there: what would have shown it says that it does not.
    let logs = encamp(&["logs", "web"]).exits(0).stdout;
    assert!(logs.contains("token=***"), "{logs}");
    let said = bed.read("encamp-out/artifacts/test/says/web/output.log");
    assert!(said.contains("it is ***"), "{said}");
    for (task, place) in [("typed", "web"), ("here", "controller")] {
        let said = bed.read(&format!("encamp-out/artifacts/test/{task}/{place}/output.log"));
        assert!(
            said.contains("unseen"),
            "a list of processes shows it to {task}: {said}"
        );
    }
    nowhere_below(&bed, "encamp-out");
    nowhere_below(&bed, "state");
    let containers = bed.on_daemon();
    assert!(!containers.is_empty());
    let inspected = Command::new("docker")
        .arg("inspect")
        .args(&containers)
        .output()
        .unwrap();
    assert!(inspected.status.success() && !shows(&inspected.stdout));
    let listed = encamp(&["exec", "web", "--", "ps", "-ef"]).exits(0).stdout;
    assert!(listed.contains("sleep 600") && !shows(listed.as_bytes()), "{listed}");
    // To look at it is what `exec` is for.
    let got = encamp(&["exec", "web", "--", "cat", "/tmp/got"]).exits(0).stdout;
    assert_eq!(got, CANARY);
    encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn a_secret_that_would_show_is_refused() {
    let bed = Bed::new();
    let visible = FILE.replace("secrets = {", "env = {");
    bed.write("encamp.toml", &visible);
    bed.write("app.conf.j2", "");
    let ran = bed.encamp(&["validate"]).exits(2);
    assert!(ran.stderr.contains("secrets"), "{ran}");
    let missing = bed.write("encamp.toml", FILE);
    let ran = bed.encamp(&["run"]).exits(2);
    assert!(ran.stderr.contains("CANARY"), "{ran} {}", missing.display());
}
