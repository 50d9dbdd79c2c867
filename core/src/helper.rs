//! The program that is started again in another part: as the keeper of an environment, or as the shim of a sandbox.
//!
//! A part is named, with the version of what the two say to each other and the path of a request, in the variable
//! [`VARIABLE`]. So any program can be the helper: the driver, a program that links the library, a test.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use crate::{Error, ErrorKind};

/// The variable that asks a program to be a helper.
pub const VARIABLE: &str = "ENCAMP_HELPER";

/// The version of what a helper and its starter say to each other. Another version is refused.
pub const VERSION: u32 = 1;

/// What a helper can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Watches over one environment, and outlives the command that started it.
    Keeper,
    /// Stands between this host and the processes of one sandbox.
    Shim,
    /// Says by ending well that it could be one.
    Probe,
}

impl Role {
    /// The word in the variable, and behind `__` in a list of processes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Shim => "shim",
            Self::Probe => "probe",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A program that can be started as a helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    program: PathBuf,
    arguments: Option<Vec<OsString>>,
    shim: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
}

impl Helper {
    /// A program that is told its part by its only argument, `__keeper` for example, and by the variable.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: None,
            shim: None,
            variables: Vec::new(),
        }
    }

    /// With other arguments, whatever the part: a test program is told to run the one test that turns into the helper.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments = Some(arguments.into_iter().map(Into::into).collect());
        self
    }

    /// With another program as shim, which is told its part by its only argument and by the variable. A shim has to begin
    /// before its program has started a thread or said a word; a test program has done both.
    #[must_use]
    pub fn shim(mut self, program: impl Into<PathBuf>) -> Self {
        self.shim = Some(program.into());
        self
    }

    /// With a variable of its environment, beside those that it inherits: it does not stand in the folder of whoever
    /// starts it, so paths that were relative have to be told anew.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The program that is the shim.
    pub fn shim_program(&self) -> &Path {
        self.shim.as_deref().unwrap_or(&self.program)
    }

    /// The command that starts it in a part. `request` is the path of a file that both know how to read.
    pub fn command(&self, role: Role, request: &Path) -> Command {
        let (program, arguments) = match &self.shim {
            Some(shim) if role == Role::Shim => (shim, None),
            _ => (&self.program, self.arguments.as_ref()),
        };
        let mut command = Command::new(program);
        match arguments {
            Some(arguments) => command.args(arguments),
            None => command.arg(format!("__{role}")),
        };
        let mut asked = OsString::from(format!("{role} {VERSION} "));
        asked.push(request);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env(VARIABLE, asked);
        command
    }
}

/// What a program is asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// Its part.
    pub role: Role,
    /// The file that says the rest.
    pub request: PathBuf,
}

impl FromStr for Asked {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let invalid = |why: String| Error::new(ErrorKind::Invalid, why).with(VARIABLE, value);
        let mut words = value.splitn(3, ' ');
        let (role, version, request) = (words.next(), words.next(), words.next());
        let role = match role {
            Some("keeper") => Role::Keeper,
            Some("shim") => Role::Shim,
            Some("probe") => Role::Probe,
            _ => return Err(invalid("it asks for a part that this program cannot play".into())),
        };
        if version != Some(VERSION.to_string().as_str()) {
            return Err(invalid(format!(
                "the program that asks speaks version {} of the helper's protocol, this one {VERSION}",
                version.unwrap_or("?")
            )));
        }
        let request = request.filter(|path| !path.is_empty());
        let request = request.ok_or_else(|| invalid("it names no request".into()))?;
        Ok(Self {
            role,
            request: request.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood() {
        let command = Helper::new("/bin/encamp").command(Role::Shim, Path::new("/run/a b/request.json"));
        let (_, value) = command.get_envs().find(|(name, _)| *name == VARIABLE).unwrap();
        let asked: Asked = value.unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(asked.role, Role::Shim);
        assert_eq!(asked.request, Path::new("/run/a b/request.json"));
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["__shim"]);
    }

    #[test]
    fn a_shim_may_be_another_program() {
        let helper = Helper::new("/bin/test").arguments(["encamp_helper"]).shim("/bin/shim");
        for (role, program, argument) in [
            (Role::Keeper, "/bin/test", "encamp_helper"),
            (Role::Shim, "/bin/shim", "__shim"),
        ] {
            let command = helper.command(role, Path::new("-"));
            assert_eq!(command.get_program(), program);
            assert_eq!(command.get_args().collect::<Vec<_>>(), [argument]);
        }
    }

    #[test]
    fn it_is_told_variables_beside_its_part() {
        let helper = Helper::new("/bin/encamp").variable("PLACE", "/srv");
        let command = helper.command(Role::Keeper, Path::new("-"));
        let told: Vec<_> = command.get_envs().map(|(name, _)| name).collect();
        assert_eq!(told, [VARIABLE, "PLACE"]);
    }

    #[test]
    fn another_version_is_refused() {
        for wrong in ["shim 2 /x", "shim", "shim 1 ", "host 1 /x", ""] {
            let error = wrong.parse::<Asked>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
        }
    }
}
