//! What is told of each place where a command may be killed: what others make of what it left.

use crate::installation::Installation;
use crate::program::{Call, Ended};

/// An environment called `pair`, of two machines.
pub(crate) trait Story {
    fn installation(&self) -> &Installation;

    /// The environment's file.
    fn file(&self) -> &str;

    /// Its two machines stand.
    fn is_whole(&self) -> Result<(), String>;

    /// Nothing stands and nothing runs.
    fn is_gone(&self) -> Result<(), String>;

    fn call(&self, verb: &str) -> Call {
        match verb {
            "down" => self.installation().call(&["down", "-e", "pair"]),
            "gc" => self.installation().call(&["gc"]),
            verb => self.installation().call(&[verb, self.file()]),
        }
    }

    /// What is wanted and what is not, after the command was killed at a place and others mended it. Whether it was
    /// killed there.
    fn tell(&self, verb: &str, point: &str, turn: usize) -> Result<bool, String> {
        let well = |ended: Ended| match ended.code() {
            Some(0) => Ok(()),
            _ => Err(ended.to_string()),
        };
        if verb == "down" {
            well(self.call("up").end())?;
        }
        let ended = self.call(verb).killed_at(point).end();
        let was_killed = ended.was_killed();
        if !was_killed {
            well(ended)?;
        }
        match (verb, turn % 2) {
            ("up", 0) => {
                well(self.call("up").end())?;
                self.is_whole()?;
            }
            ("run", _) | ("down", 1) => well(self.call("gc").end())?,
            _ => {}
        }
        if !self.installation().environments().is_empty() {
            well(self.call("down").end())?;
        }
        self.is_gone().map(|()| was_killed)
    }
}
