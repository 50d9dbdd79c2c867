//! What runs on the host: scripts for a POSIX shell, and the words with which they answer.
//!
//! A login shell is given one line that any shell understands; it reads the script from standard input, so that no
//! value of the user's is seen in a list of processes. Each script is functions and one last line that begins, so a
//! script that arrives in part does nothing.

mod script;
mod words;

pub(crate) use script::{Job, RunId, Script, line};
pub(crate) use words::{Output, Word};
