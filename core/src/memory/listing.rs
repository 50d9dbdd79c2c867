//! What a world lets be seen.

use tokio::time::Instant;

use super::settings::Settings;
use super::state::State;
use super::thing::{Body, Machine, Thing};
use crate::layers::Draw;
use crate::{
    Access, Addr, AddrScope, Class, Coverage, Error, ErrorKind, Found, Keeps, Labels, List, Listing, Observed, Phase,
    Publish, Published, Retry, Site, Target, Verb,
};

impl State {
    /// Lists sites; where `partial` is given, some of them incompletely.
    pub(super) fn list(
        &self,
        now: Instant,
        (sites, settings): (&[Site], &Settings),
        a: &List,
        partial: Option<(Draw, f64)>,
    ) -> Listing {
        let mut listing = Listing::default();
        for site in sites {
            if self.down.contains(site) {
                listing
                    .coverage
                    .push(Coverage::partial(site.clone(), unreachable(site)));
                continue;
            }
            let draw = partial.map(|(draw, probability)| (draw.text(site.as_str()), probability));
            let cut = draw
                .filter(|(draw, probability)| draw.happens(*probability))
                .map(|(draw, _)| draw);
            let seen = self
                .things
                .values()
                .filter(|thing| thing.site == *site && thing.listed(now));
            let wanted = seen.filter(|thing| is_wanted(thing, a, settings.keeps));
            let kept = wanted.filter(|thing| cut.is_none_or(|draw| draw.text(&thing.id).happens(0.5)));
            listing.found.extend(kept.map(|thing| found(thing, now, settings)));
            listing.coverage.push(if cut.is_some() {
                let error = Error::new(ErrorKind::Unavailable, "the listing broke off").retry(Retry::Safe);
                Coverage::partial(site.clone(), error)
            } else {
                Coverage::complete(site.clone())
            });
        }
        listing
    }

    /// One look at a machine; gone where nothing that carries the stamp is to be seen.
    pub(super) fn inspect(&self, now: Instant, settings: &Settings, a: &Target) -> Observed {
        // Whatever the carrier keeps of a stamp, it keeps the key.
        let mut seen = self.things.of_key(a.stamp.key.as_str()).filter(|(_, thing)| {
            let known = a.id.as_deref() == Some(thing.id.as_str());
            thing.class == Class::Machine
                && thing.site == a.site
                && (known && thing.exists() || thing.listed(now))
                && thing.carries(&a.stamp, settings.keeps)
        });
        match seen.next_back() {
            Some((_, thing)) => observed(thing, now, settings),
            None => Observed::new(Phase::Gone, a.id.clone().unwrap_or_default(), Access::None),
        }
    }
}

/// Nothing reaches into what does not run, or where no command is offered.
fn access(settings: &Settings, phase: &Phase) -> Access {
    if *phase == Phase::Running && !settings.without.contains(&Verb::Exec) {
        Access::Native
    } else {
        Access::None
    }
}

pub(super) fn unreachable(site: &Site) -> Error {
    Error::new(ErrorKind::Unavailable, "the site cannot be reached")
        .retry(Retry::Safe)
        .with("site", site)
}

/// By key and, where there are labels, by label: each finds what the other misses.
fn is_wanted(thing: &Thing, a: &List, keeps: Keeps) -> bool {
    let none = Labels::new();
    let labels = if keeps == Keeps::Labels { &thing.labels } else { &none };
    a.takes(&thing.key, labels)
}

fn found(thing: &Thing, now: Instant, settings: &Settings) -> Found {
    let keeps = settings.keeps;
    // A listing that is behind still shows what is gone as it was last.
    let phase = match thing.phase(now) {
        Phase::Gone => Phase::Dying,
        phase => phase,
    };
    let mut found = Found::new(
        thing.class,
        thing.key.clone(),
        thing.id.clone(),
        thing.site.clone(),
        phase,
    );
    found.labels = if keeps == Keeps::Labels {
        thing.labels.clone()
    } else {
        Labels::new()
    };
    found.token = Some(thing.token.clone()).filter(|token| keeps == Keeps::Labels && !token.is_empty());
    found.access = (thing.class == Class::Machine).then(|| access(settings, &found.phase));
    found
}

fn observed(thing: &Thing, now: Instant, settings: &Settings) -> Observed {
    let phase = match thing.phase(now) {
        Phase::Gone => Phase::Dying,
        phase => phase,
    };
    let why = match (&phase, &thing.body) {
        (Phase::Exited(exit), _) => Some(format!("the main process {exit}")),
        (Phase::Starting, _) => Some("booting".to_owned()),
        _ => None,
    };
    let access = access(settings, &phase);
    let mut observed = Observed::new(phase, thing.id.clone(), access);
    observed.why = why;
    if let (Body::Machine(machine), Phase::Running | Phase::Starting | Phase::Paused) = (&thing.body, &observed.phase) {
        observed.health = machine.health(now);
        observed.addrs = vec![Addr::new(machine.name.as_str(), AddrScope::Scope)];
        observed.ports = published(machine, &thing.id);
    }
    observed
}

/// A free port is another one after every start.
fn published(machine: &Machine, id: &str) -> Vec<Published> {
    let ports = machine.ports.iter().filter_map(|spec| {
        let host_port = match spec.publish {
            Publish::Inside => return None,
            Publish::Fixed(port) => port,
            Publish::Free => {
                let draw = Draw::seeded(0)
                    .text(id)
                    .text(spec.name.as_str())
                    .number(machine.starts.into());
                32_768 + u16::try_from(draw.bits() % 28_000).unwrap_or(0)
            }
        };
        Some(Published::new(spec.port, "127.0.0.1", host_port))
    });
    ports.collect()
}
