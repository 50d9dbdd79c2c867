//! Snapshots of machines.

use tokio::time::Instant;

use super::changes::frozen;
use super::state::{Deed, Made, State};
use super::thing::Body;
use crate::{Class, Error, ErrorKind, Image, Result, Snapshot};

impl State {
    pub(super) fn snapshot(&mut self, now: Instant, deed: &Deed, a: &Snapshot) -> Result<Image> {
        let request = frozen(a)?;
        let site = &a.target.site;
        let place = (&a.stamp, site);
        let already = self.already(now, deed, place, deed.settings.machines, &request, false)?;
        let number = if let Some(number) = already {
            number
        } else {
            let ours = self.mine(now, deed, &a.target, Class::Machine)?;
            let machine = ours.first().and_then(|number| self.things.get(*number)?.machine());
            let machine = machine.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such machine"))?;
            let made = Made {
                class: Class::Image,
                request,
                body: Body::Image(machine.inside.files.copy(), machine.inside.files.mounted()),
            };
            self.make(now, deed, place, made)
        };
        let thing = self.things.get(number);
        let id = thing.map(|thing| thing.id.clone()).unwrap_or_default();
        let without = match thing.map(|thing| &thing.body) {
            Some(Body::Image(_, without)) => without.clone(),
            _ => Vec::new(),
        };
        Ok(Image::new(site.clone(), id, a.name.clone()).without(without))
    }
}
