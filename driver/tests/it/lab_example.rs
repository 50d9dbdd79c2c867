//! The example with a lab of hosts, as its first lines say: on hosts alone, and with containers behind them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::bed::Bed;

/// The lab of a bed, for as long as this object is there.
struct Lab {
    script: PathBuf,
    /// What its name spaces and its line begin with.
    name: String,
}

impl Lab {
    #[track_caller]
    fn up(bed: &Bed, hosts: usize) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/lab");
        let copied = Command::new("cp").arg("-r").arg(from).arg(bed.path()).status();
        assert!(copied.is_ok_and(|status| status.success()), "it can be copied");
        let mut lab = Self {
            script: bed.path().join("lab/lab"),
            name: String::new(),
        };
        lab.grow(hosts);
        let name = bed.read("lab/.encamp/lab/name");
        name.split(' ').next().unwrap_or_default().clone_into(&mut lab.name);
        lab
    }

    /// Makes it so many.
    #[track_caller]
    fn grow(&self, hosts: usize) {
        let up = self.script(&["up", &hosts.to_string()]);
        assert!(up.status.success(), "{up:?}");
    }

    fn script(&self, arguments: &[&str]) -> Output {
        let mut script = Command::new(&self.script);
        script.args(arguments).output().expect("it can be started")
    }

    /// What a host says to a line for its shell.
    #[track_caller]
    fn says(&self, host: &str, line: &str) -> String {
        let config = self.script.with_file_name(".encamp/lab/ssh_config");
        let mut ssh = Command::new("ssh");
        let said = ssh.arg("-F").arg(config).args([host, line]).output();
        let said = said.expect("apt-get install openssh-client");
        assert!(said.status.success(), "{said:?}");
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// What of it is on this machine: name spaces, lines, control groups, processes, files.
    fn on_machine(&self) -> Vec<String> {
        let look = "ip netns list | grep \"^$1\"; ip -o link | grep \" $1\"
                    for g in $(sed -n 's/^cgroup2 \\([^ ]*\\) .*/\\1/p' /proc/mounts); do ls -d \"$g/$1\"*; done
                    grep -ls \"$2\" /proc/[0-9]*/mountinfo; ls -d \"$2/.encamp\"";
        let folder = self.script.parent().expect("it lies in a folder");
        let mut sh = Command::new("sh");
        sh.args(["-c", look, "sh", &self.name]).arg(folder).current_dir("/");
        let said = sh.output().expect("every machine has a shell");
        let lines = String::from_utf8_lossy(&said.stdout);
        lines.lines().map(str::to_owned).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.script(&["down"]);
    }
}

#[test]
fn hosts_of_a_lab_are_claimed_and_given_back() {
    let bed = Bed::new();
    let lab = Lab::up(&bed, 3);
    // Hosts are apart: one has what it has written, and others have not.
    lab.says("h1", "echo mine >/etc/motd.lab");
    assert_eq!(
        lab.says("h2", "hostname; ls /etc/motd.lab 2>/dev/null || echo none"),
        "h2\nnone\n"
    );
    assert!(!Path::new("/etc/motd.lab").exists());
    // They reach each other by name, though this machine forwards nothing between others.
    assert_eq!(lab.says("h2", "bash -c '</dev/tcp/h3/22 && echo reached'"), "reached\n");
    let ran = bed.encamp(&["run", "lab"]).exits(0);
    assert!(ran.stdout.contains("2 tasks, all passed"), "{ran}");
    let said = bed.read("encamp-out/artifacts/test/asks/client-0/output.log");
    assert!(said.contains("apples on h1"), "{said}");
    for host in ["h1", "h2", "h3"] {
        let left = lab.says(
            host,
            "grep ^state /var/lib/encamp/record; ls /var/lib/encamp/work; pgrep perl; echo looked",
        );
        assert_eq!(left, "state free\nlooked\n", "{host}");
    }
    assert!(!lab.on_machine().is_empty());
    let (again, down) = (lab.script(&["up"]), lab.script(&["down"]));
    assert!(again.status.success() && down.status.success(), "{again:?}{down:?}");
    assert_eq!(lab.on_machine(), [""; 0]);
    assert!(lab.script(&["down"]).status.success(), "there is none, which is fine");
}

#[test]
fn docker_stands_in_for_hosts_that_are_not_there() {
    let bed = Bed::with_docker();
    let lab = Lab::up(&bed, 1);
    lab.grow(2);
    bed.encamp(&["run", "lab/fallback.toml"]).exits(0);
    let mut all: Vec<_> = (0..3)
        .map(|n| bed.read(&format!("encamp-out/artifacts/test/look/node-{n}/output.log")))
        .map(|said| said.trim().rsplit(' ').next().unwrap_or_default().to_owned())
        .collect();
    all.sort_unstable();
    assert_eq!(all[..2], ["h1", "h2"], "{all:?}");
    assert!(all[2].starts_with("node-"), "{all:?}");
    lab.grow(1);
    assert!(!lab.on_machine().iter().any(|it| it.contains("-h2")));
    bed.nothing_is_left();
}
