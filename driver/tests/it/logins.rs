//! The key that an environment has of its own, for machines that let it in.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::bed::{Bed, Ran};
use crate::servers;

/// Machines that are SSH servers of this host, which let in whom `create` is told. What each create was told is kept,
/// and the first one of each machine does not say what became of it.
const SERVERS: &str = r#"
case $1 in
create)
    told=$root/told-$ENCAMP_KEY
    if [ -e "$told" ]; then told=$told-again; fi
    cat >"$told"
    mkdir -p "$at"
    printf '%s\n' "${ENCAMP_LOGIN:?}" >"$at/authorized"
    [ -s "$at/host" ] || ssh-keygen -q -t ed25519 -N '' -f "$at/host"
    printf '%s\n' 'ListenAddress 127.0.0.1' "HostKey $at/host" "PidFile $at/pid" 'UsePAM no' 'StrictModes no' \
        'PermitRootLogin yes' "SetEnv HOME=$at" "AuthorizedKeysFile $at/authorized" >"$at/config"
    if [ -s "$at/port" ]; then
        port=$(cat "$at/port")
    else
        port=$((12000 + $(echo "$ENCAMP_KEY" | cksum | cut -d' ' -f1) % 7000))
    fi
    if [ -e "$TMPDIR/late" ]; then
        # What a script leaves behind is ended with it, but for what is in a session of its own by then.
        rm -f "$at/apart"
        setsid sh -c ': >"$0/apart"; sleep "$2"; exec /usr/sbin/sshd -f "$0/config" -p "$1" -E "$0/log"' \
            "$at" "$port" "$(cat "$TMPDIR/late")" >/dev/null 2>&1 &
        echo $! >"$at/later"
        until [ -e "$at/apart" ]; do sleep 0.05; done
    else
        serve
    fi
    echo $port >"$at/port"
    [ "$told" != "$root/told-$ENCAMP_KEY" ] ;;
destroy)
    for pid in pid later; do
        if [ -s "$at/$pid" ]; then kill -- "-$(cat "$at/$pid")" || :; fi
    done
    rm -rf "$at" ;;
list)
    for one in "$root/$ENCAMP_PREFIX"*; do
        [ -s "$one/port" ] || continue
        printf '{"key":"%s","access":{"ssh":{"host":"127.0.0.1","port":%s,"user":"root","host_keys":["%s"]}}}\n' \
            "${one##*/}" "$(cat "$one/port")" "$(cut -d' ' -f1,2 "$one/host.pub")"
    done
    echo '{"complete":true}' ;;
esac
"#;

const FILE: &str = r#"
name = "own"
ttl = "10m"
[machines.node]
provider = "servers"
[machines.other]
provider = "servers"
[machines.here]
provider = "local"
[[stages]]
name = "look"
[[stages.tasks]]
name = "node"
on = "node"
run = "test -n \"$SSH_CONNECTION\""
"#;

struct Lab(Bed);

impl Lab {
    fn new() -> Self {
        let bed = Bed::with_local();
        bed.write("encamp.toml", FILE);
        servers::write(&bed, "", SERVERS);
        Self(bed)
    }

    fn encamp(&self, arguments: &[&str]) -> Ran {
        servers::encamp(&self.0, arguments)
    }

    /// What creates were told: the first of each machine, and the last.
    fn told(&self) -> Vec<(String, String)> {
        let all = std::fs::read_dir(self.0.path().join("servers")).expect("it is there");
        let first = all.flatten().map(|entry| entry.path());
        let first = first.filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("told-") && !name.ends_with("-again")
        });
        let read = |path: &str| std::fs::read_to_string(path).expect("it is there");
        first
            .map(|path| path.display().to_string())
            .map(|path| (read(&path), read(&format!("{path}-again"))))
            .collect()
    }

    /// The keys of environments.
    fn keys(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.0.path().join("state/environments")).expect("it is there");
        let files = folders.flatten().map(|folder| folder.path().join("login"));
        files.filter(|file| file.exists()).collect()
    }
}

