//! What an expression speaks of, checked by its text alone: also where it is not evaluated.

use std::collections::BTreeSet;
use std::ops::Range;

use encamp_core::Name;

use crate::codes;
use crate::expr::FUNCTIONS;
use crate::nearest;
use crate::objects::{self, Fault, GROUP_FIELDS, MACHINE_FIELDS, PORT_FIELDS, SHARED_FIELDS};
use crate::scan::{Chain, Step, Word};
use crate::world::{Target, View, World};

/// Where an expression stands, as far as names are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) world: &'a World,
    pub(crate) view: View,
    pub(crate) has_stage: bool,
}

/// A fault and the piece of the expression that it is about.
type Misfit = (Range<usize>, Box<Fault>);

fn misfit(at: &Range<usize>, fault: Fault) -> Misfit {
    (at.clone(), Box::new(fault))
}

/// What is wrong with one chain.
pub(crate) fn check(chain: &Chain, here: Here<'_>) -> Result<(), Misfit> {
    let root = &chain.root;
    match root.text.as_str() {
        "inputs" => input(chain, here.world),
        "machines" | "me" if here.view == View::Early => Err(misfit(
            &root.range,
            Fault::new(
                codes::UNKNOWN_VARIABLE,
                format!(
                    "`{}` is not known here, where it is decided which machines there are",
                    root.text
                ),
                "only `inputs` is known here".to_owned(),
            ),
        )),
        "machines" => match chain.steps.split_first() {
            Some((Step::Name(word), rest)) => {
                let target = machine(word, here.world)?;
                attribute(target, rest, chain, here)
            }
            _ => Ok(()),
        },
        "me" => match here.view {
            View::Member(target) => attribute(some_member(target, here.world), &chain.steps, chain, here),
            _ => Err(misfit(
                &root.range,
                Fault::new(
                    codes::NO_ME,
                    "`me` is a machine, and the controller is none",
                    "name the machine: `machines.…`".to_owned(),
                ),
            )),
        },
        "stage" if here.has_stage => Ok(()),
        "stage" => Err(misfit(
            &root.range,
            Fault::new(
                codes::UNKNOWN_VARIABLE,
                "`stage` is known only in the tasks of a stage",
                None,
            ),
        )),
        "secret" => secret(chain, here),
        name => free(name, chain, here),
    }
}

/// The name stands there itself, so that what a file needs is known before any secret is read.
fn secret(chain: &Chain, here: Here<'_>) -> Result<(), Misfit> {
    let root = &chain.root.range;
    if here.view == View::Early {
        let message = "a secret is not known here, where it is decided which machines there are";
        return Err(misfit(root, Fault::new(codes::UNKNOWN_VARIABLE, message, None)));
    }
    let call = chain.call.as_ref().filter(|_| chain.steps.is_empty());
    let Some(word) = call.and_then(|call| call.first.as_ref()) else {
        let help = "write `secret('…')`".to_owned();
        let message = "`secret` takes a name in quotes";
        return Err(misfit(root, Fault::new(codes::UNKNOWN_SECRET, message, help)));
    };
    let known = || here.world.secrets.iter().map(Name::as_str);
    if known().any(|name| name == word.text) {
        return Ok(());
    }
    let help = nearest::did_you_mean(&word.text, known())
        .unwrap_or_else(|| format!("declare it: `[secrets]` `{} = {{ variable = \"…\" }}`", word.text));
    let message = format!("no secret is called `{}`", word.text);
    Err(misfit(&word.range, Fault::new(codes::UNKNOWN_SECRET, message, help)))
}

/// In a group, whichever member `me` is, it has what the first has.
pub(crate) fn some_member(target: Target, world: &World) -> Target {
    if world.is_group(target) {
        Target {
            decl: target.decl,
            member: Some(0),
        }
    } else {
        target
    }
}

