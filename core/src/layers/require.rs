//! Refuses what the provider does not offer, and changes whose ticket speaks of something else, before they are sent.

use super::layered::{Answer, Call, Layer, Once};
use crate::{Capabilities, Error, ErrorKind, Result};

/// Holds a call against the capabilities and its ticket.
#[derive(Debug)]
pub(super) struct Require {
    pub(super) capabilities: Capabilities,
}

impl Require {
    fn examine(&self, call: &Call<'_>) -> Result<()> {
        if !self.capabilities.offers(call.verb) {
            return Err(Error::unsupported(call.verb));
        }
        if call.about.mounts && !self.capabilities.mounts {
            return Err(Error::new(
                ErrorKind::Invalid,
                "this provider's infrastructure does not see the controller's folders, so its machines cannot have any",
            ));
        }
        let Some(ticket) = call.ticket else {
            return Ok(());
        };
        if ticket.verb() != call.verb {
            return Err(
                Error::new(ErrorKind::Internal, "the ticket is for another change").with("ticket", ticket.verb())
            );
        }
        if Some(ticket.key()) != call.about.key.as_ref() {
            return Err(
                Error::new(ErrorKind::Internal, "the ticket is for another object").with("ticket", ticket.key())
            );
        }
        Ok(())
    }
}

impl Layer for Require {
    fn around<'a, T: Send + 'a>(&'a self, call: Call<'a>, next: Once<'a, T>) -> Answer<'a, T> {
        match self.examine(&call) {
            Ok(()) => next(call.cx.clone()),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}
