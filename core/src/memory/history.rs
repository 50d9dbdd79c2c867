//! What happened in a world, in order.

use crate::{Class, ErrorKind, InstanceName, Retry, Time, Verb};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// When.
    pub at: Time,
    /// Through which instance; none where the world did it by itself.
    pub provider: Option<InstanceName>,
    /// By which call.
    pub verb: Option<Verb>,
    /// About what; empty where the call is about nothing in particular.
    pub key: String,
    /// The epoch of the ticket, where there was one.
    pub epoch: Option<u64>,
    /// The how manyth call of this verb for this key.
    pub attempt: u64,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A call arrived at the provider.
    Called,
    /// A call was answered.
    Answered(Outcome),
    /// Something came to be.
    Made {
        /// What it is.
        class: Class,
        /// Its id.
        id: String,
        /// Of which environment.
        environment: String,
        /// Of which object of it.
        object: String,
        /// Which generation.
        generation: u32,
    },
    /// A create or open found the very thing that it asked for.
    Adopted {
        /// Its id.
        id: String,
    },
    /// A machine was started.
    Started {
        /// Its id.
        id: String,
    },
    /// A machine was stopped.
    Stopped {
        /// Its id.
        id: String,
    },
    /// A machine was paused.
    Paused {
        /// Its id.
        id: String,
    },
    /// Something is on its way to being gone.
    Ending {
        /// Its id.
        id: String,
    },
    /// Something is gone.
    Ended {
        /// Its id.
        id: String,
    },
    /// A machine's death date was rewritten.
    Renewed {
        /// Its id.
        id: String,
        /// To when.
        expires: Time,
    },
}

/// How a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With success.
    Ok,
    /// With an error.
    Err(ErrorKind, Retry),
}
