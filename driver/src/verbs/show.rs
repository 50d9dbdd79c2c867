//! `encamp show`: one environment, from the store alone; with `--live` its machines are looked at as well.

use std::collections::BTreeMap;

use encamp::{Environment, Error, Looked, Machine, Phase, Value};
use serde_json::json;

use super::ls::{ending, summary_json};
use crate::arguments::Show;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, error_json};
use crate::{clean, output, place, words};

/// What a look at each machine showed.
type Looks = BTreeMap<String, Result<Looked, Error>>;

pub(super) async fn show(cx: &Context, args: &Show) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.of).await?;
    let looks = if args.live {
        environment.look(cx.settings.policy.check).await?
    } else {
        Looks::new()
    };
    if cx.json {
        output::json(
            &json!({ "environment": summary_json(environment.summary()), "outputs": environment.outputs(), "machines": machines_json(&environment, &looks), "shared": shared_json(&environment) }),
        );
        return Ok(Exit::Well);
    }
    output::result(&head(cx, &environment));
    let held = is_held(&environment);
    let rows: Vec<Vec<String>> = environment
        .machines()
        .map(|machine| row(&machine, held, &looks))
        .collect();
    for line in words::table(&rows) {
        output::result(&format!("  {line}"));
    }
    for machine in environment.machines() {
        for line in about(&environment, &machine, looks.get(machine.name())) {
            output::result(&line);
        }
    }
    let shared: Vec<&str> = environment.items().map(|(name, ..)| name).collect();
    if !shared.is_empty() {
        output::result(&format!("Shared  {}", shared.join(", ")));
    }
    for (name, value) in environment.outputs() {
        output::said(&format!("Outputs {name} = {}", clean::line(value)));
    }
    Ok(Exit::Well)
}

/// `shop   ready · from encamp.toml · keeper 48113 · ends 16:32 (in 1h 54m)`.
fn head(cx: &Context, environment: &Environment) -> String {
    let summary = environment.summary();
    let mut parts = vec![format!("{}   {}", summary.name, summary.state)];
    if summary.run {
        parts.push("of a run".into());
    }
    if summary.recovered {
        parts.push("recovered, its file is not known".into());
    }
    parts.extend(summary.file.as_ref().map(|file| format!("from {}", clean::line(file))));
    parts.extend(summary.holder.as_ref().map(|holder| format!("held by encamp {holder}")));
    parts.extend(summary.keeper.map(|pid| format!("keeper {pid}")));
    parts.push(ending(cx, summary));
    parts.join(" · ")
}

/// What there is to say of a machine beyond its line.
fn about(environment: &Environment, machine: &Machine, look: Option<&Result<Looked, Error>>) -> Vec<String> {
    let (name, held) = (machine.name(), is_held(environment));
    let then = |goes_on: &str| {
        if environment.summary().recovered {
            // There is no file to go on with.
            format!("`encamp down -e {}` ends what is there", environment.name())
        } else {
            format!("`encamp up` {goes_on}")
        }
    };
    let mut lines = Vec::new();
    if let Some(failure) = machine.failure() {
        lines.push(format!("Failed  {name}: {}", clean::short_ids(&clean::line(failure))));
    }
    match look {
        Some(Ok(looked)) => {
            match (&looked.phase, status(machine, held)) {
                (Phase::Gone, word) if word != "destroying" => {
                    lines.push(format!(
                        "Gone    {name}: removed by another hand; {}",
                        then("makes it anew")
                    ));
                }
                (Phase::Exited(exit), "ready") => lines.push(format!("Ended   {name}: its process {exit}")),
                (Phase::Paused, _) => lines.push(format!("Paused  {name}: its processes stand still")),
                _ => {}
            }
            let dead = looked.dead.iter().map(|dead| {
                let service = format!("{name}/{}", dead.service);
                format!("Died    {service}: exited {} (encamp logs {service})", dead.code)
            });
            lines.extend(dead);
        }
        Some(Err(error)) => lines.push(format!("Unseen  {name}: {}", clean::line(&error.to_string()))),
        None => {}
    }
    if status(machine, held) == "unfinished" {
        lines.push(format!(
            "Unfinished  {name}: its command ended before it was ready; {}",
            then("goes on")
        ));
    }
    lines
}

fn is_held(environment: &Environment) -> bool {
    environment.summary().holder.is_some()
}

fn row(machine: &Machine, held: bool, looks: &Looks) -> Vec<String> {
    let address = machine
        .addrs()
        .first()
        .map(|addr| clean::line(&addr.host))
        .unwrap_or_default();
    let id = machine
        .id()
        .map(|id| id.chars().take(8).collect::<String>())
        .unwrap_or_default();
    let carrier = format!("{} {id}", machine.instance()).trim_end().to_owned();
    vec![
        machine.name().to_owned(),
        now(machine, held, looks).to_owned(),
        carrier,
        address,
        ports(machine).join("   "),
    ]
}

/// The status word, of the look where there was one.
fn now(machine: &Machine, held: bool, looks: &Looks) -> &'static str {
    let recorded = status(machine, held);
    match looks.get(machine.name()) {
        Some(Ok(Looked { phase: Phase::Gone, .. })) => "gone",
        // Whether it was meant to end stands in its description, so this accuses nobody.
        Some(Ok(Looked {
            phase: Phase::Exited(_),
            ..
        })) if recorded == "ready" => "ended",
        Some(Ok(Looked {
            phase: Phase::Stopped, ..
        })) if recorded == "ready" => "stopped",
        _ => recorded,
    }
}

/// The status word for what the journal says.
fn status(machine: &Machine, held: bool) -> &'static str {
    match machine.state() {
        _ if machine.failure().is_some() => "failed",
        // Not one of the words that work on a machine goes through: somebody stopped it on purpose.
        "ready" | "seen" if machine.is_stopped() => "stopped",
        "ready" => "ready",
        "dying" => "destroying",
        // Nobody is at work on it.
        _ if !held => "unfinished",
        "seen" => "waiting",
        _ => "creating",
    }
}

/// `pg 127.0.0.1:49161` for each port that can be dialled from here, `pg 5432` for the others.
fn ports(machine: &Machine) -> Vec<String> {
    let declared = machine.declared_ports();
    let ports = declared.iter().map(|declared| {
        let published = machine.ports().iter().find(|published| published.port == declared.port);
        match published {
            Some(published) => format!("{} {}:{}", declared.name, published.host, published.host_port),
            None => format!("{} {}", declared.name, declared.port),
        }
    });
    ports.collect()
}

fn machines_json(environment: &Environment, looks: &Looks) -> Vec<Value> {
    let held = is_held(environment);
    let machines = environment.machines().map(|machine| {
        let mut value = json!({
            "name": machine.name(),
            "instance": machine.instance(),
            "status": now(&machine, held, looks),
            "failure": machine.failure(),
            "id": machine.id(),
            "key": machine.key(),
            "addrs": machine.addrs(),
            "declared_ports": machine.declared_ports(),
            "ports": machine.ports(),
        });
        match looks.get(machine.name()) {
            Some(Ok(looked)) => value["live"] = json!(looked),
            Some(Err(error)) => value["live"] = json!({ "error": error_json(error) }),
            None => {}
        }
        value
    });
    machines.collect()
}

fn shared_json(environment: &Environment) -> Vec<Value> {
    let items = environment.items();
    items
        .map(|(name, instance, state)| json!({ "name": name, "instance": instance, "state": state }))
        .collect()
}
