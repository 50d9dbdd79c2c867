//! The numbers of ports on machines that share this host's network.
//!
//! A number is chosen once, among those that are free here and that no other environment of this installation has, and
//! stays with its port as long as the environment lives: so references to it are known before anything is made, and the
//! same description gives the same plan.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::Arc;

use encamp_core::{Error, ErrorKind, Protocol, Publish, Result};
use encamp_file::spec::{Environment, Machine};
use encamp_file::text::Numbers;

use crate::camp::Camp;
use crate::journal::{Answer, Op, Refusal};
use crate::session::Session;

/// Below the numbers that Linux gives to outgoing connections.
const RANGE: Range<u16> = 20_000..32_000;
/// How often another process's choice is made way for.
const TRIES: usize = 16;

/// Whether a machine shares this host's network.
fn on_host(camp: &Camp, machine: &Machine) -> bool {
    let mut instances = machine.providers.iter();
    instances.any(|instance| camp.providers.shares_host(instance))
}

/// Puts the numbers that were given before into a description.
fn apply(camp: &Camp, numbers: &Numbers, spec: &mut Environment) {
    if numbers.is_empty() {
        return;
    }
    for machine in &mut spec.machines {
        let Some(given) = numbers.get(&machine.name).filter(|_| on_host(camp, machine)) else {
            continue;
        };
        for port in &mut machine.ports {
            if let Some(number) = given.get(&port.name) {
                port.port = *number;
            }
        }
    }
    spec.numbers = Arc::new(numbers.clone());
}

/// A description with the numbers that were given before.
pub(crate) fn applied<'a>(camp: &Camp, numbers: &Numbers, spec: &'a Environment) -> Cow<'a, Environment> {
    let mut spec = Cow::Borrowed(spec);
    if !numbers.is_empty() {
        apply(camp, numbers, spec.to_mut());
    }
    spec
}

/// Gives a number to each port that has none yet, records them, and puts them into the description.
pub(crate) async fn allot(session: &mut Session, spec: &mut Environment) -> Result<()> {
    let camp = Arc::clone(&session.camp);
    let mut refused = BTreeSet::new();
    for _ in 0..TRIES {
        let numbers = choose(&camp, &session.row.numbers, spec, &refused).await?;
        if numbers == session.row.numbers {
            apply(&camp, &numbers, spec);
            return Ok(());
        }
        let op = Op::Allot {
            epoch: session.epoch.clone(),
            numbers: numbers.clone(),
        };
        match camp.commit(op).await? {
            Answer::Refused(Refusal::NumberTaken { number, by }) => {
                if !refused.insert(number) {
                    // The description says so itself.
                    return Err(held(number, &by).of_environment(&session.row.name));
                }
            }
            Answer::Refused(refusal) => return Err(session.refused(&refusal, "allot", "environment")),
            Answer::Done | Answer::Taken(..) => session.row.numbers = numbers,
        }
    }
    Err(exhausted().of_environment(&session.row.name))
}

fn held(number: u16, by: &str) -> Error {
    let why = format!("port {number} of this host belongs to the environment `{by}`");
    Error::new(ErrorKind::Conflict, why)
        .next_step(format!("drop `publish` to get a free port, or: encamp down -e {by}"))
}

fn exhausted() -> Error {
    let why = format!(
        "no free port was found on this host between {} and {}",
        RANGE.start, RANGE.end
    );
    Error::new(ErrorKind::Quota, why).next_step("encamp ls shows what holds them")
}

/// What is there already, and a free number for everything else.
async fn choose(camp: &Camp, known: &Numbers, spec: &Environment, refused: &BTreeSet<u16>) -> Result<Numbers> {
    let mut numbers = Numbers::new();
    let mut taken = refused.clone();
    let mut missing = Vec::new();
    for machine in spec.machines.iter().filter(|machine| on_host(camp, machine)) {
        let given = numbers.entry(machine.name.clone()).or_default();
        for port in machine.ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
            let before = known.get(&machine.name).and_then(|given| given.get(&port.name));
            let fixed = match port.publish {
                Publish::Fixed(number) => Some(number),
                _ => before.copied().filter(|number| RANGE.contains(number)),
            };
            match fixed {
                Some(number) => {
                    given.insert(port.name.clone(), number);
                    taken.insert(number);
                }
                None => missing.push((machine.name.clone(), port.name.clone())),
            }
        }
    }
    numbers.retain(|_, given| !given.is_empty());
    if missing.is_empty() {
        return Ok(numbers);
    }
    let rows = camp.journal.environments().await?;
    let living = rows.iter().filter(|row| row.disposed.is_none());
    taken.extend(living.flat_map(|row| row.numbers.values().flat_map(|given| given.values().copied())));
    for (machine, port) in missing {
        let number = free(camp, &mut taken)?;
        numbers.entry(machine).or_default().insert(port, number);
    }
    Ok(numbers)
}

/// A number that nobody has been given and nobody listens on.
fn free(camp: &Camp, taken: &mut BTreeSet<u16>) -> Result<u16> {
    let mut start = [0; 2];
    camp.entropy.fill(&mut start)?;
    let length = RANGE.end - RANGE.start;
    let start = u16::from_ne_bytes(start) % length;
    (0..length)
        .map(|step| RANGE.start + (start + step) % length)
        .find(|number| !taken.contains(number) && TcpListener::bind((Ipv4Addr::LOCALHOST, *number)).is_ok())
        .inspect(|number| _ = taken.insert(*number))
        .ok_or_else(exhausted)
}
