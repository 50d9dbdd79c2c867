//! `encamp show`: one environment, from the store alone.

use encamp::{Environment, Machine, Value};
use serde_json::json;

use super::ls::{ends, summary_json};
use crate::arguments::OfEnvironment;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{clean, output, place, words};

pub(super) async fn show(cx: &Context, args: &OfEnvironment) -> Result<Exit, Failure> {
    let environment = place::environment(cx, args).await?;
    if cx.json {
        output::json(
            &json!({ "environment": summary_json(environment.summary()), "outputs": environment.outputs(), "machines": machines_json(&environment), "shared": shared_json(&environment) }),
        );
        return Ok(Exit::Well);
    }
    output::result(&head(cx, &environment));
    let rows: Vec<Vec<String>> = environment.machines().map(|machine| row(&machine)).collect();
    for line in words::table(&rows) {
        output::result(&format!("  {line}"));
    }
    for machine in environment.machines() {
        if let Some(failure) = machine.failure() {
            output::result(&format!(
                "Failed  {}: {}",
                machine.name(),
                clean::short_ids(&clean::line(failure))
            ));
        }
    }
    let shared: Vec<&str> = environment.items().map(|(name, ..)| name).collect();
    if !shared.is_empty() {
        output::result(&format!("Shared  {}", shared.join(", ")));
    }
    for (name, value) in environment.outputs() {
        output::result(&format!("Outputs {name} = {}", clean::line(value)));
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
    parts.extend(summary.file.as_ref().map(|file| format!("from {}", clean::line(file))));
    parts.extend(summary.holder.as_ref().map(|holder| format!("held by encamp {holder}")));
    parts.extend(summary.keeper.map(|pid| format!("keeper {pid}")));
    parts.push(if summary.state == "overdue" {
        ends(cx, summary)
    } else {
        format!("ends {}", ends(cx, summary))
    });
    parts.join(" · ")
}

fn row(machine: &Machine) -> Vec<String> {
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
        status(machine).to_owned(),
        carrier,
        address,
        ports(machine).join("   "),
    ]
}

/// The status word for what the journal says.
fn status(machine: &Machine) -> &'static str {
    match machine.state() {
        _ if machine.failure().is_some() => "failed",
        // Not one of the words that work on a machine goes through: somebody stopped it on purpose.
        "ready" | "seen" if machine.is_stopped() => "stopped",
        "ready" => "ready",
        "seen" => "waiting",
        "dying" => "destroying",
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

fn machines_json(environment: &Environment) -> Vec<Value> {
    let machines = environment.machines().map(|machine| {
        json!({
            "name": machine.name(),
            "instance": machine.instance(),
            "status": status(&machine),
            "failure": machine.failure(),
            "id": machine.id(),
            "key": machine.key(),
            "addrs": machine.addrs(),
            "declared_ports": machine.declared_ports(),
            "ports": machine.ports(),
        })
    });
    machines.collect()
}

fn shared_json(environment: &Environment) -> Vec<Value> {
    let items = environment.items();
    items
        .map(|(name, instance, state)| json!({ "name": name, "instance": instance, "state": state }))
        .collect()
}
