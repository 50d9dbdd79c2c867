//! What a group has to hold as a whole is judged once all its members have come so far.

use encamp_core::{Error, ErrorKind, Name, Result};
use tokio::sync::watch;

/// Counts the members of a group that have come so far.
#[derive(Debug)]
pub(crate) struct Gate {
    group: Name,
    members: usize,
    come: watch::Sender<Come>,
}

#[derive(Debug, Default)]
struct Come {
    here: usize,
    lost: Option<Name>,
}

impl Gate {
    pub(super) fn new(group: Name, members: usize) -> Self {
        Self {
            group,
            members,
            come: watch::Sender::default(),
        }
    }

    /// One more is there.
    pub(super) fn arrive(&self) {
        self.come.send_modify(|come| come.here += 1);
    }

    /// One will not come.
    pub(super) fn lose(&self, member: &Name) {
        self.come.send_modify(|come| {
            come.lost.get_or_insert_with(|| member.clone());
        });
    }

    /// Waits for all of them.
    pub(super) async fn wait(&self) -> Result<()> {
        let mut come = self.come.subscribe();
        let settled = come
            .wait_for(|come| come.here >= self.members || come.lost.is_some())
            .await;
        let lost = settled.ok().and_then(|come| come.lost.clone());
        match lost {
            None => Ok(()),
            Some(member) => Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "it waited for the whole of `{}`, and {member} did not come so far",
                    self.group
                ),
            )),
        }
    }
}
