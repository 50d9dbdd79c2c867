//! One seed: an infrastructure, a story of commands with crashes, and what must hold at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use encamp_core::memory::{Foreign, Outcome, What};
use encamp_core::{Class, Site};
use encamp_engine::events::Events;
use encamp_engine::journal::{IntentState, Memory, Purpose};
use encamp_engine::report::Disposal;
use encamp_engine::{Keep, RunOptions};
use encamp_file::spec::{Command, Environment, Machine, On, Probe, Stage, Task};
use encamp_file::text::Text;

use crate::bed::{Bed, Dice, INSTANCE};

/// What a story covered.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) stories: u64,
    pub(crate) commands: u64,
    pub(crate) crashes: u64,
    pub(crate) made: u64,
    pub(crate) failed_calls: u64,
}

impl Told {
    pub(crate) fn add(&mut self, other: &Self) {
        self.stories += other.stories;
        self.commands += other.commands;
        self.crashes += other.crashes;
        self.made += other.made;
        self.failed_calls += other.failed_calls;
    }
}

/// Tells the story of a seed; the text says which promise was broken.
pub(crate) fn tell(seed: u64) -> Result<Told, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(Box::pin(story(seed)))
}

async fn story(seed: u64) -> Result<Told, String> {
    let mut dice = Dice::new(seed);
    let settings = infrastructure(&mut dice);
    let bed = Bed::new(seed, settings.clone(), Arc::new(Memory::default()));
    let mut told = Told {
        stories: 1,
        ..Told::default()
    };
    let mut again = None;
    for _ in 0..2 + dice.below(4) {
        told.commands += 1;
        bed.crash.arm(if dice.chance(60) { 1 + dice.below(60) } else { 0 });
        let what = again.take().unwrap_or_else(|| (dice.below(10), dice.below(3)));
        let crashed = tokio::select! {
            biased;
            () = bed.crash.happened() => true,
            done = Box::pin(command(&bed, &mut dice, what)) => { done?; false }
        };
        bed.crash.arm(0);
        // Whoever sees a command die types it again.
        if crashed && dice.chance(70) {
            again = Some(what);
        }
        told.crashes += u64::from(crashed);
        decoys(&bed, &mut dice).await;
        if dice.chance(if crashed { 60 } else { 20 }) {
            tokio::time::sleep(Duration::from_secs(dice.below(7200))).await;
        }
    }
    end(&bed).await.map_err(|broken| format!("{broken}\n  on {settings}"))?;
    let history = bed.world.history();
    told.made = history
        .iter()
        .filter(|entry| matches!(entry.what, What::Made { .. }))
        .count() as u64;
    told.failed_calls = history
        .iter()
        .filter(|entry| matches!(entry.what, What::Answered(Outcome::Err(..))))
        .count() as u64;
    Ok(told)
}

/// An infrastructure that goes wrong in ways of its own.
fn infrastructure(dice: &mut Dice) -> serde_json::Value {
    let settling = |dice: &mut Dice| match dice.below(3) {
        0 => serde_json::json!("replay"),
        1 => serde_json::json!({ "replay_for": "24h" }),
        _ => serde_json::json!({ "lookup": { "request_life": "20s", "visibility": "5s" } }),
    };
    let mut rate = |most: u64| u32::try_from(dice.below(most)).map_or(0.0, |n| f64::from(n) / 100.0);
    let faults = serde_json::json!({
        "lost_reply": rate(20), "late": rate(40), "unheard": rate(15), "hang": rate(20), "refused": rate(10),
        "throttled": rate(15), "partial_list": rate(90), "slow": rate(20), "slowness": "3s", "no_capacity": rate(5),
    });
    let machines = settling(dice);
    let scopes = settling(dice);
    serde_json::json!({
        "machines": machines, "scopes": scopes, "held": dice.chance(50), "network": dice.chance(70),
        "removal": *dice.pick(&["0s", "500ms", "4s"]), "boot": *dice.pick(&["20ms", "3s"]), "faults": faults,
    })
}

