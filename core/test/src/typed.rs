//! What `environment!` makes types of.

use std::ops::Deref;
use std::path::Path;

use encamp::{Description, Endpoint, Environment, Machine, Result};

/// The description of a file.
pub fn described(file: &str) -> Description {
    Path::new(file).into()
}

/// A machine that a file declares.
#[derive(Debug, Clone)]
pub struct Member {
    environment: Environment,
    machine: Machine,
}

impl Deref for Member {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Member {
    /// Where one of its ports is dialled from this process.
    pub async fn endpoint(&self, port: &str) -> Result<Endpoint> {
        self.environment.endpoint(self.machine.name(), port).await
    }
}

/// The machine of that name.
pub fn member(environment: &Environment, name: &str) -> Result<Member> {
    Ok(Member {
        machine: environment.machine(name)?,
        environment: environment.clone(),
    })
}

/// An output that the file declares; its text is known since the environment is ready.
pub fn declared<'a>(environment: &'a Environment, name: &str) -> &'a str {
    environment.outputs().get(name).map_or("", String::as_str)
}
