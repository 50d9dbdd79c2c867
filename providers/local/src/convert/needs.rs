//! What a machine needs, whatever the provider, as limits of the table.

use encamp_core::{Error, ErrorKind, Needs, Result};

use crate::table::{ByteSize, Table};

/// What this host has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) cpus: f64,
    pub(crate) memory: Option<u64>,
}

/// Fills in what the table does not say itself.
pub(crate) fn with_needs(table: &mut Table, needs: &Needs, offer: Offer) -> Result<()> {
    let refuse = |why: String| {
        Error::new(ErrorKind::Unsupported, why)
            .next_step("drop it from `needs`, or choose another provider for this machine")
    };
    if needs.disk.is_some() {
        let why = "machines share the disk of this host, and none of it is kept for one of them";
        return Err(refuse(why.to_owned()));
    }
    if needs.gpu.is_some_and(|gpus| gpus > 0) {
        return Err(refuse("no GPU of this host is kept for one machine".to_owned()));
    }
    if let Some(os) = needs.os.as_deref().filter(|os| *os != "linux") {
        return Err(refuse(format!("this host runs Linux and not `{os}`")));
    }
    let same = |arch: &str| match arch {
        "amd64" => std::env::consts::ARCH == "x86_64",
        "arm64" => std::env::consts::ARCH == "aarch64",
        other => std::env::consts::ARCH == other,
    };
    if let Some(arch) = needs.arch.as_deref().filter(|arch| !same(arch)) {
        return Err(refuse(format!(
            "this host is {} and not {arch}",
            std::env::consts::ARCH
        )));
    }
    if let (Some(cpus), None) = (needs.cpu, table.cpus) {
        if cpus > offer.cpus {
            return Err(refuse(format!(
                "{cpus} cores are needed, and this host has {}",
                offer.cpus
            )));
        }
        table.cpus = Some(cpus);
    }
    if let (Some(memory), None) = (needs.memory, table.memory) {
        if let Some(has) = offer.memory.filter(|has| memory > *has) {
            let (wanted, has) = (ByteSize(memory), ByteSize(has));
            return Err(refuse(format!(
                "{wanted} of memory are needed, and this host has {has}"
            )));
        }
        table.memory = Some(ByteSize(memory));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(needs: serde_json::Value) -> Result<Table> {
        let offer = Offer {
            cpus: 2.0,
            memory: Some(4 << 30),
        };
        let needs: Needs = serde_json::from_value(needs).unwrap();
        let mut table = Table::default();
        with_needs(&mut table, &needs, offer).map(|()| table)
    }

    #[test]
    fn needs_become_limits_or_are_refused() {
        let table = filled(serde_json::json!({ "cpu": 0.5, "memory": 1 << 30, "os": "linux" })).unwrap();
        assert_eq!((table.cpus, table.memory), (Some(0.5), Some(ByteSize(1 << 30))));
        for refused in [
            serde_json::json!({ "disk": 1 }),
            serde_json::json!({ "gpu": 1 }),
            serde_json::json!({ "os": "plan9" }),
            serde_json::json!({ "arch": "s390x" }),
            serde_json::json!({ "cpu": 3.0 }),
            serde_json::json!({ "memory": 5_u64 << 30 }),
        ] {
            assert_eq!(filled(refused).unwrap_err().kind(), ErrorKind::Unsupported);
        }
    }
}