fn free(name: &str, chain: &Chain, here: Here<'_>) -> Result<(), Misfit> {
    let at = &chain.root.range;
    let called = chain.call.is_some() && chain.steps.is_empty();
    if called && FUNCTIONS.contains(&name) {
        return Ok(());
    }
    if called {
        let help = nearest::did_you_mean(name, FUNCTIONS);
        let fault = Fault::new(codes::UNKNOWN_ATTRIBUTE, format!("there is no function `{name}`"), help);
        return Err(misfit(at, fault));
    }
    let help = if here.world.inputs.contains_key(name) {
        Some(format!("write `inputs.{name}`"))
    } else if here.world.find(name).is_some() {
        Some(format!("write `machines.{name}`"))
    } else if name == "self" {
        Some("the machine itself is `me`".to_owned())
    } else {
        nearest::did_you_mean(name, ["inputs", "machines", "me", "stage"])
    };
    Err(misfit(
        at,
        Fault::new(
            codes::UNKNOWN_VARIABLE,
            format!("nothing is called `{name}` here"),
            help,
        ),
    ))
}

fn input(chain: &Chain, world: &World) -> Result<(), Misfit> {
    let Some(Step::Name(word)) = chain.steps.first() else {
        return Ok(());
    };
    let known = |name: &str| world.inputs.contains_key(name);
    if let Some(misread) = dashed(word, known, "inputs") {
        return misread;
    }
    if known(&word.text) {
        return Ok(());
    }
    let names = || world.inputs.keys().map(String::as_str);
    let help = nearest::did_you_mean(&word.text, names())
        .unwrap_or_else(|| format!("declare it: `[inputs]` `{} = {{ default = … }}`", word.text));
    Err(misfit(
        &word.range,
        Fault::new(
            codes::UNKNOWN_INPUT,
            format!("no input is called `{}`", word.text),
            help,
        ),
    ))
}

/// `x.my-db` without quotes: a known name that has to be quoted, or a real minus behind a known name.
fn dashed(word: &Word, known: impl Fn(&str) -> bool, root: &str) -> Option<Result<(), Misfit>> {
    let bare = word.range.len() == word.text.len();
    let (before, _) = word.text.split_once('-')?;
    if !bare {
        return None;
    }
    if known(&word.text) {
        let message = format!("`-` is a minus in an expression, so `{}` has to be quoted", word.text);
        let help = format!("write `{root}['{}']`", word.text);
        return Some(Err(misfit(
            &word.range,
            Fault::new(codes::UNKNOWN_VARIABLE, message, help),
        )));
    }
    known(before).then_some(Ok(()))
}

fn machine(word: &Word, world: &World) -> Result<Target, Misfit> {
    let known = |name: &str| world.find(name).is_some();
    if let Some(Err(misfit)) = dashed(word, known, "machines") {
        return Err(misfit);
    }
    let bare = word.range.len() == word.text.len();
    let name = match word.text.split_once('-') {
        Some((before, _)) if bare && known(before) => before,
        _ => word.text.as_str(),
    };
    world
        .find(name)
        .ok_or_else(|| misfit(&word.range, unknown_machine(name, world)))
}

pub(crate) fn unknown_machine(name: &str, world: &World) -> Fault {
    let help = nearest::did_you_mean(name, world.names())
        .unwrap_or_else(|| format!("machines: {}", nearest::listed(world.names())));
    Fault::new(codes::UNKNOWN_MACHINE, format!("no machine is called `{name}`"), help)
}

fn attribute(target: Target, steps: &[Step], chain: &Chain, here: Here<'_>) -> Result<(), Misfit> {
    let world = here.world;
    let name = world.name(target);
    match steps.split_first() {
        Some((Step::Index(index, range), rest)) if world.is_group(target) => {
            let member = member(target, *index, world).ok_or_else(|| {
                let count = world.decl(target).len();
                let message = format!("the group `{name}` has no member {index}");
                let help = format!("its members are 0 to {}", count.saturating_sub(1));
                misfit(range, Fault::new(codes::BAD_INDEX, message, help))
            })?;
            attribute(member, rest, chain, here)
        }
        Some((Step::Index(_, range), _)) => {
            let message = format!("`{name}` is one machine, not a group");
            let help = "without `[…]`; with `count`, even 1, it would be a group".to_owned();
            Err(misfit(range, Fault::new(codes::BAD_INDEX, message, help)))
        }
        Some((Step::Name(word), rest)) if word.text == objects::OUTPUTS && !world.is_group(target) => {
            output(target, rest, word, world)
        }
        Some((Step::Name(word), rest)) => field(target, word, rest.is_empty(), chain, here),
        Some((Step::Open, _)) | None => Ok(()),
    }
}

