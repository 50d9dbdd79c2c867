//! What an environment shares in a world: volumes and networks.

use tokio::time::Instant;

use super::changes::frozen;
use super::files::Volume;
use super::history::What;
use super::state::{Deed, Made, State};
use super::thing::{Body, Thing};
use crate::{Class, Error, ErrorKind, OpenScope, Opened, Removal, Result, Retry, Target};

impl State {
    /// Whether the provider finds the item, or something in its place, before it sends an open.
    pub(super) fn sees_item(&self, now: Instant, deed: &Deed, a: &OpenScope) -> bool {
        let request = frozen(a).unwrap_or_default();
        let found = self.already(now, deed, (&a.stamp, &a.site), deed.settings.scopes, &request, false);
        !matches!(found, Ok(None))
    }

    pub(super) fn open_scope(&mut self, now: Instant, deed: &Deed, a: &OpenScope, late: bool) -> Result<Opened> {
        let request = frozen(a)?;
        let place = (&a.stamp, &a.site);
        let already = self.already(now, deed, place, deed.settings.scopes, &request, late)?;
        let number = if let Some(number) = already {
            number
        } else {
            let made = Made {
                class: Class::Scope,
                request,
                body: Body::Item(Volume::default()),
            };
            self.make(now, deed, place, made)
        };
        let id = self
            .things
            .get(number)
            .map(|thing| thing.id.clone())
            .unwrap_or_default();
        if already.is_some() {
            self.note(now, deed, What::Adopted { id: id.clone() });
        }
        Ok(Opened::new(id, serde_json::json!({ "name": a.item.name })))
    }

    /// Removes every item with the stamp: where keys are not unique there may be several.
    pub(super) fn close_scope(&mut self, now: Instant, deed: &Deed, a: &Target) -> Result<Removal> {
        let ours = self.mine(now, deed, a, Class::Scope)?;
        let ids: Vec<String> = ours
            .iter()
            .filter_map(|number| Some(self.things.get(*number)?.id.clone()))
            .collect();
        let machines = self
            .things
            .values()
            .filter(|thing| thing.exists())
            .filter_map(Thing::machine);
        let users = machines
            .filter(|machine| machine.uses.iter().any(|used| ids.contains(used)))
            .count();
        if users > 0 {
            return Err(Error::new(ErrorKind::Unavailable, "machines still use the scope item")
                .retry(Retry::Safe)
                .with("machines", users));
        }
        let takes = deed.settings.removal.0;
        let mut removal = Removal::Gone;
        for number in ours {
            if !self.remove(now, number, deed, takes) {
                removal = Removal::Pending;
            }
        }
        Ok(removal)
    }
}
