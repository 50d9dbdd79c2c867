//! What a keeper writes, for whoever wants to know what it did.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use encamp_core::{EnvId, Error, ErrorKind, Result};

use crate::clock::Clock;

/// The file of an environment's keeper.
pub(super) fn path(state: &Path, environment: &EnvId) -> PathBuf {
    super::folder(state, environment).join("keeper.log")
}

/// Opens it, to write behind what is there.
pub(super) fn open(state: &Path, environment: &EnvId) -> Result<File> {
    let path = path(state, environment);
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    opened.map_err(|e| Error::new(ErrorKind::Unavailable, format!("{} cannot be written", path.display())).caused_by(e))
}

/// The log of one keeper.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    clock: Arc<dyn Clock>,
    last: String,
}

impl Log {
    pub(super) fn new(file: File, clock: Arc<dyn Clock>) -> Self {
        Self {
            file,
            clock,
            last: String::new(),
        }
    }

    /// Adds a line; one that says the same as the line before is left out.
    pub(super) fn say(&mut self, text: &str) {
        if self.last == text {
            return;
        }
        let line = format!("{} [{}] {text}\n", self.clock.now(), std::process::id());
        // Nobody could be told that nobody can be told.
        if self.file.write_all(line.as_bytes()).is_ok() {
            text.clone_into(&mut self.last);
        }
    }
}
