//! The body of a candidate, and the hash of a frozen request.

use encamp_core::{Create, Error, ErrorKind, Needs, Result, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::table::{ByteSize, Table};

/// What a candidate keeps: the table, and the image by its digest once it is here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// As in the file, with what `needs` added; late leaves hold markers.
    pub(crate) table: Value,
    /// `sha256:…`.
    #[serde(default)]
    pub(crate) image_id: Option<String>,
}

impl Body {
    /// Reads a body that this provider wrote.
    pub(crate) fn read(body: &Value) -> Result<Self> {
        Self::deserialize(body).map_err(|native| {
            Error::new(ErrorKind::Invalid, "the candidate is none of this provider").caused_by(native)
        })
    }

    /// As it stands in a candidate.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "table": self.table, "image_id": self.image_id })
    }
}

/// The platform of a candidate's body.
pub(crate) fn platform_of(body: &Value) -> Option<String> {
    body.pointer("/table/platform")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// What an engine's host has.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Offer {
    /// As Docker or the kernel call it.
    pub(crate) arch: Option<String>,
    /// Cores.
    pub(crate) cpus: Option<f64>,
    /// Bytes.
    pub(crate) memory: Option<u64>,
}

/// Adds to the table what is needed and what it does not say itself, or refuses.
pub(crate) fn with_needs(table: &Table, json: &mut Value, needs: &Needs, offer: &Offer) -> Result<()> {
    let refuse = |why: String| {
        Error::new(ErrorKind::Unsupported, why)
            .next_step("drop it from `needs`, or choose another provider for this machine")
    };
    if needs.disk.is_some() {
        let why = "machines share the disk of the engine's host, and none of it is kept for one of them";
        return Err(refuse(why.to_owned()));
    }
    if needs.gpu.is_some_and(|gpus| gpus > 0) {
        return Err(refuse(
            "machines of this kind get no GPU of the engine's host".to_owned(),
        ));
    }
    if let Some(os) = needs.os.as_deref().filter(|os| *os != "linux") {
        return Err(refuse(format!("machines of this kind run Linux and not `{os}`")));
    }
    if let (Some(wanted), None) = (needs.arch.as_deref(), &table.platform) {
        let has = offer.arch.as_deref();
        if has.is_some_and(|has| docker_arch(has) != docker_arch(wanted)) {
            let why = "the engine's host has another architecture".to_owned();
            return Err(refuse(why)
                .with("wanted", wanted)
                .with("engine", has.unwrap_or_default()));
        }
        // An image may be here for several.
        json["platform"] = json!(format!("linux/{}", docker_arch(wanted)));
    }
    if let (Some(cpus), None) = (needs.cpu, table.cpus) {
        if let Some(has) = offer.cpus.filter(|has| cpus > *has) {
            return Err(refuse(format!(
                "{cpus} cores are needed, and the engine's host has {has}"
            )));
        }
        json["cpus"] = json!(cpus);
    }
    if let (Some(memory), None) = (needs.memory, table.memory) {
        if let Some(has) = offer.memory.filter(|has| memory > *has) {
            let (wanted, has) = (ByteSize(memory), ByteSize(has));
            return Err(refuse(format!(
                "{wanted} of memory are needed, and the engine's host has {has}"
            )));
        }
        json["memory"] = json!(ByteSize(memory).to_string());
    }
    Ok(())
}

/// The kernel's word for an architecture as Docker has it.
fn docker_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The hash of a frozen request. Keys are sorted and what is empty is left out, so that neither the order of a
/// map nor a field that a later version adds makes another request of it.
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
                hasher.update(json!(key).to_string());
                hasher.update(b":");
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
        leaf => hasher.update(leaf.to_string()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use encamp_core::{Key, Labels, Name, Site, Stamp, Token};

    use super::*;

    fn create() -> Create {
        let stamp = Stamp::new(Key::new("ec-x"), Token::new("t"), Labels::new());
        let body = json!({ "table": { "image": "a", "command": ["b", "c"] }, "image_id": "sha256:1" });
        Create::new(stamp, Site::new("docker:x"), body, Name::new("db").unwrap())
    }

    #[test]
    fn one_request_has_one_hash() {
        let first = request_hash(&create()).unwrap();
        let bytes = serde_json::to_vec(&create()).unwrap();
        let replayed: Create = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(request_hash(&replayed).unwrap(), first);
        assert_eq!(first.len(), 64);
    }

    #[test]
    fn whatever_differs_makes_another_hash() {
        let first = request_hash(&create()).unwrap();
        let mut other = create();
        other.body["table"]["command"] = json!(["bc"]);
        assert_ne!(request_hash(&other).unwrap(), first);
        let mut other = create();
        other.env.insert("A".into(), "b".into());
        assert_ne!(request_hash(&other).unwrap(), first);
    }

    type Change = fn(&mut Needs);

    #[test]
    fn needs_are_mapped_or_refused() {
        let table = Table::image("a");
        let mut needs = Needs::default();
        needs.cpu = Some(2.0);
        needs.memory = Some(1 << 30);
        needs.arch = Some("x86_64".into());
        let offer = |arch: &str| Offer {
            arch: Some(arch.into()),
            cpus: Some(2.0),
            memory: Some(2 << 30),
        };
        // Docker says the kernel's word, Podman its own.
        for arch in ["x86_64", "amd64"] {
            let mut value = table.to_json();
            with_needs(&table, &mut value, &needs, &offer(arch)).unwrap();
            let mapped = json!({ "image": "a", "cpus": 2.0, "memory": "1GiB", "platform": "linux/amd64" });
            assert_eq!(value, mapped);
        }
        let mut value = table.to_json();
        let mut refused = |needs: &Needs, arch: &str| {
            let error = with_needs(&table, &mut value, needs, &offer(arch)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.hint().is_some());
            error.message().to_owned()
        };
        assert!(refused(&needs, "aarch64").contains("architecture"));
        let changes: [(Change, &str); 5] = [
            (|needs| needs.gpu = Some(1), "GPU"),
            (|needs| needs.disk = Some(1), "disk"),
            (|needs| needs.os = Some("windows".into()), "`windows`"),
            (|needs| needs.cpu = Some(3.0), "3 cores"),
            (|needs| needs.memory = Some(4 << 30), "4GiB"),
        ];
        for (change, said) in changes {
            let mut needs = needs.clone();
            change(&mut needs);
            let message = refused(&needs, "x86_64");
            assert!(message.contains(said), "{message}");
        }
        needs.os = Some("linux".into());
        needs.gpu = Some(0);
        with_needs(&table, &mut table.to_json(), &needs, &Offer::default()).unwrap();
    }

    #[test]
    fn the_tables_own_keys_win_over_needs() {
        let mut table = Table::image("a");
        table.cpus = Some(0.5);
        let mut needs = Needs::default();
        needs.cpu = Some(2.0);
        let mut value = table.to_json();
        with_needs(&table, &mut value, &needs, &Offer::default()).unwrap();
        assert_eq!(value["cpus"], json!(0.5));
    }
}
