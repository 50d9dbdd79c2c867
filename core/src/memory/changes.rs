//! What the changing verbs do to machines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::faults::Fate;
use super::files::{Files, Mounted, Tree, Volume};
use super::history::What;
use super::host::HostFolder;
use super::inside::{Inside, Run};
use super::state::{Deed, Made, Number, State};
use super::table::{Fail, Table};
use super::thing::{Body, Machine, Stage, Thing};
use crate::{
    Class, Create, Created, Error, ErrorKind, Exit, Phase, Publish, Removal, Renew, Result, Retry, Site, Stop, Target,
    Value, fill_late,
};

/// The scope item of a volume.
pub(super) fn volume_item(name: &str) -> String {
    format!("volume-{name}")
}

/// The scope item of the network, where the instance has one.
pub(super) const NETWORK_ITEM: &str = "net";

/// A request as it is compared with another.
pub(super) fn frozen(request: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(request)
        .map_err(|error| Error::new(ErrorKind::Internal, "the request cannot be written down").caused_by(error))
}

fn gone(target: &Target) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such machine").with("key", &target.stamp.key)
}

impl State {
    /// Whether the provider finds the machine, or something in its place, before it sends a create.
    pub(super) fn sees_machine(&self, now: Instant, deed: &Deed, a: &Create) -> bool {
        let request = frozen(a).unwrap_or_default();
        let found = self.already(now, deed, (&a.stamp, &a.site), deed.settings.machines, &request, false);
        !matches!(found, Ok(None))
    }

    pub(super) fn create(&mut self, now: Instant, deed: &Deed, a: &Create, fate: &Fate) -> Result<Created> {
        let request = frozen(a)?;
        let place = (&a.stamp, &a.site);
        if let Some(number) = self.already(now, deed, place, deed.settings.machines, &request, fate.late.is_some())?
            && let Some(thing) = self.things.get(number)
        {
            let created = Created::new(thing.id.clone(), thing.phase(now)).adopted();
            self.note(now, deed, What::Adopted { id: created.id.clone() });
            return Ok(created);
        }
        let mut body = a.body.clone();
        let unfilled = fill_late(&mut body, &a.late);
        if let Some(pointer) = unfilled.first() {
            return Err(Error::new(ErrorKind::Invalid, "a late leaf was not rendered").with("pointer", pointer));
        }
        let table = Table::read(&body)?;
        self.room(deed, &a.site, &table, fate.no_capacity)?;
        let machine = self.machine(deed, a, table)?;
        let made = Made {
            class: Class::Machine,
            request,
            body: Body::Machine(Box::new(machine)),
        };
        let number = self.make(now, deed, place, made);
        if let Some(expires) = a.expires.filter(|_| deed.settings.self_expiry) {
            self.expire_at(number, expires);
        }
        if !deed.settings.held
            && let Err(error) = self.boot(now, number)
        {
            self.end(now, number, Some(deed));
            return Err(error);
        }
        let thing = self.things.get(number);
        let created = thing.map(|thing| Created::new(thing.id.clone(), thing.phase(now)));
        created.ok_or_else(|| Error::new(ErrorKind::Internal, "the machine is not where it was put"))
    }

