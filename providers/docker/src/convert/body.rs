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

/// Adds to the table what is needed and what it does not say itself, or refuses.
pub(crate) fn with_needs(table: &Table, json: &mut Value, needs: &Needs, engine_arch: Option<&str>) -> Result<()> {
    let refuse = |what: &str| {
        Error::new(ErrorKind::Unsupported, format!("an engine cannot promise {what}"))
            .next_step("drop it from `needs`, or choose another provider for this machine")
    };
    if needs.disk.is_some() {
        return Err(refuse("disk space"));
    }
    if needs.gpu.is_some_and(|gpus| gpus > 0) {
        return Err(refuse("a GPU"));
    }
    if needs.os.as_deref().is_some_and(|os| os != "linux") {
        return Err(refuse("another system than Linux"));
    }
    if let (Some(wanted), Some(has), None) = (needs.arch.as_deref(), engine_arch, &table.platform)
        && wanted != has
    {
        return Err(refuse("this architecture").with("wanted", wanted).with("engine", has));
    }
    if let (Some(cpus), None) = (needs.cpu, table.cpus) {
        json["cpus"] = json!(cpus);
    }
    if let (Some(memory), None) = (needs.memory, table.memory) {
        json["memory"] = json!(ByteSize(memory).to_string());
    }
    Ok(())
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

    #[test]
    fn needs_are_mapped_or_refused() {
        let table = Table::image("a");
        let mut needs = Needs::default();
        needs.cpu = Some(2.0);
        needs.memory = Some(1 << 30);
        needs.arch = Some("x86_64".into());
        let mut value = table.to_json();
        with_needs(&table, &mut value, &needs, Some("x86_64")).unwrap();
        assert_eq!(value, json!({ "image": "a", "cpus": 2.0, "memory": "1GiB" }));
        let error = with_needs(&table, &mut value, &needs, Some("aarch64")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        needs.gpu = Some(1);
        assert!(with_needs(&table, &mut value, &needs, None).is_err());
    }

    #[test]
    fn the_tables_own_keys_win_over_needs() {
        let mut table = Table::image("a");
        table.cpus = Some(0.5);
        let mut needs = Needs::default();
        needs.cpu = Some(2.0);
        let mut value = table.to_json();
        with_needs(&table, &mut value, &needs, None).unwrap();
        assert_eq!(value["cpus"], json!(0.5));
    }
}
