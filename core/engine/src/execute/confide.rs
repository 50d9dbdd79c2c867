//! Secrets that a machine gets as files: `/run/encamp/secrets/NAME`, and `NAME_FILE` says so.

use std::collections::BTreeMap;

use encamp_core::{Create, Error, ErrorKind, Generation, Mount, Provider, Result, Secret};
use encamp_file::spec::Machine;
use encamp_file::text::{Facts, Viewer};

use crate::command;
use crate::session::Session;

/// Where a machine finds them.
const FOLDER: &str = "/run/encamp/secrets";

/// Puts the files of a machine into memory, where the infrastructure can mount them from.
pub(super) fn put(
    session: &Session,
    machine: &Machine,
    generation: Generation,
    facts: &Facts,
) -> Result<Option<Mount>> {
    if machine.secrets.is_empty() {
        return Ok(None);
    }
    let viewer = Viewer::Member(machine.name.clone());
    let render = |(name, text)| -> Result<(String, Secret)> {
        let text = command::render(text, facts, &viewer).map_err(|text| Error::new(ErrorKind::Invalid, text))?;
        Ok((String::clone(name), Secret::new(text)))
    };
    let files: BTreeMap<String, Secret> = machine.secrets.iter().map(render).collect::<Result<_>>()?;
    let folder = &session.camp.secret_folder;
    let from = folder.put(&session.row.id, machine.name.as_str(), generation, &files)?;
    Ok(Some(Mount::read_only(from, FOLDER)))
}

/// Adds to a request what the machine needs to find its files.
pub(super) fn tell(
    machine: &Machine,
    mount: Option<Mount>,
    provider: &dyn Provider,
    request: &mut Create,
) -> Result<()> {
    let Some(mount) = mount else { return Ok(()) };
    if !provider.capabilities().mounts {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "secrets reach machines as files of this host, which this provider's infrastructure does not see",
        )
        .of_machine(&machine.name)
        .next_step("put the machine on a provider of this host, or give the secret to a task's `env`"));
    }
    request.mounts.push(mount);
    for name in machine.secrets.keys() {
        request.env.insert(format!("{name}_FILE"), format!("{FOLDER}/{name}"));
    }
    Ok(())
}
