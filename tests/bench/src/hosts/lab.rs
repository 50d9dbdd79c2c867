//! The lab of `examples/lab`, in a folder of its own and for as long as its object.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Failure;

pub(super) struct Lab {
    folder: TempDir,
}

impl Lab {
    pub(super) fn new() -> Result<Self, Failure> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lab/lab");
        let folder = tempfile::tempdir()?;
        std::fs::copy(script, folder.path().join("lab"))?;
        Ok(Self { folder })
    }

    /// Makes it so many hosts.
    pub(super) fn grow(&mut self, hosts: usize) -> Result<(), Failure> {
        let mut command = Command::new(self.folder.path().join("lab"));
        super::finished(command.args(["up", &hosts.to_string()]), "lab up")
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the lab's.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(".encamp/lab").join(name)
    }

    /// The settings by which encamp knows it.
    pub(super) fn settings(&self) -> Result<String, Failure> {
        Ok(std::fs::read_to_string(
            self.folder.path().join(".encamp/settings.toml"),
        )?)
    }

    /// Each host's address and public key.
    pub(super) fn hosts(&self) -> Result<Vec<(Ipv4Addr, String)>, Failure> {
        let known = std::fs::read_to_string(self.at("known_hosts"))?;
        let read = |line: &str| {
            let (address, key) = line.split_once(' ').ok_or("a line of known_hosts has no key")?;
            Ok((address.parse()?, key.to_owned()))
        };
        known.lines().map(read).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ended = Command::new(self.folder.path().join("lab")).arg("down").status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("the lab may still be there: `lab down` did not end it");
        }
    }
}
