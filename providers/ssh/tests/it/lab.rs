//! A lab: one OpenSSH server, which listens for each of its hosts on a port of its own.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

pub(crate) struct Lab {
    folder: TempDir,
    pub(crate) ports: Vec<u16>,
    process: Child,
}

impl Lab {
    /// Starts one with so many hosts.
    pub(crate) fn start(hosts: usize) -> io::Result<Self> {
        Self::start_with(hosts, "", "")
    }

    /// The same with further lines of `sshd_config`, within what a line for a shell does first.
    pub(crate) fn start_with(hosts: usize, more: &str, first: &str) -> io::Result<Self> {
        loop {
            // A port that was free may have been taken since.
            match Self::start_once(hosts, more, first) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                other => return other,
            }
        }
    }

    fn start_once(hosts: usize, more: &str, first: &str) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"])
                .arg(at(key));
            if !make.status()?.success() {
                return Err(io::Error::other("no key can be made"));
            }
        }
        fs::create_dir(at("run"))?;
        fs::create_dir_all("/run/sshd")?;
        // Held until all are drawn, so that none is drawn twice.
        let held = (0..hosts)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<Vec<_>, _>>()?;
        let ports = held
            .iter()
            .map(|one| Ok(one.local_addr()?.port()))
            .collect::<io::Result<Vec<_>>>()?;
        // What is set first counts.
        let mut lines = vec![more.to_owned()];
        lines.extend(ports.iter().map(|port| format!("Port {port}")));
        for (key, value) in [
            ("ListenAddress", Path::new("127.0.0.1")),
            ("HostKey", &at("host")),
            ("AuthorizedKeysFile", &at("user.pub")),
            // What this machine's user has a shell do first is not the hosts', and can take longer than all else.
            (
                "SetEnv",
                Path::new(&format!("XDG_RUNTIME_DIR={0} HOME={0}", at("run").display())),
            ),
        ] {
            lines.push(format!("{key} {}", value.display()));
        }
        let fixed = [
            "UsePAM no",
            "StrictModes no",
            "PidFile none",
            "MaxStartups 100",
            "PermitRootLogin prohibit-password",
        ];
        lines.extend(fixed.map(str::to_owned));
        fs::write(at("sshd_config"), lines.join("\n"))?;
        drop(held);
        // It ends with this process, whatever becomes of that: its standard input is the other end of a pipe. Sessions live a
        // little longer than the test, and would keep its output open.
        let line =
            format!("{first}\n/usr/sbin/sshd -D -f \"$1\" -E \"$2\" >/dev/null 2>&1 & read -r _; kill $!; wait $!");
        let process = Command::new("unshare")
            .args(["--mount", "sh", "-c", &line, "sh"])
            .args([at("sshd_config"), at("sshd.log")])
            .stdin(Stdio::piped())
            .spawn()?;
        let lab = Self { folder, ports, process };
        let said = || fs::read_to_string(lab.at("sshd.log")).unwrap_or_default();
        for _ in 0..3000 {
            let said = said();
            if said.contains("Address already in use") {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let listens = |port: &u16| said.contains(&format!("Server listening on 127.0.0.1 port {port}."));
            if lab.ports.iter().all(listens) {
                return Ok(lab);
            }
            #[expect(clippy::disallowed_methods, reason = "no runtime is needed to wait for a server")]
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(io::Error::other(said()))
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The settings of an instance with these hosts, `h0` and so on.
    pub(crate) fn settings(&self) -> Value {
        let key = fs::read_to_string(self.at("host.pub")).unwrap_or_default();
        let host = |(index, port): (usize, &u16)| {
            let folder = self.at(&format!("host-{index}"));
            let host = json!({ "host": "127.0.0.1", "port": port, "folder": folder, "host_keys": [key.trim()] });
            (format!("h{index}"), host)
        };
        let hosts: Map<String, Value> = self.ports.iter().enumerate().map(host).collect();
        json!({ "identity": self.at("user"), "ssh_config": "/dev/null", "grace": "1s", "hosts": hosts })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