    /// Whether there is room for one machine more.
    fn room(&self, deed: &Deed, site: &Site, table: &Table, no_capacity: bool) -> Result<()> {
        if table.fails(Fail::Create) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the machine is meant to fail at its creation",
            ));
        }
        let machines = || {
            let things = self.things.values();
            things.filter(|thing| thing.exists() && thing.class == Class::Machine)
        };
        let full = |most: Option<u32>, counts: &dyn Fn(&&Thing) -> bool| {
            most.is_some_and(|most| machines().filter(|thing| counts(thing)).count() >= most as usize)
        };
        let full_here = full(deed.settings.capacity, &|thing| thing.site == *site);
        if table.fails(Fail::Capacity) || no_capacity || full_here {
            return Err(Error::new(ErrorKind::Capacity, "the site has no room for this machine").with("site", site));
        }
        let of_instance = |thing: &&Thing| thing.provider.as_ref() == Some(&deed.provider);
        if table.fails(Fail::Quota) || full(deed.settings.quota, &of_instance) {
            return Err(Error::new(ErrorKind::Quota, "the account may not have more machines")
                .next_step("raise `quota` in the settings of this provider"));
        }
        Ok(())
    }

    fn machine(&self, deed: &Deed, a: &Create, table: Table) -> Result<Machine> {
        let mut wanted: BTreeMap<String, Option<&str>> = BTreeMap::new();
        for (name, folder) in &table.volumes {
            wanted.insert(volume_item(name), Some(folder));
        }
        if deed.settings.network {
            wanted.insert(NETWORK_ITEM.into(), None);
        }
        let (mut uses, mut mounts) = (Vec::new(), Vec::new());
        for (item, folder) in wanted {
            let opened = a
                .scope
                .get(&item)
                .ok_or_else(|| Error::new(ErrorKind::Invalid, "the request lacks a scope item").with("item", &item))?;
            let volume = self.item(&a.site, &opened.id).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "the scope item is not there")
                    .with("item", &item)
                    .with("id", &opened.id)
            })?;
            uses.push(opened.id.clone());
            mounts.extend(folder.map(|folder| (folder.to_owned(), Mounted::Volume(volume))));
        }
        for mount in &a.mounts {
            if !deed.settings.mounts {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "the world does not see the controller's folders",
                ));
            }
            if !mount.from.is_absolute() || !mount.from.is_dir() || !mount.to.starts_with('/') {
                return Err(Error::new(ErrorKind::Invalid, "there is no such folder to mount")
                    .with("folder", mount.from.display())
                    .with("at", &mount.to));
            }
            let folder = HostFolder {
                folder: mount.from.clone(),
                read_only: mount.read_only,
            };
            mounts.push((mount.to.clone(), Mounted::Host(folder)));
        }
        let files = Files::new(self.image(&a.site, &table.image), mounts);
        let boot = table.boot.unwrap_or(deed.settings.boot).0;
        let mut env = crate::Env::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        env.extend(a.env.clone());
        let inside = Inside::new(Arc::clone(&self.clock), files, env, a.name.to_string(), table);
        Ok(Machine {
            inside: Arc::new(inside),
            stage: Stage::Held,
            boot,
            expires: a.expires,
            uses,
            name: a.name.clone(),
            aliases: a.aliases.clone(),
            ports: a.ports.clone(),
            starts: 0,
        })
    }

    fn item(&self, site: &Site, id: &str) -> Option<Volume> {
        let things = self.things.of_id(id);
        let mut things = things.filter(|(_, thing)| thing.exists() && thing.site == *site);
        things.find_map(|(_, thing)| match &thing.body {
            Body::Item(volume) => Some(Arc::clone(volume)),
            _ => None,
        })
    }

    /// The files of a snapshot; nothing where the image is any other name.
    fn image(&self, site: &Site, id: &str) -> Tree {
        let things = self.things.of_id(id);
        let mut things = things.filter(|(_, thing)| thing.exists() && thing.site == *site);
        let tree = things.find_map(|(_, thing)| match &thing.body {
            Body::Image(tree, _) => Some(tree.clone()),
            _ => None,
        });
        tree.unwrap_or_default()
    }

    /// Starts the main process of a machine that has none.
    fn boot(&mut self, now: Instant, number: Number) -> Result<()> {
        self.ports_are_free(number)?;
        let Some(machine) = self.things.get_mut(number).and_then(Thing::machine_mut) else {
            return Ok(());
        };
        let run = Run::default();
        machine.starts += 1;
        machine.stage = Stage::Up {
            since: now,
            run: run.clone(),
        };
        let (boot, inside) = (machine.boot, Arc::clone(&machine.inside));
        let end = match &inside.table {
            table if table.fails(Fail::Boot) => Some((Duration::ZERO, table.exits.unwrap_or(1))),
            table => match (table.dies_after, table.exits) {
                (Some(after), exits) => Some((after.0, exits.unwrap_or(0))),
                (None, Some(code)) => Some((Duration::ZERO, code)),
                (None, None) => None,
            },
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(inside.main_process(run.clone(), boot));
        }
        if let Some((after, code)) = end {
            self.schedule(now + boot + after, move |_, _| run.end_by_itself(Exit::Code(code)));
        }
        Ok(())
    }

    /// Two machines of a site cannot have the same fixed port.
    fn ports_are_free(&self, number: Number) -> Result<()> {
        fn fixed(machine: &Machine) -> impl Iterator<Item = u16> + '_ {
            machine.ports.iter().filter_map(|port| match port.publish {
                Publish::Fixed(port) => Some(port),
                Publish::Free | Publish::Inside => None,
            })
        }
        let Some(thing) = self.things.get(number) else {
            return Ok(());
        };
        if thing.machine().and_then(|machine| fixed(machine).next()).is_none() {
            return Ok(());
        }
        let others = self
            .things
            .iter()
            .filter(|(other, that)| **other != number && that.exists() && that.site == thing.site);
        let up = others
            .filter_map(|(_, that)| that.machine())
            .filter(|that| matches!(that.stage, Stage::Up { .. }));
        let taken: Vec<u16> = up.flat_map(fixed).collect();
        match thing
            .machine()
            .and_then(|machine| fixed(machine).find(|port| taken.contains(port)))
        {
            Some(port) => Err(Error::new(ErrorKind::Conflict, "the port is taken").with("port", port)),
            None => Ok(()),
        }
    }

    pub(super) fn start(&mut self, now: Instant, deed: &Deed, a: &Target) -> Result<()> {
        let ours = self.mine(now, deed, a, Class::Machine)?;
        if ours.is_empty() {
            return Err(gone(a));
        }
        for number in ours {
            let thing = self.things.get(number);
            let (phase, id) = thing.map(|thing| (thing.phase(now), thing.id.clone())).unzip();
            match phase {
                Some(Phase::Held | Phase::Stopped) => {
                    self.boot(now, number)?;
                    let id = id.unwrap_or_default();
                    self.note(now, deed, What::Started { id });
                }
                Some(Phase::Paused) => {
                    if let Some(Stage::Up { run, .. }) = self.stage(number) {
                        run.go_on();
                    }
                    let id = id.unwrap_or_default();
                    self.note(now, deed, What::Started { id });
                }
                Some(Phase::Dying | Phase::Gone) | None => return Err(gone(a)),
                Some(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, now: Instant, deed: &Deed, a: &Stop) -> Result<()> {
        let ours = self.mine(now, deed, &a.target, Class::Machine)?;
        if ours.is_empty() {
            return Err(gone(&a.target));
        }
        let time = self.clock.time_at(now);
        for number in ours {
            let Some(thing) = self.things.get_mut(number) else {
                continue;
            };
            let id = thing.id.clone();
            let Some(machine) = thing.machine_mut() else { continue };
            if matches!(machine.stage, Stage::Up { .. }) {
                let kills = a.grace.is_zero();
                if let Some(line) = machine.inside.table.heeds.as_ref().filter(|_| !kills) {
                    machine.inside.log.say(time, line);
                }
                machine.end_run(Exit::Signal(if kills { "KILL" } else { "TERM" }.into()));
                machine.stage = Stage::Stopped;
                self.note(now, deed, What::Stopped { id });
            }
        }
        Ok(())
    }

    fn stage(&self, number: Number) -> Option<&Stage> {
        Some(&self.things.get(number)?.machine()?.stage)
    }

    pub(super) fn pause(&mut self, now: Instant, deed: &Deed, a: &Target) -> Result<()> {
        let ours = self.mine(now, deed, a, Class::Machine)?;
        if ours.is_empty() {
            return Err(gone(a));
        }
        for number in ours {
            let thing = self.things.get(number);
            let (phase, id) = thing.map(|thing| (thing.phase(now), thing.id.clone())).unzip();
            match (phase, self.stage(number)) {
                (Some(Phase::Running), Some(Stage::Up { run, .. })) => {
                    run.pause();
                    let id = id.unwrap_or_default();
                    self.note(now, deed, What::Paused { id });
                }
                (Some(Phase::Paused), _) => {}
                (Some(phase), _) => return Err(not_running(&phase)),
                (None, _) => return Err(gone(a)),
            }
        }
        Ok(())
    }

    pub(super) fn renew(&mut self, now: Instant, deed: &Deed, a: &Renew) -> Result<()> {
        let ours = self.mine(now, deed, &a.target, Class::Machine)?;
        if ours.is_empty() {
            return Err(gone(&a.target));
        }
        for number in ours {
            let Some(thing) = self.things.get_mut(number) else {
                continue;
            };
            let id = thing.id.clone();
            if let Some(machine) = thing.machine_mut() {
                machine.expires = Some(a.expires);
            }
            self.expire_at(number, a.expires);
            let expires = a.expires;
            self.note(now, deed, What::Renewed { id, expires });
        }
        Ok(())
    }

    pub(super) fn destroy(&mut self, now: Instant, deed: &Deed, a: &Target) -> Result<Removal> {
        let ours = self.mine(now, deed, a, Class::Machine)?;
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

/// A machine that is asked to do what only a running one can.
pub(super) fn not_running(phase: &Phase) -> Error {
    Error::new(ErrorKind::Unavailable, "the machine is not running")
        .retry(Retry::Safe)
        .with("phase", format!("{phase:?}"))
}
