//! What a machine has left on this host.

use std::fs;

/// The processes of this host in whose variables the key of a machine stands: by whatever they were started, it was for
/// that machine. Those of other users cannot be looked at.
pub(crate) fn processes(key: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = all.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let variables = fs::read(entry.path().join("environ")).ok()?;
        let holds = variables.windows(key.len()).any(|piece| piece == key.as_bytes());
        (holds && number != std::process::id()).then(|| {
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            format!("{number} {}", line.trim_end_matches('\0').replace('\0', " "))
        })
    });
    named.collect()
}
