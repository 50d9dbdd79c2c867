//! Networks and volumes of an environment.

use std::collections::BTreeMap;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, VolumeCreateRequest};
use encamp_core::{Error, ErrorKind, Result, ScopeItem, Stamp, Value};
use serde_json::json;

use super::NETWORK_ITEM;
use crate::table::{Table, VolumeSource};

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// The network, with a range of its own or one of the engine's.
    Network {
        /// `10.77.0.0/24`.
        subnet: Option<String>,
    },
    /// A named volume.
    Volume,
}

impl Item {
    /// Reads an item that this provider wrote.
    pub(crate) fn read(item: &ScopeItem) -> Result<Self> {
        let body = item.body.as_object();
        if body.is_some_and(|body| body.contains_key("volume")) {
            return Ok(Self::Volume);
        }
        if body.is_some_and(|body| body.contains_key("subnet")) {
            let subnet = item.body.get("subnet").and_then(Value::as_str).map(str::to_owned);
            return Ok(Self::Network { subnet });
        }
        Err(Error::new(
            ErrorKind::Invalid,
            format!("the scope item `{}` is none of this provider", item.name),
        ))
    }
}

/// The items that a machine of a table uses. Of a volume that is not shared each member of a group has its own.
pub(crate) fn items(table: &Table) -> Vec<ScopeItem> {
    let mut items = BTreeMap::new();
    for volume in &table.volumes {
        if let (Some(item), VolumeSource::Named { name, shared }) = (volume.scope_name(), &volume.source) {
            let volume = ScopeItem::new(item.clone(), json!({ "volume": name }));
            items.insert(item, if *shared { volume } else { volume.per_member() });
        }
    }
    let network = ScopeItem::new(NETWORK_ITEM, json!({ "subnet": table.subnet }));
    std::iter::once(network).chain(items.into_values()).collect()
}

/// The request for a network.
pub(crate) fn network_request(stamp: &Stamp, subnet: Option<&str>) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: stamp.key.as_str().to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(stamp.labels.clone().into_iter().collect()),
        ipam: subnet.map(|subnet| Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_owned()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    }
}

/// The request for a volume.
pub(crate) fn volume_request(stamp: &Stamp) -> VolumeCreateRequest {
    VolumeCreateRequest {
        name: Some(stamp.key.as_str().to_owned()),
        labels: Some(stamp.labels.clone().into_iter().collect()),
        ..VolumeCreateRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_uses_the_network_and_its_volumes() {
        let table: Table = serde_json::from_value(json!({
            "image": "a", "subnet": "10.7.0.0/24",
            "volumes": ["data:/d", "data:/e:ro", "/host:/h", { "name": "all", "path": "/all", "shared": true }],
        }))
        .unwrap();
        let items = items(&table);
        let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["net", "vol-all", "vol-data"]);
        assert_eq!(items[1].body, json!({ "volume": "all" }));
        assert_eq!([items[1].per_member, items[2].per_member], [false, true]);
        assert_eq!(
            Item::read(&items[0]).unwrap(),
            Item::Network {
                subnet: Some("10.7.0.0/24".into())
            }
        );
        assert_eq!(Item::read(&items[1]).unwrap(), Item::Volume);
        assert!(Item::read(&ScopeItem::new("x", Value::Null)).is_err());
    }
}