fn member(target: Target, index: i64, world: &World) -> Option<Target> {
    let count = i64::try_from(world.decl(target).len()).ok()?;
    let index = if index < 0 { index + count } else { index };
    (0..count).contains(&index).then_some(Target {
        decl: target.decl,
        member: u32::try_from(index).ok(),
    })
}

/// `outputs` and the name that follows.
fn output(target: Target, steps: &[Step], word: &Word, world: &World) -> Result<(), Misfit> {
    let decl = world.decl(target);
    match steps.first() {
        Some(Step::Name(name)) if decl.outputs.iter().any(|known| known.as_str() == name.text) => Ok(()),
        Some(Step::Name(name)) => Err(misfit(&name.range, objects::unknown_output(decl, &name.text))),
        Some(_) => Ok(()),
        None => {
            let help = "write `outputs.NAME`, the name of a step's `output`".to_owned();
            let fault = Fault::new(codes::UNKNOWN_OUTPUT, "`outputs` needs a name", help);
            Err(misfit(&word.range, fault))
        }
    }
}

fn field(target: Target, word: &Word, last: bool, chain: &Chain, here: Here<'_>) -> Result<(), Misfit> {
    let world = here.world;
    let field = word.text.as_str();
    let refused = |fault| Err(misfit(&word.range, fault));
    let many = GROUP_FIELDS.iter().find(|(many, _)| *many == field);
    let one = match (world.is_group(target), many) {
        (true, Some((_, one))) => *one,
        (true, None) if SHARED_FIELDS.contains(&field) => field,
        (false, _) if MACHINE_FIELDS.contains(&field) => field,
        (true, None) => {
            let known = GROUP_FIELDS.iter().map(|(many, _)| *many).chain(SHARED_FIELDS);
            let message = format!("the group `{}` has no `{field}`", world.name(target));
            return refused(Fault::new(
                codes::UNKNOWN_ATTRIBUTE,
                message,
                nearest::did_you_mean(field, known.clone())
                    .or_else(|| Some(format!("it has: {}", nearest::listed(known)))),
            ));
        }
        (false, _) => {
            let help = nearest::did_you_mean(field, MACHINE_FIELDS)
                .unwrap_or_else(|| format!("it has: {}", nearest::listed(MACHINE_FIELDS)));
            let message = format!("a machine has no `{field}`");
            return refused(Fault::new(codes::UNKNOWN_ATTRIBUTE, message, help));
        }
    };
    if one == "index" && world.decl(target).members.is_none() {
        return refused(objects::no_index(world.name(target)));
    }
    let Some(call) = chain.call.as_ref().filter(|_| last) else {
        if PORT_FIELDS.contains(&one) {
            let message = format!("`{field}` needs the name of a port");
            return refused(Fault::new(
                codes::UNKNOWN_PORT,
                message,
                format!("write `{field}('…')`"),
            ));
        }
        return Ok(());
    };
    let Some(port_name) = &call.first else { return Ok(()) };
    let decl = world.decl(target);
    match decl.port(&port_name.text) {
        None => Err(misfit(&port_name.range, objects::unknown_port(decl, &port_name.text))),
        Some(port) if here.view == View::Controller && one != "port" && many.is_none() => {
            match objects::never_published(world, target, port) {
                Some(fault) => refused(fault),
                None => Ok(()),
            }
        }
        Some(_) => Ok(()),
    }
}

/// The machines that a late expression may read, by its text; too many rather than too few.
pub(crate) fn may_read(chains: &[Chain], here: Here<'_>) -> BTreeSet<Target> {
    chains.iter().filter_map(|chain| reads(chain, here)).collect()
}

fn reads(chain: &Chain, here: Here<'_>) -> Option<Target> {
    if chain.root.text != "machines" {
        return None;
    }
    let Some((Step::Name(word), mut rest)) = chain.steps.split_first() else {
        return None;
    };
    let mut target = machine(word, here.world).ok()?;
    if let Some((Step::Index(index, _), after)) = rest.split_first() {
        target = member(target, *index, here.world)?;
        rest = after;
    }
    let is_own = matches!(here.view, View::Member(me) if me.decl == target.decl);
    match rest.first() {
        Some(Step::Name(word)) => match word.text.as_str() {
            "name" | "names" | "index" | "port" | "ports" => None,
            "address" | "addresses" | objects::OUTPUTS => Some(target),
            _ => (!is_own).then_some(target),
        },
        _ => Some(target),
    }
}
