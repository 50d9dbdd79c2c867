//! What happened to an object.

/// A fact, as the shell saw it. What belongs to it (an id, an error) stays with the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// An executor took the object up, freshly planned or from where the journal left it.
    Begun,
    /// The record that the last effect asked for is durable.
    Recorded,
    /// A create was answered: it exists.
    Created,
    /// What was sent was refused for good; it had no effect.
    Refused,
    /// What was sent had no effect, and may be sent again after a pause.
    Busy,
    /// The outcome of what was sent is not known.
    Lost,
    /// The pause is over.
    Paused,
    /// Settling found that it exists.
    FoundPresent,
    /// Settling proved that it does not exist and will not.
    FoundAbsent,
    /// The start was answered.
    Started,
    /// Everything that readiness asks for holds.
    ProbesHeld,
    /// Readiness was not reached in time, or its process died.
    ProbesFailed,
    /// The destroyer wants it.
    DestroyWanted,
    /// The destroy was answered: gone.
    Removed,
    /// The destroy was answered: on its way.
    Removing,
    /// The executor stops here; somebody will go on from the journal.
    Interrupted,
}
