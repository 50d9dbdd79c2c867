//! One command on each of many hosts over SSH: claimed, run and given back by `encamp run`; beside a library, and beside
//! what others use for it.

mod floor;
mod lab;
mod others;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::docker::clock;
use crate::{Failure, median};
use lab::Lab;
use others::Other;

/// How many rounds are counted.
const ROUNDS: usize = 3;

/// Prints the medians of rounds in which each has its turn, for each number of hosts.
pub(crate) async fn compare(sizes: &[usize]) -> Result<(), Failure> {
    let mut lab = Lab::new()?;
    let others = others::there_are();
    for hosts in sizes {
        lab.grow(*hosts)?;
        once(&lab, *hosts, &others).await?;
    }
    Ok(())
}

/// Who takes part.
#[derive(Clone, Copy)]
enum Contender<'a> {
    Library,
    Encamp(Client),
    Other(&'a Other),
}

/// Which client of encamp's speaks to the hosts.
#[derive(Clone, Copy)]
enum Client {
    /// Its own, for keys in files.
    Own,
    /// The system's `ssh`.
    System,
}

impl Contender<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Library => "library: a connection and a command",
            Self::Encamp(Client::Own) => "encamp run",
            Self::Encamp(Client::System) => "encamp run, the system's ssh",
            Self::Other(other) => other.name,
        }
    }
}

async fn once(lab: &Lab, hosts: usize, others: &[Other]) -> Result<(), Failure> {
    let mut all = vec![
        Contender::Library,
        Contender::Encamp(Client::Own),
        Contender::Encamp(Client::System),
    ];
    all.extend(others.iter().map(Contender::Other));
    let program = program()?;
    let own = describe(lab, hosts, Client::Own)?;
    let system = describe(lab, hosts, Client::System)?;
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); all.len()];
    // The first round warms all up and is not counted.
    for round in 0..=ROUNDS {
        for turn in 0..all.len() {
            let who = (round + turn) % all.len();
            let began = clock();
            let done = match all[who] {
                Contender::Library => floor::round(lab, hosts).await,
                Contender::Encamp(Client::Own) => run(&program, &own),
                Contender::Encamp(Client::System) => run(&program, &system),
                Contender::Other(other) => finished(&mut other.command(lab), other.name),
            };
            let taken = began.elapsed();
            match done {
                Ok(()) if round > 0 => times[who].push(taken),
                Ok(()) => {}
                // It is told, and the others go on.
                Err(failure) => println!("round {round} does not count: {failure}"),
            }
        }
    }
    let medians: Vec<Duration> = times.iter().map(|times| median::of_times(times)).collect();
    println!("\n{hosts} hosts, one command on each, {ROUNDS} rounds (medians; the least and the most)");
    for ((who, taken), times) in all.iter().zip(&medians).zip(&times) {
        println!(
            "  {:<38} {taken:>8.2?}  {:>5.1} of the library  ({:.2?} to {:.2?}{})",
            who.name(),
            taken.as_secs_f64() / medians[0].as_secs_f64(),
            times.iter().min().copied().unwrap_or_default(),
            times.iter().max().copied().unwrap_or_default(),
            if times.len() < ROUNDS {
                format!("; {} rounds", times.len())
            } else {
                String::new()
            },
        );
    }
    let known = |taken: &Duration| !taken.is_zero() && !medians[1].is_zero();
    for (other, taken) in all.iter().zip(&medians).skip(3).filter(|(_, taken)| known(taken)) {
        println!(
            "  {} / encamp run = {:.2}",
            other.name(),
            taken.as_secs_f64() / medians[1].as_secs_f64()
        );
    }
    Ok(())
}

/// The program that users have, built beside this one.
fn program() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?.with_file_name("encamp");
    if program.is_file() {
        return Ok(program);
    }
    let build = "cargo build --release -p encamp-bench -p encamp-driver";
    Err(format!("{} is not there: {build}", program.display()).into())
}

/// A folder with an environment file, and with settings that lead to the client.
fn describe(lab: &Lab, hosts: usize, client: Client) -> Result<PathBuf, Failure> {
    let (name, settings) = match client {
        Client::Own => ("own", lab.settings()?),
        // Without a key of its own it asks the agent, and `ssh_config` names the key.
        Client::System => ("system", lab.settings()?.replace("\nidentity = ", "\n# identity = ")),
    };
    let folder = lab.folder().join(name);
    std::fs::create_dir_all(folder.join(".encamp"))?;
    std::fs::write(folder.join(".encamp/settings.toml"), settings)?;
    let text = format!(
        "name = \"bench\"\nttl = \"10m\"\n[machines.node]\nprovider = \"lab\"\ncount = {hosts}\n\
         [[stages]]\nname = \"one\"\n[[stages.tasks]]\nname = \"true\"\non = \"node\"\nrun = \"true\"\n"
    );
    std::fs::write(folder.join("encamp.toml"), text)?;
    Ok(folder)
}

/// Claims all hosts, runs the command and gives them back.
fn run(program: &Path, folder: &Path) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command
        .arg("run")
        .current_dir(folder)
        .env("HOME", folder)
        .env("ENCAMP__STATE_DIR", folder.join("state"))
        // All hosts share the processors of this machine, so the last one is slow to answer.
        .env("ENCAMP__TIMEOUTS__CHECK", "1m");
    finished(&mut command, "encamp run")
}

/// Runs a program to its end, which must be a good one.
fn finished(command: &mut Command, name: &str) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    Err(format!("{name}: {}\n{}", output.status, said.concat()).into())
}
