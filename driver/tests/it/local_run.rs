//! Machines that are sandboxes on this host, by the program as its users have it.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::process::Signal;

use crate::bed::{Bed, pause, signal};

const FILE: &str = r#"
name = "camp"
ttl = "10m"

[secrets]
token = { variable = "CANARY" }

[machines.store]
provider = "local"
setup = [
    { copy = "data", to = "/srv/data" },
    { template = "app.conf.j2", to = "/etc/app/app.conf", mode = "0600" },
    { script = "prepare.sh" },
]
services.web = { run = "exec busybox httpd -f -p 127.0.0.1:$ENCAMP_PORT_HTTP -h /srv/data" }
ports = { http = 8080 }
secrets = { TOKEN = "{{ secret('token') }}" }
ready = [{ http = "http", path = "/item", within = "30s" }]

[machines.client]
provider = "local"
local.command = "echo waiting; exec sleep 600"
ready = [{ log = "^waiting$" }]
env = { STORE = "{{ machines.store.url('http') }}" }

[[stages]]
name = "test"
[[stages.tasks]]
name = "fetch"
on = "client"
run = "busybox wget -qO item $STORE/item && cat item && printf '<testsuite name=\"s\"><testcase name=\"one\"/></testsuite>' > report.xml"
junit = ["report.xml"]
artifacts = ["item"]
[[stages.tasks]]
name = "see"
on = "store"
run = "cat /etc/app/app.conf /srv/prepared; test \"$(cat $TOKEN_FILE)\" = canary-7 && stat -c %a /etc/app/app.conf"
"#;

fn camp() -> Bed {
    let bed = Bed::with_local();
    bed.write("encamp.toml", FILE);
    bed.write("data/item", "forty-two\n");
    bed.write("app.conf.j2", "me = {{ me.name }}\n");
    let script = bed.write("prepare.sh", "#!/bin/sh\necho prepared > /srv/prepared\n");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("this host can be asked");
    bed
}

fn encamp(bed: &Bed, arguments: &[&str]) -> crate::bed::Ran {
    bed.run(bed.command(arguments).env("CANARY", "canary-7"))
}

/// Nothing of a machine is left: no folder, no process.
#[track_caller]
fn nothing_is_left(bed: &Bed) {
    let machines = std::fs::read_dir(bed.path().join("state/sandboxes")).expect("this host can be asked");
    let left: Vec<_> = machines
        .map(|entry| {
            entry
                .expect("this host can be asked")
                .file_name()
                .into_string()
                .expect("this host can be asked")
        })
        .filter(|name| !name.starts_with(".id") && !name.starts_with(".abilities"))
        .collect();
    assert!(left.is_empty(), "left in the folder of machines: {left:?}");
    assert!(processes(bed).is_empty(), "processes are left");
}

/// The processes that stand for machines of this bed, or are of one.
fn processes(bed: &Bed) -> Vec<i32> {
    let folder = bed.path().join("state/sandboxes").to_string_lossy().into_owned();
    let id = std::fs::read_to_string(bed.path().join("state/sandboxes/.id")).unwrap_or_default();
    let cookie = format!(".{}", id.get(..8).unwrap_or("none"));
    let entries = std::fs::read_dir("/proc").expect("this host can be asked").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&environment).into_owned();
        let mut variables = text.split('\0');
        variables.any(|one| {
            one.starts_with("ENCAMP_HELPER=shim ") && one.contains(&folder)
                || one.starts_with("ENCAMP_COOKIE=") && one.ends_with(&cookie)
        })
    };
    pids.filter(ours).collect()
}

