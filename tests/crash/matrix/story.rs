//! One story: a command that is killed at a place, the commands that mend it, and what must hold then.

use std::fmt;

use serde_json::Value;

use crate::daemon::{Class, Thing};
use crate::decoys::{Decoys, Near};
use crate::files::{PAIR, PAIR_NAME, single};
use crate::installation::{Identity, Installation};
use crate::program::{Call, Ended};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Run,
    Up,
    Down,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// What is to happen.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) verb: Verb,
    /// Where the command is killed.
    pub(super) point: String,
    /// Where the command that mends it is killed.
    pub(super) again: Option<String>,
    /// Which of the ways to mend it is taken.
    turn: usize,
    pub(super) tries: usize,
}

impl Story {
    pub(super) fn name(&self) -> String {
        match &self.again {
            None => format!("{}:{}", self.verb, self.point),
            Some(again) => format!("{}:{} then {again}", self.verb, self.point),
        }
    }

    pub(super) fn again(&self, point: &str) -> Self {
        Self {
            again: Some(point.to_owned()),
            ..self.clone()
        }
    }
}

/// What a story covered.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) again: Option<String>,
    /// The places at which the command that mended it can be killed as well.
    pub(super) ways: Vec<String>,
}

/// Another small environment, whose commands tidy up as well.
const OTHER: &str = "other";

/// A story for each place that the three commands reach.
pub(super) fn all(identity: &Identity) -> Vec<Story> {
    let scene = Scene::new(identity);
    let mut stories = Vec::new();
    for verb in [Verb::Run, Verb::Up, Verb::Down] {
        let (ended, points) = scene.call(verb).traced(&scene.installation.trace());
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert!(
            !points.is_empty(),
            "the program knows no failpoints: cargo build --workspace --all-features"
        );
        stories.extend(points.into_iter().enumerate().map(|(turn, point)| Story {
            verb,
            point,
            again: None,
            turn,
            tries: 0,
        }));
    }
    scene.installation.is_empty();
    stories
}

/// Tells a story; nothing where its place was not reached. The text says which promise was broken.
pub(super) fn tell(story: &Story, identity: &Identity, decoys: &Decoys) -> Result<Option<Told>, String> {
    let scene = Scene::new(identity);
    let mut log = Vec::new();
    let told = scene.tell(story, decoys, &mut log).and_then(|told| {
        decoys.are_untouched()?;
        Ok(told)
    });
    told.map_err(|broken| {
        let log: Vec<String> = log.iter().map(ToString::to_string).collect();
        format!("{broken}\n  {}", log.join("  "))
    })
}

struct Scene {
    installation: Installation,
    pair: String,
    other: String,
}

impl Scene {
    fn new(identity: &Identity) -> Self {
        let installation = Installation::of(identity);
        let pair = installation.write("pair.toml", PAIR);
        let other = installation.write("other.toml", &single(OTHER));
        Self {
            installation,
            pair,
            other,
        }
    }

    fn call(&self, verb: Verb) -> Call {
        match verb {
            Verb::Run => self.installation.call(&["run", &self.pair]),
            Verb::Up => self.installation.call(&["up", &self.pair]),
            Verb::Down => self.installation.call(&["down", "-e", PAIR_NAME]),
        }
    }

    /// The command that mends what the story's command has left; none where it has left nothing.
    fn mending(&self, story: &Story) -> Option<Call> {
        let is_there = || self.names().iter().any(|name| name == PAIR_NAME);
        match (story.verb, story.turn % 4) {
            (Verb::Run, 1) => Some(self.installation.call(&["up", &self.other])),
            (Verb::Run, 3) => Some(self.installation.call(&["run", &self.other])),
            (Verb::Run, _) | (Verb::Down, 3) => Some(self.installation.call(&["gc"])),
            (Verb::Up, 0 | 2) | (Verb::Down, 1) => Some(self.call(Verb::Up)),
            (Verb::Up | Verb::Down, _) => is_there().then(|| self.call(Verb::Down)),
        }
    }

    fn tell(&self, story: &Story, decoys: &Decoys, log: &mut Vec<Ended>) -> Result<Option<Told>, String> {
        let mut near = None;
        if story.verb == Verb::Down {
            well(self.call(Verb::Up), log)?;
            near = Some(Near::of(&self.installation)?);
        }
        let is_foreign = |thing: &Thing| decoys.has(thing) || near.as_ref().is_some_and(|near| near.has(thing));
        let mut told = None;
        if killed(self.call(story.verb).killed_at(&story.point), log)? {
            let before = self.standing(is_foreign);
            told = self.mend(story, log)?;
            match (story.verb, story.turn % 4) {
                (Verb::Up, 0 | 2) if told.is_some() => self.has_converged(&before, &self.standing(is_foreign))?,
                // What the dead `down` wanted comes first, so that nothing need be what was there.
                (Verb::Down, 1) if told.is_some() => self.has_converged(&[], &self.standing(is_foreign))?,
                _ => {}
            }
        }
        self.end(log)?;
        let left = self.standing(is_foreign);
        if !left.is_empty() {
            return Err(format!("left behind: {left:#?}"));
        }
        near.map_or(Ok(()), Near::end)?;
        Ok(told)
    }

