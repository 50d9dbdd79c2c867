//! Who holds a port of this host, for those who are told that it is taken.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use encamp::file::spec::{self, Place};
use encamp::{Environment, Error, Publish};

use crate::codes;
use crate::context::Context;

/// Processes that are looked at.
const PROCESSES: usize = 100_000;
/// Characters of a command that are shown.
const SHOWN: usize = 80;

/// Where a machine of a file is described, kept for what fails later.
#[derive(Debug)]
pub(crate) struct Described {
    place: Option<Place>,
    /// By what stands there: `docker.image`, `ports.http.publish`.
    places: Arc<BTreeMap<String, Place>>,
    /// The names of its ports by the numbers that they are published as.
    published: BTreeMap<u16, String>,
}

/// Where each machine is described.
pub(crate) type Places = BTreeMap<String, Described>;

/// Where each machine of a file is described.
pub(crate) fn places(spec: &spec::Environment) -> Places {
    let described = spec.machines.iter().map(|machine| {
        let published = machine.ports.iter().filter_map(|port| match port.publish {
            Publish::Fixed(fixed) => Some((fixed, port.name.to_string())),
            Publish::Free | Publish::Inside => None,
        });
        let described = Described {
            place: machine.place.clone(),
            places: Arc::clone(&machine.places),
            published: published.collect(),
        };
        (machine.name.to_string(), described)
    });
    described.collect()
}

/// The place of what an error speaks of: the key that its provider names, the port that is taken, else the machine.
fn place_of(cx: &Context, error: &Error, places: &Places) -> Option<String> {
    let described = places.get(error.machine()?)?;
    let fact = |name: &str| error.context().find(|(key, _)| *key == name).map(|(_, value)| value);
    let of_key = || {
        let instance = error.provider()?.as_str();
        let kind = &cx.settings.instances.iter().find(|known| known.name == instance)?.kind;
        described.places.get(&format!("{kind}.{}", fact("key")?))
    };
    let of_port = || {
        let port: u16 = fact("address")?.rsplit(':').next()?.parse().ok()?;
        let name = described.published.get(&port)?;
        described.places.get(&format!("ports.{name}.publish"))
    };
    let narrow = fact("key").is_some() || [codes::IMAGE, codes::PORT].contains(&codes::of(error));
    let place = of_key()
        .or_else(of_port)
        .or(described.place.as_ref())
        .filter(|_| narrow)?;
    Some(place.to_string())
}

/// Adds what this host and the store know to errors of providers: where the machine is described, and who holds a port.
pub(crate) async fn explain(cx: &Context, errors: &mut Vec<Error>, places: &Places) {
    for error in std::mem::take(errors) {
        errors.push(explained(cx, error, places).await);
    }
}

async fn explained(cx: &Context, mut error: Error, places: &Places) -> Error {
    let code = codes::of(&error);
    let has = |error: &Error, fact: &str| error.context().any(|(key, _)| key == fact);
    if let Some(place) = place_of(cx, &error, places).filter(|_| !has(&error, "place")) {
        error = error.with("place", place);
    }
    if code != codes::PORT || has(&error, "held by") {
        return error;
    }
    let address = error
        .context()
        .find(|(key, _)| *key == "address")
        .map(|(_, value)| value.to_owned());
    let Some(port) = address.and_then(|address| address.rsplit(':').next()?.parse().ok()) else {
        return error;
    };
    if let Some((environment, machine)) = of_store(cx, port).await {
        let flag = &cx.state_flag;
        return error.with(
            "held by",
            format!("machine {machine} of environment `{environment}` (encamp down -e {environment}{flag})"),
        );
    }
    match of_host(port) {
        Some(holder) => error.with("held by", holder),
        None => error,
    }
}

/// The machine of ours that publishes it.
async fn of_store(cx: &Context, port: u16) -> Option<(String, String)> {
    for summary in cx.encamp.environments().await.ok()? {
        let Ok(environment) = cx.encamp.environment(&summary.name).await else {
            continue;
        };
        if let Some(machine) = publisher(&environment, port) {
            return Some((summary.name, machine));
        }
    }
    None
}

fn publisher(environment: &Environment, port: u16) -> Option<String> {
    let mut machines = environment.machines();
    let publishes = |machine: &encamp::Machine| machine.ports().iter().any(|published| published.host_port == port);
    machines
        .find(|machine| !machine.is_stopped() && publishes(machine))
        .map(|machine| machine.name().to_owned())
}

/// ``pid 20771 `node server.js` of anna``, as far as this user may see it.
pub(crate) fn of_host(port: u16) -> Option<String> {
    let (inode, uid) = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        listener(&table, port)
    })?;
    let user = fs::read_to_string("/etc/passwd")
        .ok()
        .and_then(|users| user_of(&users, uid));
    let user = user.unwrap_or_else(|| format!("uid {uid}"));
    Some(match process_of(inode) {
        Some((pid, command)) => format!("pid {pid} `{command}` of {user}"),
        None => format!("a process of {user}"),
    })
}

/// The inode and the user of what listens on a port, from the kernel's table.
fn listener(table: &str, port: u16) -> Option<(u64, u32)> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTEN;
        let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
        is_it.then_some((inode, uid))
    })
}

fn user_of(users: &str, uid: u32) -> Option<String> {
    let line = users
        .lines()
        .find(|line| line.split(':').nth(2).is_some_and(|field| field == uid.to_string()))?;
    line.split(':').next().map(str::to_owned)
}

/// The process that has a socket open, and its command.
fn process_of(inode: u64) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.take(PROCESSES).filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        let has_it = files
            .filter_map(Result::ok)
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()));
        if has_it {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let parts = command.split(|byte| *byte == 0).filter(|part| !part.is_empty());
            let parts: Vec<String> = parts
                .map(|part| encamp::shell::quote(&String::from_utf8_lossy(part)).into_owned())
                .collect();
            return Some((pid, parts.join(" ").chars().take(SHOWN).collect()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0 0 10 0\n   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 20 4 30 10 -1\n";

    #[test]
    fn who_listens_is_read_from_the_kernels_table() {
        assert_eq!(listener(TABLE, 8080), Some((4242, 1000)));
        assert_eq!(listener(TABLE, 8081), None, "a connection is no listener");
        let users = "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        assert_eq!(user_of(users, 1000).as_deref(), Some("anna"));
        assert_eq!(user_of(users, 7), None);
    }

    #[test]
    fn a_port_of_this_process_is_its_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = of_host(port).unwrap();
        assert!(holder.contains(&format!("pid {} `", std::process::id())), "{holder}");
    }
}
