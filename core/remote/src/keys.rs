//! Where the private keys of environments are.

use std::fmt::Debug;
use std::path::PathBuf;

use encamp_core::{EnvId, Error, ErrorKind, Result};

/// Finds the private key that the engine made for an environment.
pub trait EnvironmentKeys: Debug + Send + Sync + 'static {
    /// The file of the private key, which nobody else can read.
    fn private_key(&self, environment: &EnvId) -> Result<PathBuf>;
}

/// A folder with a private key an environment, in a file that is called as its id.
#[derive(Debug, Clone)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// The keys in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }
}

impl EnvironmentKeys for KeyFolder {
    fn private_key(&self, environment: &EnvId) -> Result<PathBuf> {
        let file = self.0.join(environment.as_ref());
        if file.is_file() {
            return Ok(file);
        }
        let message = format!("the private key of the environment {environment} is not there");
        Err(Error::new(ErrorKind::NotFound, message).with("file", file.display()))
    }
}
