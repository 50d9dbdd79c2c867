//! A provider in shell: begun, checked, used, and refused where it cannot be trusted.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bed::{Bed, Ran, signal};
use crate::servers;

/// Machines of such a provider beside one of this host.
const FILE: &str = r#"
name = "mixed"
ttl = "10m"
[machines.shed]
provider = "lab"
lab.command = "echo open; exec sleep 1711.NUMBER"
ready = [{ log = "^open$", within = "20s" }]
[machines.here]
provider = "local"
local.command = "exec sleep 600"
[[stages]]
name = "look"
[[stages.tasks]]
name = "shed"
on = "shed"
run = "echo from the shed"
[[stages.tasks]]
name = "here"
on = "here"
run = "echo from here"
"#;

/// Tells processes of one test from those of another.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Lab {
    pub(crate) bed: Bed,
    number: u32,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let bed = Bed::with_local();
        bed.encamp(&["provider", "new", "lab"]).exits(0);
        let number = std::process::id() * 10 + NUMBERS.fetch_add(1, Ordering::Relaxed);
        bed.write("encamp.toml", &FILE.replace("NUMBER", &number.to_string()));
        Self { bed, number }
    }

    /// Machines of the lab lie in the bed.
    pub(crate) fn encamp(&self, arguments: &[&str]) -> Ran {
        let mut command = self.bed.command(arguments);
        command.env("ENCAMP__PLUGINS", "lab").env("TMPDIR", self.bed.path());
        self.bed.run(&mut command)
    }

    fn root(&self) -> PathBuf {
        let user = rustix::process::getuid().as_raw();
        self.bed.path().join(format!("encamp-lab-{user}"))
    }

    /// The folders of machines, once no process is left beside theirs of those that they were told to run, which have a
    /// number that nobody else has: what was killed ends a moment later.
    pub(crate) fn machines(&self) -> usize {
        let folders = || std::fs::read_dir(self.root()).map_or(0, Iterator::count);
        let last = std::cell::Cell::new(0);
        self.bed.until("the end of processes without a machine", || {
            let before = folders();
            let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            let at_work = all
                .filter(|entry| {
                    std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == self.sleeps().as_bytes())
                })
                .count();
            // One may have been made in between.
            last.set(folders());
            at_work <= before.max(last.get())
        });
        last.get()
    }

    /// Ends what a provider that is broken has left: all that was started with this bed among its variables.
    pub(crate) fn end_all(&self) {
        let bed = self.bed.path().display().to_string();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(process) = number.and_then(rustix::process::Pid::from_raw) else {
                continue;
            };
            let variables = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if variables.windows(bed.len()).any(|piece| piece == bed.as_bytes()) {
                // It may have ended by now.
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
    }

    fn sleeps(&self) -> String {
        format!("sleep\01711.{}\0", self.number)
    }
}

#[test]
fn a_new_provider_keeps_every_promise() {
    let lab = Lab::new();
    let script = lab.bed.read("lab/lab.sh");
    assert!(script.lines().count() <= 40, "{}", script.lines().count());
    let checked = lab.encamp(&["provider", "check", "lab", "--kill"]).exits(0);
    let last = checked.stdout.lines().last().unwrap_or_default().to_owned();
    assert!(last.contains(" 0 broken"), "{last}");
    let held: usize = last
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    assert!(held >= 20, "{checked}");
    assert_eq!(lab.machines(), 0);
}

#[test]
fn a_provider_that_forgets_is_found_out() {
    let lab = Lab::new();
    let script = lab.bed.read("lab/lab.sh");
    // It lists nothing, and says that this was everything.
    let broken = script.replace("[ -d \"$at/home\" ] || continue", "continue");
    assert_ne!(script, broken);
    std::fs::write(lab.bed.path().join("lab/lab.sh"), broken).expect("it can be written");
    let checked = lab
        .encamp(&["provider", "check", "lab", "--only", "listing", "--within", "1s"])
        .exits(3);
    assert!(checked.stdout.contains("broken "), "{checked}");
}

