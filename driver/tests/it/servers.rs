//! Machines that are SSH servers of this host, made by a script.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::bed::{Bed, Ran};

/// Starts a server as `$at/config` says, on `$port` or above where others listen there. sshd goes apart before it listens, so
/// its own end says nothing; the file with its number comes after.
const SERVE: &str = r#"#!/bin/sh -eu
serve() {
    until [ -s "$at/pid" ]; do
        : >"$at/log"
        /usr/sbin/sshd -f "$at/config" -p "$port" -E "$at/log"
        until [ -s "$at/pid" ]; do
            if grep -q 'Cannot bind' "$at/log"; then
                port=$((port + 1))
                break
            fi
            sleep 0.02
        done
    done
}
root=$TMPDIR/servers
at=$root/${ENCAMP_KEY:-}
mkdir -p "$root" /run/sshd
"#;

/// Writes the provider `servers`: a manifest that begins so, and a script that ends so.
pub(crate) fn write(bed: &Bed, head: &str, body: &str) {
    assert!(
        Path::new("/usr/sbin/sshd").exists(),
        "sshd is missing: apt-get install openssh-server"
    );
    let run: String = ["create", "destroy", "list"]
        .map(|verb| format!("{verb} = [\"./servers.sh\", \"{verb}\"]\n"))
        .concat();
    bed.write("lab/servers.provider.toml", &format!("{head}[run]\n{run}"));
    let script = bed.write("lab/servers.sh", &format!("{SERVE}{body}"));
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("this host can be asked");
}

/// `encamp` where that provider can be had.
pub(crate) fn encamp(bed: &Bed, arguments: &[&str]) -> Ran {
    let mut command = bed.command(arguments);
    command.env("ENCAMP__PLUGINS", "lab").env("TMPDIR", bed.path());
    bed.run(&mut command)
}
