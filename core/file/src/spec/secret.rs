//! Where secrets come from.

use std::path::PathBuf;

use super::Command;

/// Where a secret comes from; never the file itself.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// A variable of the controller's environment.
    Variable(String),
    /// A file of the controller, without the end of its last line: absolute, or below the file's folder.
    File(PathBuf),
    /// What a command says on the controller, without the end of the last line.
    Command(Command),
}