#[test]
fn machines_of_a_script_stand_beside_others() {
    let lab = Lab::new();
    let ran = lab.encamp(&["run"]).exits(0);
    assert!(
        ran.stderr.contains("from the shed") && ran.stderr.contains("from here"),
        "{ran}"
    );
    assert_eq!(lab.machines(), 0);
    lab.encamp(&["up"]).exits(0);
    assert_eq!(lab.machines(), 1);
    let said = lab
        .encamp(&["exec", "shed", "--", "sh", "-c", "echo in; exit 7"])
        .exits(7);
    assert_eq!(said.stdout, "in\n");
    let listed = lab.encamp(&["provider", "ls"]).exits(0).stdout;
    let row = listed.lines().find(|line| line.starts_with("lab ")).unwrap_or_default();
    assert!(
        row.contains("lab/lab.provider.toml") && row.contains("answers in"),
        "{listed}"
    );
    // Without the plugin its machines are named, and not forgotten.
    let down = lab.bed.encamp(&["down", "-e", "mixed"]);
    assert_eq!(down.code, 4, "{down}");
    assert!(down.to_string().contains("lab"), "{down}");
    assert_eq!(lab.machines(), 1);
    lab.encamp(&["down", "-e", "mixed"]).exits(0);
    assert_eq!(lab.machines(), 0);
}

#[test]
fn what_others_may_write_is_not_run() {
    let lab = Lab::new();
    let set = |path: &str, mode: u32| {
        let path = lab.bed.path().join(path);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("this host can be asked");
    };
    for (path, right, wrong) in [
        ("lab/lab.provider.toml", 0o644, [0o666, 0o664]),
        ("lab/lab.sh", 0o755, [0o777, 0o775]),
        ("lab", 0o755, [0o777, 0o775]),
    ] {
        for wrong in wrong {
            set(path, wrong);
            let refused = lab.encamp(&["provider", "ls"]).exits(2);
            assert!(
                refused.stderr.contains("others may write it") && refused.stderr.contains("chmod go-w"),
                "{path} {wrong:o}: {refused}"
            );
        }
        set(path, right);
    }
    lab.encamp(&["provider", "ls"]).exits(0);
    let at = |path: &str| lab.bed.path().join(path);
    std::fs::rename(at("lab/lab.provider.toml"), at("manifest")).expect("it is there");
    std::os::unix::fs::symlink(at("manifest"), at("lab/lab.provider.toml")).expect("it can be made");
    let refused = lab.encamp(&["provider", "ls"]).exits(2);
    assert!(refused.stderr.contains("it is a link"), "{refused}");
}

#[test]
fn what_is_written_anew_can_be_used_whatever_the_umask() {
    let bed = Bed::with_local();
    let mut making = std::process::Command::new("sh");
    let program = env!("CARGO_BIN_EXE_encamp");
    making.args(["-c", "umask 0; exec \"$@\"", "sh", program, "provider", "new", "lab"]);
    making.current_dir(bed.path()).env("HOME", bed.path().join("home"));
    bed.run(&mut making).exits(0);
    let mut listing = bed.command(&["provider", "ls"]);
    bed.run(listing.env("ENCAMP__PLUGINS", "lab")).exits(0);
}

#[test]
fn what_cannot_be_loaded_takes_no_other_from_a_keeper() {
    let lab = Lab::new();
    lab.bed.write("bad/bad.provider.toml", "nothing = 1\n");
    let manifest = lab.bed.read("lab/lab.provider.toml");
    lab.bed.write(
        "twice/lab.provider.toml",
        &manifest.replace("./lab.sh", "../lab/lab.sh"),
    );
    let mut keeper = lab.bed.command(&[]);
    keeper
        .env("ENCAMP_HELPER", "keeper 1 /nonexistent/request.json")
        .env("ENCAMP__PLUGINS", "bad,gone,lab,twice");
    let told = lab.bed.run(&mut keeper).exits(2).stderr;
    for (what, why) in [
        ("bad/bad.provider.toml", "unknown field"),
        ("gone", "No such file"),
        ("twice/lab.provider.toml", "/lab/lab.provider.toml"),
    ] {
        assert!(told.contains(what) && told.contains(why), "{what}: {told}");
    }
}

/// Paths of the command that started it mean nothing where a keeper stands.
#[test]
fn a_keeper_ends_the_machines_of_a_script() {
    let lab = Lab::new();
    let file = FILE.replace("NUMBER", &lab.number.to_string());
    lab.bed.write(
        "encamp.toml",
        &file.replace("run = \"echo from the shed\"", "run = \"sleep 600\""),
    );
    let mut running = lab.bed.command(&["run"]);
    running
        .env("ENCAMP__PLUGINS", "lab")
        .env("TMPDIR", lab.bed.path())
        .env("ENCAMP__KEEPER", "true")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut run = running.spawn().expect("it starts");
    lab.bed.until("the machine", || lab.machines() == 1);
    run.kill().expect("it runs");
    run.wait().expect("it was killed");
    lab.bed.until("the end of the machine", || lab.machines() == 0);
    // What is left of it here ends too.
    lab.bed.until("the end of the environment", || {
        lab.bed
            .encamp(&["ls"])
            .stdout
            .lines()
            .all(|line| !line.contains("mixed"))
    });
}

