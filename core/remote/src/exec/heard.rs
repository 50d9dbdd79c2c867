//! What is known of a run from the words of its scripts. Pure.

use crate::run::{Output, Word};

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The boot of the host that the command began in.
    pub(super) began: Option<String>,
    pub(super) exit: Option<i32>,
    pub(super) totals: (Option<u64>, Option<u64>),
    /// How much of standard input the host has.
    pub(super) taken: u64,
    /// The present session may be sent input: it has said from where.
    pub(super) takes_input: bool,
    pub(super) input_ended: bool,
    pub(super) deaf: bool,
    /// The boot that a later session found.
    pub(super) boot: Option<String>,
    /// Why a script did not go on.
    pub(super) refused: Option<String>,
    /// Why the outcome cannot be known.
    pub(super) lost: Option<&'static str>,
}

impl Heard {
    /// A new session begins.
    pub(super) fn anew(&mut self, resumes: bool) {
        self.takes_input = !resumes;
        self.refused = None;
        self.boot = None;
    }

    pub(super) fn take(&mut self, word: Word) {
        match word {
            Word::Began { boot, .. } => self.began = Some(boot),
            Word::Boot(boot) => self.boot = Some(boot),
            Word::Taken(taken) => {
                self.taken = self.taken.max(taken);
                self.takes_input = true;
            }
            Word::InputEnded => self.input_ended = true,
            Word::Deaf => self.deaf = true,
            Word::Exit(code) => self.exit = Some(code),
            Word::Total(Output::Out, total) => self.totals.0 = Some(total),
            Word::Total(Output::Err, total) => self.totals.1 = Some(total),
            Word::Full => self.lost = Some("the disk of the host is full, and what the command said is not complete"),
            Word::Hole => self.lost = Some("the host does not have all any more that the command said"),
            Word::Orphaned => self.lost = Some("the process that supervised the command was killed"),
            Word::Refused(why) => self.refused = Some(why),
            Word::Other(_) => {}
        }
    }

    /// Whether all is known and `had` is all that was said.
    pub(super) fn is_complete(&self, had: (u64, u64)) -> bool {
        // What the host does not have any more is in no total.
        self.lost.is_none() && self.exit.is_some() && self.totals.0 == Some(had.0) && self.totals.1 == Some(had.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_hole_is_never_complete() {
        for lost in [Word::Full, Word::Hole] {
            let mut heard = Heard::default();
            for word in [Word::Exit(0), Word::Total(Output::Out, 3), Word::Total(Output::Err, 0)] {
                heard.take(word);
            }
            assert!(heard.is_complete((3, 0)));
            heard.take(lost);
            assert!(!heard.is_complete((3, 0)), "{heard:?}");
        }
    }
}