/// Who may log in, as a create was told.
fn login(told: &str) -> String {
    let from = told.split("\"login\":\"").nth(1).expect("it says who may log in");
    from.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn machines_let_in_the_environments_own_key() {
    let lab = Lab::new();
    lab.encamp(&["up"]).exits(0);
    for machine in ["node", "other"] {
        let said = lab.encamp(&[
            "exec",
            machine,
            "--",
            "sh",
            "-c",
            "echo \"${SSH_CONNECTION:+in}\"; exit 7",
        ]);
        assert_eq!(said.exits(7).stdout, "in\n", "{machine}");
    }
    let told = lab.told();
    assert_eq!(told.len(), 2, "{told:#?}");
    let key = login(&told[0].0);
    assert!(key.starts_with("ssh-ed25519 "), "{key}");
    for (first, again) in &told {
        assert_eq!(first, again, "the same request was not the same again");
        assert_eq!(login(first), key, "an environment has one key");
    }
    let keys = lab.keys();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode(&keys[0]), 0o600);
    assert_eq!(keys[0].parent().map(mode), Some(0o700));
    // What is private is told to nobody.
    let private = std::fs::read_to_string(&keys[0]).expect("it is ours");
    let line = private.lines().nth(3).expect("it has several lines");
    assert!(told.iter().all(|(told, _)| !told.contains(line)));
    lab.encamp(&["down"]).exits(0);
    assert!(lab.keys().is_empty(), "the key outlives its environment");

    // Another environment, or the same one later, has another key.
    lab.encamp(&["up"]).exits(0);
    let later = lab.told().into_iter().filter(|(told, _)| login(told) != key);
    assert_eq!(later.count(), 2);
    lab.encamp(&["down"]).exits(0);
    assert!(lab.keys().is_empty());
    // A run looks after nothing else once it is done.
    lab.encamp(&["run"]).exits(0);
    assert!(lab.keys().is_empty(), "the key outlives its run");
}

#[test]
fn a_key_that_a_crash_left_goes_with_the_next_command() {
    let lab = Lab::new();
    for verb in ["gc", "up"] {
        lab.encamp(&["up"]).exits(0);
        let keys = lab.keys();
        let private = std::fs::read(&keys[0]).expect("it is ours");
        lab.encamp(&["down"]).exits(0);
        // As whoever dies between the end of an environment and that of its key leaves it.
        std::fs::create_dir_all(keys[0].parent().expect("it is in a folder")).expect("a folder can be made");
        std::fs::write(&keys[0], private).expect("a file can be written");
        lab.encamp(&[verb]).exits(0);
        assert!(!lab.keys().contains(&keys[0]), "{verb}");
        lab.encamp(&["down"]);
    }
}

#[test]
fn who_needs_no_key_has_none() {
    let lab = Lab::new();
    lab.0.write(
        "encamp.toml",
        "name = \"own\"\nttl = \"10m\"\n[machines.here]\nprovider = \"local\"\n",
    );
    lab.encamp(&["up"]).exits(0);
    assert!(lab.keys().is_empty());
    lab.encamp(&["down"]).exits(0);
}

#[test]
fn a_server_that_comes_late_is_waited_for() {
    let lab = Lab::new();
    lab.0.write("late", "3");
    let node = "[machines.node]\nprovider = \"servers\"\n";
    assert!(FILE.contains(node));
    let waits = format!("{node}ready = [{{ ssh = true, within = \"20s\" }}]\n");
    lab.0.write("encamp.toml", &FILE.replace(node, &waits));
    let ran = lab.encamp(&["run", "--out", "out"]).exits(0);
    assert!(ran.stderr.contains("node ready"), "{ran}");
    lab.0.write("late", "600");
    let hurried = format!("{node}ready = [{{ ssh = true, within = \"5s\", every = \"100ms\" }}]\n");
    lab.0.write("encamp.toml", &FILE.replace(node, &hurried));
    let ran = lab.encamp(&["run"]).exits(3);
    assert!(ran.stderr.contains("node: `ssh` did not hold within 5s"), "{ran}");
    assert!(ran.stderr.contains("connection refused"), "{ran}");
}

#[test]
fn who_has_no_way_in_over_ssh_is_told_at_once() {
    let bed = Bed::with_local();
    bed.write(
        "encamp.toml",
        "name = \"own\"\n[machines.here]\nprovider = \"local\"\nready = [{ ssh = true, within = \"10m\" }]\n",
    );
    let ran = bed.encamp(&["up"]).exits(3);
    assert!(
        ran.stderr
            .contains("here: `ssh` cannot hold: its provider reaches it without SSH"),
        "{ran}"
    );
}