#[test]
fn a_check_that_is_interrupted_leaves_nothing() {
    let lab = Lab::new();
    let mut checking = lab.bed.command(&["provider", "check", "lab"]);
    checking.env("ENCAMP__PLUGINS", "lab").env("TMPDIR", lab.bed.path());
    checking
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let child = checking.spawn().expect("it starts");
    lab.bed.until("a machine", || lab.machines() > 0);
    signal(&child, rustix::process::Signal::INT);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains(" 0 broken"), "{said}");
    assert_eq!(lab.machines(), 0);
}

#[test]
fn a_check_of_nothing_is_refused() {
    let lab = Lab::new();
    let refused = lab.encamp(&["provider", "check", "lab", "--only", "lisitng"]).exits(2);
    assert!(refused.stderr.contains("`lisitng`"), "{refused}");
}

#[test]
fn a_project_brings_no_plugins() {
    let lab = Lab::new();
    lab.bed.write(".encamp/settings.toml", "plugins = [\"../lab\"]\n");
    let refused = lab.bed.encamp(&["plan"]).exits(2);
    assert!(refused.stderr.contains("may name no `plugins`"), "{refused}");
}

/// Machines that are SSH servers of this host, of which the script says no more than where they are.
const SERVERS: &str = r#"
login=$root/login
[ -e "$login" ] || ssh-keygen -q -t ed25519 -N '' -f "$login" 2>/dev/null || sleep 1
case $1 in
create)
    if [ -s "$at/port" ]; then exit; fi
    mkdir -p "$at"
    ssh-keygen -q -t ed25519 -N '' -f "$at/host" <&- || :
    port=$((21000 + $(echo "$ENCAMP_KEY" | cksum | cut -d' ' -f1) % 10000))
    printf '%s\n' 'ListenAddress 127.0.0.1' "HostKey $at/host" "PidFile $at/pid" 'UsePAM no' 'StrictModes no' \
        'PermitRootLogin yes' "SetEnv HOME=$at" "AuthorizedKeysFile $login.pub" >"$at/config"
    serve
    echo $port >"$at/port" ;;
destroy)
    if [ -s "$at/pid" ]; then kill "$(cat "$at/pid")"; fi
    rm -rf "$at" ;;
list)
    for one in "$root/$ENCAMP_PREFIX"*; do
        [ -s "$one/port" ] || continue
        printf '{"key":"%s","access":{"ssh":{"host":"127.0.0.1","port":%s,"user":"root","identity":{"file":"%s"},"host_keys":["%s"]}}}\n' \
            "${one##*/}" "$(cat "$one/port")" "$login" "$(cut -d' ' -f1,2 "$one/host.pub")"
    done
    echo '{"complete":true}' ;;
esac
"#;

const OVER_SSH: &str = r#"
name = "remote"
ttl = "10m"
[machines.node]
provider = "servers"
setup = [{ copy = "data", to = "FOLDER/data" }, { run = "cat FOLDER/data/item >FOLDER/seen" }]
ready = [{ file = "FOLDER/seen", within = "20s" }]
[machines.here]
provider = "local"
[[stages]]
name = "look"
[[stages.tasks]]
name = "node"
on = "node"
run = "test -n \"$SSH_CONNECTION\" && cat FOLDER/seen"
[[stages.tasks]]
name = "here"
on = "here"
run = "echo from here"
"#;

#[test]
fn access_as_data_is_all_that_a_machine_over_ssh_needs() {
    let bed = Bed::with_local();
    let folder = bed.path().join("inside").display().to_string();
    bed.write("encamp.toml", &OVER_SSH.replace("FOLDER", &folder));
    bed.write("data/item", "forty-two\n");
    servers::write(&bed, "[capabilities]\naccess = \"ssh\"\n", SERVERS);
    let encamp = |arguments: &[&str]| servers::encamp(&bed, arguments);
    let ran = encamp(&["run"]).exits(0);
    assert!(
        ran.stderr.contains("forty-two") && ran.stderr.contains("from here"),
        "{ran}"
    );
    encamp(&["up"]).exits(0);
    encamp(&["exec", "node", "--", "sh", "-c", "exit 7"]).exits(7);
    encamp(&["cp", &format!("node:{folder}/seen"), "back"]).exits(0);
    assert_eq!(bed.read("back"), "forty-two\n");
    encamp(&["down"]).exits(0);
    let left: Vec<_> = std::fs::read_dir(bed.path().join("servers"))
        .expect("it is there")
        .flatten()
        .collect();
    assert!(
        left.iter()
            .all(|entry| entry.file_name().to_string_lossy().starts_with("login")),
        "{left:?}"
    );
}
