#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use std::sync::Arc;

pub use encamp_core::shell;
pub use encamp_core::{
    Access, Addr, AddrScope, Ambient, BoxRead, BoxWrite, Candidate, Capabilities, Class, Control, Cost, Cx, Duplex,
    Error, ErrorKind, Exit, Finding, InstanceName, Kind, KindName, Level, Name, NameError, Observed, Phase, PortSpec,
    Process, Progress, Protocol, Provider, Publish, Published, Report, Result, Retry, Signal, Site, Size, Time, Value,
    Verb,
};
pub use encamp_engine::api::{
    Builder, Checked, Command, Copied, DeadService, Description, Encamp, Endpoint, Environment, Exec, Guard, Looked,
    Machine, Output, Share, SharedGuard, Summary, Up, keep,
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

pub mod helper;

#[doc = include_str!("../docs/library.md")]
pub mod guide {}

/// Environments that a program describes: [`Environment`](spec::Environment), [`Machine`](spec::Machine) and what stands
/// in them, for [`Encamp::up`].
pub mod spec {
    pub use encamp_core::table::{ByteSize, KindTable, Line, Span};
    pub use encamp_file::program::*;
}

#[doc(no_inline)]
pub use spec::Ready;

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

/// Hosts that are there already, reached by SSH.
#[cfg(feature = "ssh")]
pub mod ssh {
    pub use encamp_provider_ssh::*;
}

/// Tables of commands as providers: a manifest, and forty lines of shell.
#[cfg(feature = "script")]
pub mod script {
    pub use encamp_plugin_script::*;
}

/// The suite that every provider must pass.
#[cfg(feature = "check")]
pub mod testkit {
    pub use encamp_testkit::*;
}

/// The kinds that this build carries.
pub fn builtin_kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        #[cfg(feature = "docker")]
        encamp_provider_docker::kind(),
        #[cfg(all(feature = "local", target_os = "linux"))]
        encamp_provider_local::kind(),
        #[cfg(feature = "ssh")]
        encamp_provider_ssh::kind(),
    ]
}