#[test]
fn a_file_runs_and_leaves_nothing() {
    let bed = camp();
    let ran = encamp(&bed, &["run"]).exits(0);
    for line in [
        "client | forty-two",
        "store | me = store",
        "store | prepared",
        "store | 600",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    assert_eq!(bed.read("encamp-out/artifacts/test/fetch/client/item"), "forty-two\n");
    assert!(bed.read("encamp-out/junit.xml").contains("one"));
    assert_eq!(bed.read("encamp-out/logs/client.log"), "waiting\n");
    nothing_is_left(&bed);
}

#[test]
fn an_environment_outlives_its_command_and_goes_with_down() {
    let bed = camp();
    encamp(&bed, &["up"]).exits(0);
    let before = processes(&bed);
    assert!(!before.is_empty());
    assert_eq!(
        bed.encamp(&["exec", "client", "--", "sh", "-c", "echo $HOSTNAME; exit 5"])
            .exits(5)
            .stdout,
        "client\n"
    );
    bed.encamp(&["exec", "client", "--", "sh", "-c", "kill -KILL $$"])
        .exits(137);
    assert_eq!(bed.encamp(&["logs", "client"]).exits(0).stdout, "waiting\n");
    bed.write("here", "copied\n");
    bed.encamp(&["cp", "here", "client:/srv/there"]).exits(0);
    bed.encamp(&["cp", "client:/srv/there", "back"]).exits(0);
    assert_eq!(bed.read("back"), "copied\n");
    assert!(!std::path::Path::new("/srv/there").exists());
    bed.encamp(&["stop", "client"]).exits(0);
    let down = bed.encamp(&["exec", "client", "--", "true"]);
    assert_ne!(down.code, 0, "{down}");
    encamp(&bed, &["start", "client"]).exits(0);
    assert_eq!(
        bed.encamp(&["exec", "client", "--", "cat", "/srv/there"])
            .exits(0)
            .stdout,
        "copied\n"
    );
    // The same file again changes nothing.
    let planned = encamp(&bed, &["plan"]).exits(0).stdout;
    assert!(planned.starts_with("camp   2 unchanged\n"), "{planned}");
    bed.encamp(&["down"]).exits(0);
    nothing_is_left(&bed);
}

#[test]
fn a_terminal_is_had() {
    let bed = camp();
    encamp(&bed, &["up"]).exits(0);
    let ran = bed.on_terminal(
        "exec client -- sh -c 'test -t 0 && sleep 0.5 && stty size; echo asked; read line; echo got $line; exit 6'",
        "asked",
        "typed\n",
    );
    assert_eq!(ran.code, 6, "{ran}");
    assert!(
        ran.stdout.contains("24 100") && ran.stdout.contains("got typed"),
        "{ran}"
    );
    bed.encamp(&["down"]).exits(0);
    nothing_is_left(&bed);
}

#[test]
fn no_disk_holds_a_secret() {
    let bed = camp();
    encamp(&bed, &["up"]).exits(0);
    let found = Command::new("grep")
        .args(["-rlF", "canary-7"])
        .arg(bed.path().join("state"))
        .output()
        .expect("this host can be asked");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    bed.encamp(&["down"]).exits(0);
    nothing_is_left(&bed);
}

#[test]
fn a_taken_port_has_its_code_and_place() {
    let bed = camp();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("this host can be asked");
    let port = listener.local_addr().expect("this host can be asked").port();
    let text = FILE.replace(
        "{ http = 8080 }",
        &format!("{{ http = {{ port = 8080, publish = {port} }} }}"),
    );
    bed.write("encamp.toml", &text);
    let ran = encamp(&bed, &["run"]);
    assert_ne!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains("error[E0415]: "), "{ran}");
    assert!(ran.stderr.contains(&port.to_string()), "{ran}");
    drop(listener);
    encamp(&bed, &["run"]).exits(0);
    nothing_is_left(&bed);
}

#[test]
fn a_lease_that_ends_takes_its_machines_without_anybody() {
    let bed = camp();
    bed.write("encamp.toml", &FILE.replace("ttl = \"10m\"", "ttl = \"20s\""));
    encamp(&bed, &["up"]).exits(0);
    // Whoever watches over it is not needed for that.
    let cookies = || processes(&bed);
    for _ in 0..600 {
        if cookies().is_empty() {
            break;
        }
        pause();
    }
    assert!(cookies().is_empty(), "machines outlive their lease");
    bed.encamp(&["down"]).exits(0);
    nothing_is_left(&bed);
}

