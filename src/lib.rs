#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use std::sync::Arc;

pub use encamp_core::{
    Access, Addr, AddrScope, Ambient, BoxRead, BoxWrite, Candidate, Capabilities, Class, Control, Cost, Duplex, Error,
    ErrorKind, Exit, Finding, InstanceName, Kind, KindName, Level, Name, NameError, Observed, Phase, PortSpec, Process,
    Progress, Protocol, Provider, Publish, Published, Report, Result, Retry, Signal, Site, Size, Time, Value, Verb,
};
pub use encamp_engine::api::{
    Builder, Checked, Command, Copied, DeadService, Encamp, Environment, Looked, Machine, Summary, Up, keep,
};
pub use encamp_engine::events::{self, Event, Events};
pub use encamp_engine::keeper::Survival;
pub use encamp_engine::plan::{self, Plan};
pub use encamp_engine::policy::Policy;
pub use encamp_engine::report::{self, RunReport};
pub use encamp_engine::sweep::{Swept, Unreached};
pub use encamp_engine::{
    Change, Extended, Inspection, Keep, Moved, Preview, Prospect, Recovered, Recovery, Renewal, RunOptions, Shared,
    Standing, Synced, Touched, Unproved, UpReport, Usual,
};

#[cfg(feature = "failpoints")]
pub use encamp_engine::failpoint;

/// The program that is started again as keeper or shim.
pub mod helper {
    pub use encamp_core::helper::*;
}

/// From the text of an environment file to what [`Encamp`] takes.
pub mod file {
    pub use encamp_file::*;
}

/// The simulated kind: infrastructure that exists in memory alone, with faults from a seed; for tests.
pub mod memory {
    pub use encamp_core::memory::*;
}

/// Containers on a Docker daemon.
#[cfg(feature = "docker")]
pub mod docker {
    pub use encamp_provider_docker::*;
}

/// Sandboxes on this host.
#[cfg(all(feature = "local", target_os = "linux"))]
pub mod local {
    pub use encamp_provider_local::*;
}

/// The kinds that this build carries.
pub fn builtin_kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        #[cfg(feature = "docker")]
        encamp_provider_docker::kind(),
        #[cfg(all(feature = "local", target_os = "linux"))]
        encamp_provider_local::kind(),
    ]
}