/// The environment of the story, in one of its versions.
fn description(version: u64) -> Environment {
    let name = |text: &str| encamp_core::Name::new(text).expect("a name");
    let instance = encamp_core::InstanceName::new(INSTANCE).expect("a name");
    let memory = encamp_core::KindName::new("memory").expect("a name");
    let machine = |who: &str, image: String, after: &[&str]| {
        let mut machine = Machine::new(name(who), vec![instance.clone()]);
        machine.tables.insert(
            memory.clone(),
            encamp_file::text::Tree::fixed(serde_json::json!({ "image": image })),
        );
        machine.after = after.iter().map(|other| name(other)).collect();
        let probe = Command::Argv(vec![Text::literal("true")]);
        machine.ready = vec![Probe::new(encamp_file::spec::Condition::Run(probe))];
        machine
    };
    let mut machines = vec![
        machine("db", "db".into(), &[]),
        machine("web-0", format!("web:{version}"), &["db"]),
    ];
    if version != 1 {
        machines.push(machine("web-1", format!("web:{version}"), &["db"]));
    }
    if version == 2 {
        machines.push(machine("cache", "cache".into(), &[]));
    }
    let mut environment = Environment::new(name("story"), Duration::from_hours(1), machines, "/");
    let run = Command::Argv(vec![Text::literal("true")]);
    let task = Task::new(name("check"), On::Machines(name("web-0")), run);
    environment.stages = vec![Stage::new(name("test"), vec![task])];
    environment
}

/// One command of the story. Whatever it answers, what it says to be gone must be gone, at that very moment.
async fn command(bed: &Bed, dice: &mut Dice, (verb, version): (u64, u64)) -> Result<(), String> {
    let (camp, none) = (&bed.camp, Events::none);
    let spec = description(version);
    match verb {
        0..=2 => {
            if let Ok(pending) = camp.prepare_up(spec, none()).await {
                let _ = pending.execute().await;
            }
        }
        3..=5 => {
            let mut options = RunOptions::default();
            options.keep = if dice.chance(20) { Keep::OnFailure } else { Keep::Never };
            let stop = options.stop.clone();
            let stopping = async {
                if dice.chance(40) {
                    tokio::time::sleep(Duration::from_millis(dice.below(6_000))).await;
                    stop.cancel();
                }
                std::future::pending::<()>().await;
            };
            let ran = tokio::select! {
                ran = camp.run(spec, options, none()) => ran,
                () = stopping => return Ok(()),
            };
            if let Ok(report) = ran
                && let Some(disposal) = &report.disposal
            {
                truly_gone(bed, disposal, &report.id)?;
            }
        }
        6 => {
            if let Ok(Some(row)) = camp.find("story").await
                && let Ok(disposal) = camp.down("story", none()).await
            {
                truly_gone(bed, &disposal, row.id.as_str())?;
            }
        }
        7 => {
            let _ = camp.extend("story", Duration::from_mins(60 + dice.below(60))).await;
        }
        // With the store as it is there is nothing that it does not know.
        8 => {
            if let Ok(recovery) = camp.recover().await
                && recovery.recorded() > 0
            {
                return Err(format!("made without a row: {recovery:?}"));
            }
        }
        _ => {
            if let Ok(swept) = camp.gc(&none()).await
                && swept.is_clean()
            {
                let rows = bed.journal.environments().await.map_err(|e| format!("{e:?}"))?;
                let abandoned = rows
                    .iter()
                    .find(|row| row.purpose == Purpose::Run && !row.keep && row.disposed.is_none());
                if let Some(row) = abandoned {
                    return Err(format!("gc left the dead run {}", row.name));
                }
            }
        }
    }
    Ok(())
}

fn truly_gone(bed: &Bed, disposal: &Disposal, id: &str) -> Result<(), String> {
    let there: Vec<_> = bed
        .world
        .standing()
        .into_iter()
        .filter(|thing| thing.environment() == id)
        .collect();
    match there.first() {
        Some(thing) if disposal.is_clean() => Err(format!(
            "said to be gone, and there: {thing:?}\n{}",
            about(bed, &thing.key)
        )),
        _ => Ok(()),
    }
}

/// Things of others that look like ours, beside what there is.
async fn decoys(bed: &Bed, dice: &mut Dice) {
    let mut rows = Vec::new();
    for environment in bed.journal.environments().await.expect("memory") {
        rows.extend(bed.journal.intents(&environment.id).await.expect("memory"));
    }
    let Some(row) = rows.first() else { return };
    let site = Site::new(row.site.as_str());
    let foreign = match dice.below(4) {
        0 => Foreign::with_copied_labels(&row.stamp, "someone-elses"),
        1 => Foreign::of_other_controller(&row.stamp),
        2 => Foreign::with_our_prefix(&row.stamp),
        _ => Foreign::new("unrelated", encamp_core::Labels::new()),
    };
    bed.world.add_foreign(&site, foreign);
}

