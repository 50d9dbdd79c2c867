//! What the shell is to do.

/// A command to the shell, which answers each but [`Rest`](Self::Rest) with one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Commit SENT, then send the create.
    SendCreate,
    /// Commit UNKNOWN.
    RecordUnknown,
    /// Find out what became of the create.
    Settle,
    /// Commit SEEN.
    RecordSeen,
    /// Send the start.
    SendStart,
    /// Wait until everything that readiness asks for holds.
    Probe,
    /// Commit READY.
    RecordReady,
    /// Commit why it did not become ready.
    RecordFailure,
    /// Commit DYING.
    RecordDying,
    /// Commit that the outcome of the create is known to the destroyer.
    RecordSettled,
    /// Send the destroy.
    SendDestroy,
    /// Commit GONE.
    RecordGone,
    /// Wait a little, longer each time, and not past the deadline.
    Pause,
    /// Nothing more is to be done.
    Rest,
    /// This pair cannot happen; say so and stop.
    Anomaly,
}
