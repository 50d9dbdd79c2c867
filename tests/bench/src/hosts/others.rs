//! What others use to run a command on many hosts, each as its users call it.

use std::process::{Command, Stdio};

use super::lab::Lab;

/// What brings those that are not of Debian.
const INSTALL: &str = "python3 -m venv V && V/bin/pip install pyinfra parallel-ssh ansible-core, then PATH=V/bin:$PATH";

/// One of them.
pub(super) struct Other {
    pub(super) name: &'static str,
    /// A line for `sh` that succeeds where it is there.
    probe: &'static str,
    /// How it is had.
    install: &'static str,
    /// A line for `sh`: `$key`, `$known`, `$config` and `$inventory` are files of the lab, `$hosts` its addresses.
    line: &'static str,
}

/// A client a host, with a master and a session over it, as `ControlPersist` has it.
macro_rules! openssh {
    ($options:literal) => {
        concat!(
            "for h in $names; do (ssh -F \"$config\" ",
            $options,
            " -o ControlMaster=auto -o ControlPersist=60 -o ControlPath=\"$folder/%n.sock\" $h true || echo $h) & done >\"$folder/failed\" 2>&1; wait
             for h in $names; do ssh -o ControlPath=\"$folder/$h.sock\" -O exit $h & done 2>/dev/null; wait
             cat \"$folder/failed\"; [ ! -s \"$folder/failed\" ]"
        )
    };
}

const ALL: [Other; 5] = [
    Other {
        name: "OpenSSH, a master a host",
        probe: "command -v ssh",
        install: "apt-get install openssh-client",
        line: openssh!(""),
    },
    Other {
        name: "OpenSSH, a master a host, curve25519",
        probe: "command -v ssh",
        install: "apt-get install openssh-client",
        line: openssh!("-o KexAlgorithms=curve25519-sha256"),
    },
    Other {
        name: "pyinfra",
        probe: "pyinfra --version",
        install: INSTALL,
        line: "exec pyinfra -y \"$folder/pyinfra_hosts.py\" exec -- true",
    },
    Other {
        name: "parallel-ssh",
        probe: "python3 -c 'import pssh.clients'",
        install: INSTALL,
        line: "exec python3 - $hosts <<END
import sys
from pssh.clients import ParallelSSHClient
hosts = sys.argv[1:]
client = ParallelSSHClient(hosts, user='root', pkey='$key', pool_size=len(hosts))
said = client.run_command('true')
client.join(said)
sys.exit(any(one.exit_code != 0 for one in said))
END",
    },
    Other {
        name: "ansible raw, 50 forks",
        probe: "ansible --version",
        install: INSTALL,
        // Connections that an earlier round has kept do not count.
        line: "export ANSIBLE_SSH_CONTROL_PATH_DIR=$(mktemp -d \"$folder/ansible.XXXX\")
exec ansible -i \"$inventory\" all -m raw -a true -f 50",
    },
];

/// Those that are on this machine; of the others it is said how they are had.
pub(super) fn there_are() -> Vec<Other> {
    let (there, missing): (Vec<_>, Vec<_>) = ALL.into_iter().partition(|other| {
        let mut probe = Command::new("sh");
        probe.args(["-c", other.probe]);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    for other in missing {
        println!("skipped: {} is not there: {}", other.name, other.install);
    }
    there
}

impl Other {
    pub(super) fn command(&self, lab: &Lab) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{SET}\n{}", self.line)]);
        command.env("lab", lab.folder()).env("HOME", lab.folder());
        command
    }
}

/// What the lines speak of, made once in the round that is not counted.
const SET: &str = r#"
files=$lab/.encamp/lab
folder=$lab/others
key=$files/key config=$files/ssh_config inventory=$files/inventory
hosts=$(cut -d' ' -f1 "$files/known_hosts")
names=$(sed -n 's/^Host //p' "$config")
mkdir -p "$folder"
{
    echo 'hosts = (['
    for host in $hosts; do echo "'$host',"; done
    echo "], {'ssh_user': 'root', 'ssh_key': '$key', 'ssh_known_hosts_file': '$files/known_hosts', 'ssh_strict_host_key_checking': 'yes'})"
} >"$folder/pyinfra_hosts.py"
"#;
