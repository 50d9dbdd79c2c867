//! Everything that carries a controller's key: the folders that there are.

use std::fs;

use encamp_core::{Access, Class, Coverage, Error, ErrorKind, Found, List, Listing, Result, Retry};

use super::Host;
use super::host::Sandbox;
use crate::place::Place;

impl Host {
    /// All machines of a controller, or of one of its environments.
    pub(crate) fn list(&self, list: &List) -> Listing {
        let mut listing = Listing::default();
        let mut trouble = None;
        match fs::read_dir(&self.root) {
            Ok(entries) => {
                for entry in entries {
                    let found = entry
                        .map_err(crate::error::io(&self.root))
                        .and_then(|entry| self.listed(list, &entry.file_name().to_string_lossy()));
                    match found {
                        Ok(found) => listing.found.extend(found),
                        Err(error) => trouble = trouble.or(Some(error)),
                    }
                }
            }
            Err(native) => trouble = Some(crate::error::io(&self.root)(native)),
        }
        listing.coverage = vec![match trouble {
            None => Coverage::complete(self.site.clone()),
            Some(error) => Coverage::partial(self.site.clone(), error.retry(Retry::Safe)),
        }];
        listing
    }

    fn listed(&self, list: &List, name: &str) -> Result<Option<Found>> {
        if name.starts_with('.') {
            return Ok(None);
        }
        let place = Place::new(self.root.join(name));
        if !place.folder.is_dir() {
            return Ok(None);
        }
        let is_ours = name.starts_with(list.controller.as_str());
        let read = match Sandbox::read(place) {
            // Another controller's, which another version may have written.
            Err(_) if !is_ours => return Ok(None),
            read => read?,
        };
        let Some(sandbox) = read else {
            // It may have gone between the look at the folder and that into it.
            if !self.root.join(name).exists() || !is_ours {
                return Ok(None);
            }
            let text = "a folder of a machine does not say which it is";
            return Err(Error::new(ErrorKind::Internal, text).with("folder", name));
        };
        let create = &sandbox.record.create;
        if !list.takes(name, &create.stamp.labels) {
            return Ok(None);
        }
        let phase = self.phase(&sandbox)?;
        let mut found = Found::new(Class::Machine, name, name, self.site.clone(), phase);
        found.access = Some(Access::Native);
        found.token = Some(create.stamp.token.to_string());
        found.labels.clone_from(&create.stamp.labels);
        Ok(Some(found))
    }
}
