//! Things of others that look like ours. Whatever encamp does, they stay as they are.

use serde_json::{Value, json};

use crate::daemon::{self, Class, Thing};
use crate::files::{PAIR, PAIR_NAME, single};
use crate::installation::{Identity, Installation};

/// What stands beside the machines of one identity.
pub(crate) struct Decoys {
    things: Vec<Thing>,
    image: String,
    other: Installation,
}

impl Decoys {
    /// Decoys of what this identity has made, and will make with another store.
    pub(crate) fn beside(identity: &Identity) -> Self {
        let ours = Installation::of(identity);
        let file = ours.write("pair.toml", PAIR);
        ours.call(&["up", &file]).well();
        let db = ours.machine("db").unwrap_or_else(|error| panic!("{error}"));
        let network = shared(&ours, Class::Network);
        let volume = shared(&ours, Class::Volume);
        let other = Installation::new();
        let elsewhere = other.write("elsewhere.toml", &single("elsewhere"));
        other.call(&["up", &elsewhere]).well();

        let tag = ours.prefix();
        let mut decoys = Self {
            things: Vec::new(),
            image: format!("{tag}decoy:1"),
            other,
        };
        // An image inherits its container's labels, and a container its image's.
        daemon::commit(&db.id, &format!("{tag}decoy"));
        let inherited = daemon::container(&format!("decoy-inherited-{tag}"), &decoys.image, &json!({}));
        let copied = daemon::container(&format!("decoy-copied-{tag}"), daemon::IMAGE, &db.labels);
        daemon::start(&inherited);
        daemon::start(&copied);
        let labelled = daemon::network(&format!("decoy-labelled-{tag}"), &network.labels);
        let named = daemon::network(&network.name, &json!({}));
        let kept = format!("decoy-volume-{tag}");
        daemon::volume(&kept, &volume.labels);
        let ids: Vec<String> = [Some(inherited), Some(copied), labelled, named, Some(kept)]
            .into_iter()
            .flatten()
            .collect();
        let foreign = decoys.other.prefix();
        decoys.things = daemon::everything();
        decoys
            .things
            .retain(|thing| ids.contains(&thing.id) || thing.name.starts_with(&foreign));
        assert!(decoys.things.len() >= ids.len() + 2, "{:#?}", decoys.things);
        // Two of the same name by now: only ours goes.
        ours.down(PAIR_NAME);
        decoys
    }

    /// Whether all of them stand as they did.
    pub(crate) fn are_untouched(&self) -> Result<(), String> {
        let now = daemon::everything();
        match self.things.iter().find(|decoy| !now.contains(decoy)) {
            Some(harmed) => Err(format!("another's was touched: {harmed:#?}")),
            None => Ok(()),
        }
    }

    /// What of a listing is a decoy.
    pub(crate) fn has(&self, thing: &Thing) -> bool {
        self.things.iter().any(|decoy| decoy.id == thing.id)
    }
}

impl Drop for Decoys {
    fn drop(&mut self) {
        for thing in &self.things {
            thing.remove();
        }
        daemon::remove_image(&self.image);
    }
}

fn shared(installation: &Installation, class: Class) -> Thing {
    let standing = installation.standing();
    standing
        .into_iter()
        .find(|thing| thing.class == class)
        .expect("the file asks for one")
}

/// Decoys of one environment while it stands: its labels under other names, and its network's name.
pub(crate) struct Near {
    things: Vec<Thing>,
}

impl Near {
    pub(crate) fn of(installation: &Installation) -> Result<Self, String> {
        let app = installation.machine("app")?;
        let network = shared(installation, Class::Network);
        let tag = &app.name;
        let ids = [
            Some(daemon::container(&format!("near-{tag}"), daemon::IMAGE, &app.labels)),
            daemon::network(&format!("near-net-{tag}"), &network.labels),
            daemon::network(&network.name, &Value::Null),
        ];
        let mut things = daemon::everything();
        things.retain(|thing| ids.iter().flatten().any(|id| *id == thing.id));
        Ok(Self { things })
    }

    /// Looks whether they stand as they did, and removes them.
    pub(crate) fn end(self) -> Result<(), String> {
        let now = daemon::everything();
        match self.things.iter().find(|decoy| !now.contains(decoy)) {
            Some(harmed) => Err(format!("another's was touched: {harmed:#?}")),
            None => Ok(()),
        }
    }

    /// What of a listing is a decoy.
    pub(crate) fn has(&self, thing: &Thing) -> bool {
        self.things.iter().any(|decoy| decoy.id == thing.id)
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        for thing in &self.things {
            thing.remove();
        }
    }
}
