//! Whatever describes an environment.

use std::path::PathBuf;

use encamp_core::{Error, ErrorKind, Name, Result};
use encamp_file::{Load, Loaded, load, program, spec};

use super::encamp::Encamp;

/// A file's path, what a program has built, or what was read before.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Description {
    /// An environment file.
    File(PathBuf),
    /// Built by a program.
    Program(Box<program::Environment>),
    /// Read and checked.
    Checked(Box<spec::Environment>),
}

impl From<&std::path::Path> for Description {
    fn from(path: &std::path::Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<PathBuf> for Description {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<program::Environment> for Description {
    fn from(environment: program::Environment) -> Self {
        Self::Program(Box::new(environment))
    }
}

impl From<spec::Environment> for Description {
    fn from(environment: spec::Environment) -> Self {
        Self::Checked(Box::new(environment))
    }
}

impl Encamp {
    /// Reads and checks a description; the error holds everything that is wrong with it, with excerpts.
    pub fn described(&self, description: impl Into<Description>) -> Result<spec::Environment> {
        let kinds = self.kinds();
        let secrets = self
            .camp()
            .secrets
            .keys()
            .cloned()
            .collect::<std::collections::BTreeSet<Name>>();
        let read = |path: &std::path::Path, how: &dyn Fn(&Load<'_>) -> Result<Loaded, encamp_file::Failure>| {
            let load = Load {
                secrets: &secrets,
                ..Load::new(path, &kinds)
            };
            let loaded = how(&load).map_err(|failure| Error::new(ErrorKind::Invalid, failure.render(false)))?;
            Ok(loaded.environment)
        };
        match description.into() {
            Description::Checked(spec) => Ok(*spec),
            Description::File(path) => read(&path, &|like| load(like)),
            Description::Program(program) => read(std::path::Path::new(""), &|like| program.load(like)),
        }
    }
}