#[test]
fn doctor_says_what_holds_machines() {
    let bed = Bed::with_local();
    let said = bed.encamp(&["doctor"]).stdout;
    assert!(said.contains("machines are ended by "), "{said}");
    bed.write("encamp-settings", "");
    let mut command = bed.command(&["doctor"]);
    command.env("ENCAMP__PROVIDERS__LOCAL__CAGE", "cookie");
    let said = bed.run(&mut command).stdout;
    assert!(said.contains("machines are ended by cookie; "), "{said}");
}

/// What encamp says is typed against the same store; what machines say is theirs.
#[test]
fn commands_to_type_keep_the_state_and_words_of_machines_stay() {
    let bed = Bed::with_local();
    bed.write(
        "encamp.toml",
        r#"
name = "words"
ttl = "10m"
[machines.web]
provider = "local"
local.command = "sleep 600"
[outputs]
hint = "{{ machines.web.name }}: encamp ls"
[[stages]]
name = "test"
[[stages.tasks]]
name = "says"
on = "web"
run = "echo encamp ls says it; exit 1"
"#,
    );
    let state = bed.path().join("other").display().to_string();
    let encamp = |arguments: &[&str]| bed.encamp(&[&["--state", &state], arguments].concat());
    let ran = encamp(&["run"]).exits(1);
    assert!(ran.stdout.contains("\n  encamp ls says it\n"), "{ran}");
    assert!(ran.stderr.contains(" web | encamp ls says it\n"), "{ran}");
    let again = "Again with the machines kept: encamp run --state [BED]/other --keep=on-failure\n";
    assert!(ran.stdout.contains(again), "{ran}");
    let up = encamp(&["up"]).exits(0);
    assert!(up.stdout.contains(" · hint web: encamp ls · "), "{up}");
    assert!(
        up.stdout.ends_with(" · encamp down --state [BED]/other ends it now\n"),
        "{up}"
    );
    let stopped = encamp(&["stop"]).exits(0);
    assert!(
        stopped
            .stdout
            .ends_with(" · encamp start --state [BED]/other MACHINE -e words brings it back\n"),
        "{stopped}"
    );
    let shown = encamp(&["show"]).exits(0);
    assert!(shown.stdout.contains("Outputs hint = web: encamp ls\n"), "{shown}");
    let doctor = encamp(&["doctor"]).stdout;
    let keeper = doctor.lines().find(|line| line.contains("words: none; ends "));
    assert!(keeper.is_some_and(|line| line.contains(") by itself")), "{doctor}");
    let json = encamp(&["show", "--json"]).exits(0);
    assert!(!json.stdout.contains("--state"), "{json}");
    encamp(&["down"]).exits(0);
}

#[test]
fn an_up_that_failed_and_is_interrupted_says_what_goes_on() {
    let bed = Bed::with_local();
    bed.write(
        "encamp.toml",
        r#"
name = "half"
ttl = "10m"
[machines.bad]
provider = "local"
local.command = "exit 3"
ready = [{ file = "/srv/never", within = "60s" }]
[machines.slow]
provider = "local"
local.command = "sleep 600"
ready = [{ file = "/srv/never", within = "60s" }]
"#,
    );
    let up = bed.start_telling(&["up"], "told");
    bed.until_told("told", "bad failed");
    signal(&up, Signal::INT);
    bed.ran(up).exits(130);
    let told = bed.read("told");
    assert!(told.contains("error[E0414]: bad: its process exited 3\n"), "{told}");
    assert!(
        told.ends_with(" · `encamp up` goes on, `encamp down` ends it\n"),
        "{told}"
    );
    bed.encamp(&["down"]).exits(0);
}