/// The infrastructure calms down, ordinary commands clean up, and the promises are checked.
async fn end(bed: &Bed) -> Result<(), String> {
    // What is late may arrive after everybody has finished: a second sweep deals with it.
    bed.world.calm();
    for _ in 0..2 {
        if let Some(row) = bed.camp.find("story").await.map_err(|e| format!("{e:?}"))? {
            let disposal = bed
                .camp
                .down(&row.name, Events::none())
                .await
                .map_err(|e| format!("down: {e:?}"))?;
            if !disposal.is_clean() {
                return Err(format!("down left {:?}", disposal.left));
            }
        }
        tokio::time::sleep(Duration::from_hours(2)).await;
        bed.world.rest().await;
        let swept = bed.camp.gc(&Events::none()).await.map_err(|e| format!("gc: {e:?}"))?;
        if !swept.is_clean() || !swept.held.is_empty() {
            return Err(format!("gc left {swept:?}"));
        }
    }
    bed.world.rest().await;
    promises(bed).await?;
    straggler(bed).await
}

/// A sender that was paused between its last check and its send, and wakes when everybody has finished.
async fn straggler(bed: &Bed) -> Result<(), String> {
    let mut rows = Vec::new();
    for environment in bed.journal.environments().await.map_err(|e| format!("{e:?}"))? {
        rows.extend(
            bed.journal
                .intents(&environment.id)
                .await
                .map_err(|e| format!("{e:?}"))?,
        );
    }
    let Some(row) = rows
        .iter()
        .find(|row| row.class == Class::Machine && row.last_sent.is_some())
    else {
        return Ok(());
    };
    let cx = encamp_core::Cx::within(Duration::from_mins(1));
    let provider = bed
        .camp
        .providers
        .connect(&cx, &row.instance)
        .await
        .map_err(|e| format!("{e:?}"))?;
    let request: encamp_core::Create = serde_json::from_str(&row.request).map_err(|e| e.to_string())?;
    let ticket = encamp_core::Ticket::of_committed_intent(row.key().clone(), encamp_core::Verb::Create, row.epoch);
    let _ = provider.create(&cx, &ticket, request).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    bed.camp.gc(&Events::none()).await.map_err(|e| format!("gc: {e:?}"))?;
    tokio::time::sleep(Duration::from_mins(1)).await;
    match bed.world.machines().first() {
        Some(late) => Err(format!("a straggler of a disposed environment stays: {late:?}")),
        None => Ok(()),
    }
}

async fn promises(bed: &Bed) -> Result<(), String> {
    let standing: Vec<_> = bed
        .world
        .standing()
        .into_iter()
        .filter(|thing| thing.class != Class::Image)
        .collect();
    if !standing.is_empty() {
        return Err(format!("left behind: {standing:?}\n{}", about(bed, &standing[0].key)));
    }
    if let Some(harmed) = bed.world.harmed().first() {
        return Err(format!("another's was touched: {harmed:?}"));
    }
    if let Some(double) = bed.world.doubles().first() {
        return Err(format!("twice at once: {double:?}\n{}", about(bed, &double.key)));
    }
    let mut written = BTreeSet::new();
    for environment in bed.journal.environments().await.map_err(|e| format!("{e:?}"))? {
        if environment.disposed.is_none() {
            return Err(format!(
                "{} counts as there although everything is gone",
                environment.name
            ));
        }
        for row in bed
            .journal
            .intents(&environment.id)
            .await
            .map_err(|e| format!("{e:?}"))?
        {
            if row.state != IntentState::Gone {
                return Err(format!(
                    "{} is {} in a disposed environment",
                    row.object,
                    row.state.as_str()
                ));
            }
            written.insert(row.key().to_string());
        }
    }
    let disposed: BTreeMap<String, encamp_core::Time> = bed
        .journal
        .environments()
        .await
        .map_err(|e| format!("{e:?}"))?
        .into_iter()
        .filter_map(|row| Some((row.id.to_string(), row.disposed?)))
        .collect();
    for entry in bed.world.history() {
        if let What::Made { environment, .. } = &entry.what
            && disposed.get(environment).is_some_and(|at| entry.at > *at)
        {
            return Err(format!(
                "made after its environment was disposed of: {entry:?}\n{}",
                about(bed, &entry.key)
            ));
        }
        if matches!(entry.what, What::Made { .. }) && !written.contains(&entry.key) {
            return Err(format!("made without a record: {entry:?}"));
        }
    }
    Ok(())
}

/// Everything that happened to one key, for a person who looks for the reason.
fn about(bed: &Bed, key: &str) -> String {
    let of_key = bed.world.history().into_iter().filter(|entry| entry.key == key);
    of_key
        .map(|entry| format!("  {} {:?} {:?}", entry.at, entry.verb, entry.what))
        .collect::<Vec<_>>()
        .join("\n")
}
