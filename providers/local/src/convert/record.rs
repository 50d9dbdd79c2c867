//! What a machine's folder says about it: the frozen request, and how it is caged.

use encamp_core::{Create, Error, ErrorKind, Result, Value, fill_late};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Plan;
use crate::cgroup::{self, Limiter};
use crate::message::Confinement;
use crate::table::{self, Table};

/// A machine, as it was asked for; never rewritten.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) format: u32,
    /// Its name among all machines of this host, whichever folder they live in: groups and cookies carry it.
    pub(crate) tag: String,
    /// Of the request, so that another one under the same key is found out.
    pub(crate) hash: String,
    pub(crate) create: Create,
    /// With what is late filled in.
    pub(crate) table: Table,
    pub(crate) confinement: Confinement,
    /// The group of its processes.
    pub(crate) group: Option<std::path::PathBuf>,
    pub(crate) limiters: Vec<Limiter>,
}

const FORMAT: u32 = 1;

impl Record {
    /// One that was written down, or why it cannot be read.
    pub(crate) fn read(value: Value) -> Result<Self, String> {
        let format = value.get("format").and_then(Value::as_u64).unwrap_or_default();
        if format != u64::from(FORMAT) {
            return Err(format!(
                "it was written by another version of encamp, in format {format}, and this one knows {FORMAT}"
            ));
        }
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// A machine of a request.
    pub(crate) fn new(create: Create, plan: &Plan) -> Result<Self> {
        let hash = request_hash(&create)?;
        let tag = tag_of(&create);
        let mut body = create.body.clone();
        let open = fill_late(&mut body, &create.late);
        if let Some(pointer) = open.first() {
            let text = "a part of the machine's table is not known yet";
            return Err(Error::new(ErrorKind::Invalid, text).with("at", pointer));
        }
        let table = table::read(&body)?;
        let limiters = plan.limits.iter().map(|(limit, base)| Limiter::new(*limit, base, &tag));
        let limiters = limiters.filter(|limiter| asks(&table, limiter.limit)).collect();
        refuse_limits(&table, plan)?;
        plan.refuse_user(table.user.as_deref())?;
        Ok(Self {
            format: FORMAT,
            tag: tag.clone(),
            hash,
            table,
            confinement: plan.confinement(),
            group: plan.group.as_ref().map(|base| cgroup::named(base, &tag)),
            limiters,
            create,
        })
    }
}

/// The key, which is unique in one folder of machines, and the beginning of that folder's id.
fn tag_of(create: &Create) -> String {
    let id = create.site.as_str().rsplit(':').next().unwrap_or_default();
    format!("{}.{}", create.stamp.key, id.get(..8).unwrap_or(id))
}

fn asks(table: &Table, limit: cgroup::Limit) -> bool {
    match limit {
        cgroup::Limit::Memory => table.memory.is_some(),
        cgroup::Limit::Cpus => table.cpus.is_some(),
        cgroup::Limit::Pids => table.pids.is_some(),
    }
}

/// A limit that nobody holds is none.
pub(crate) fn refuse_limits(table: &Table, plan: &Plan) -> Result<()> {
    let held = |limit| plan.limits.iter().any(|(one, _)| *one == limit);
    let missing = cgroup::Limit::ALL
        .into_iter()
        .find(|limit| asks(table, *limit) && !held(*limit));
    let Some(missing) = missing else { return Ok(()) };
    let key = missing.key();
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("`{key}` cannot be limited here: this user has no control group for it"),
    )
    .next_step(
        "drop the limit, or run as root where control groups of version 1 are mounted, or in the root of those of version 2",
    ))
}

/// The hash of a request. Keys that a later version adds and that are empty do not count.
pub(crate) fn request_hash(create: &Create) -> Result<String> {
    let value = serde_json::to_value(create)
        .map_err(|native| Error::new(ErrorKind::Internal, "the request cannot be written down").caused_by(native))?;
    let mut hasher = Sha256::new();
    feed(&mut hasher, &value);
    Ok(data_encoding::HEXLOWER.encode(&hasher.finalize()))
}

fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<_> = object.iter().filter(|(_, inner)| !is_empty(inner)).collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            hasher.update(b"{");
            for (key, inner) in keys {
                hasher.update(Value::from(key.as_str()).to_string());
                feed(hasher, inner);
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(hasher, item);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        scalar => hasher.update(scalar.to_string()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}