    /// Mends it, and is killed in between where the story says so; nothing where that place was not reached.
    fn mend(&self, story: &Story, log: &mut Vec<Ended>) -> Result<Option<Told>, String> {
        let mut told = Told {
            again: story.again.clone(),
            ways: Vec::new(),
        };
        if let Some(again) = &story.again {
            let Some(call) = self.mending(story) else {
                return Ok(None);
            };
            if !killed(call.killed_at(again), log)? {
                return Ok(None);
            }
        }
        if let Some(call) = self.mending(story) {
            let (ended, ways) = call.traced(&self.installation.trace());
            told.ways = ways;
            must_be_well(ended, log)?;
        }
        Ok(Some(told))
    }

    /// Everything is ready, once, and what was there before is still what is there.
    fn has_converged(&self, before: &[Thing], after: &[Thing]) -> Result<(), String> {
        let of = |class: Class| after.iter().filter(move |thing| thing.class == class);
        let mut machines: Vec<&str> = of(Class::Container)
            .map(|thing| thing.label("encamp.machine"))
            .collect();
        machines.sort_unstable();
        let all_run = of(Class::Container).all(|thing| thing.running);
        if machines != ["app", "db"] || !all_run || of(Class::Network).count() != 1 || of(Class::Volume).count() != 1 {
            return Err(format!("not what is described: {after:#?}"));
        }
        if let Some(lost) = before
            .iter()
            .find(|thing| !after.iter().any(|there| there.id == thing.id))
        {
            return Err(format!("made again although it was there: {lost:#?}"));
        }
        let shown = self
            .installation
            .call(&["show", "-e", PAIR_NAME, "--json"])
            .well()
            .json();
        let machines = shown["machines"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ids = |machine: &Value| of(Class::Container).any(|thing| machine["id"] == *thing.id);
        let all_ready = machines
            .iter()
            .all(|machine| machine["status"] == "ready" && ids(machine));
        let summary = &shown["environment"];
        if summary["state"] != "ready" || summary["ready"] != 2 || machines.len() != 2 || !all_ready {
            return Err(format!("it does not count as ready: {shown:#}"));
        }
        Ok(())
    }

    /// What the mending command has left on purpose: environments that are wanted, and runs that it says it has left.
    fn end(&self, log: &mut Vec<Ended>) -> Result<(), String> {
        let is_run = |name: &String| name.starts_with("pair-") || name.starts_with("other-");
        let mut names = self.names();
        if names.iter().any(is_run) {
            let said = log.last().map(Ended::said).unwrap_or_default();
            let is_said = |name: &String| said.contains(name.as_str()) && said.contains("encamp gc");
            if let Some(run) = names.iter().find(|name| is_run(name) && !is_said(name)) {
                return Err(format!("the dead {run} is still there, and nothing was said of it"));
            }
            well(self.installation.call(&["gc"]), log)?;
            names = self.names();
        }
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            well(self.installation.call(&["down", "-e", &name]), log)?;
        }
        match self.names().first() {
            Some(name) => Err(format!("{name} counts as there, and is not")),
            None => Ok(()),
        }
    }

    fn names(&self) -> Vec<String> {
        let environments = self.installation.environments();
        environments
            .iter()
            .filter_map(|one| Some(one["name"].as_str()?.to_owned()))
            .collect()
    }

    fn standing(&self, is_foreign: impl Fn(&Thing) -> bool) -> Vec<Thing> {
        let mut standing = self.installation.standing();
        standing.retain(|thing| !is_foreign(thing));
        standing
    }
}

fn well(call: Call, log: &mut Vec<Ended>) -> Result<(), String> {
    must_be_well(call.end(), log)
}

fn must_be_well(ended: Ended, log: &mut Vec<Ended>) -> Result<(), String> {
    let code = ended.code();
    log.push(ended);
    match code {
        Some(0) => Ok(()),
        _ => Err("the last of these did not go well".into()),
    }
}

/// Whether it was killed. It goes well where it did not come to the place.
fn killed(call: Call, log: &mut Vec<Ended>) -> Result<bool, String> {
    let ended = call.end();
    if ended.was_killed() {
        log.push(ended);
        return Ok(true);
    }
    must_be_well(ended, log).map(|()| false)
}
