//! Whether an engine's host is this very host, so that both see the same folders.
//!
//! A socket in the file system does not say so: it may lead into a virtual machine or over SSH, or be lent to the
//! container that this process runs in. An engine tells its host's name, kernel and memory, and a stranger has at
//! least one of them other than ours: a container its host name, a virtual machine its kernel or memory. Where all
//! three are equal and it is another host for all that, nothing is lost: a mount of a folder that the engine does
//! not see is refused by it.

use bollard::models::SystemInfo;

/// What this host says of itself; empty where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ThisHost {
    name: String,
    kernel: String,
    memory: i64,
}

impl ThisHost {
    /// Asks the kernel.
    pub(super) async fn read() -> Self {
        let text = |path| async move { tokio::fs::read_to_string(path).await.unwrap_or_default() };
        Self {
            name: text("/proc/sys/kernel/hostname").await.trim().to_owned(),
            kernel: text("/proc/sys/kernel/osrelease").await.trim().to_owned(),
            memory: total(&text("/proc/meminfo").await),
        }
    }

    /// Whether an engine tells the same.
    pub(super) fn is_host_of(&self, info: &SystemInfo) -> bool {
        let same = |ours: &str, theirs: &Option<String>| !ours.is_empty() && theirs.as_deref() == Some(ours);
        let desktop = info.operating_system.as_deref().unwrap_or_default();
        same(&self.name, &info.name)
            && same(&self.kernel, &info.kernel_version)
            && self.memory > 0
            && info.mem_total == Some(self.memory)
            && !desktop.contains("Docker Desktop")
    }
}

/// `MemTotal:  24680 kB` in bytes.
fn total(meminfo: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    kilobytes.map_or(0, |kilobytes| kilobytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_here_where_all_that_it_tells_is_ours() {
        let here = ThisHost {
            name: "lab".into(),
            kernel: "6.1.0".into(),
            memory: 2048,
        };
        let told = SystemInfo {
            name: Some("lab".into()),
            kernel_version: Some("6.1.0".into()),
            mem_total: Some(2048),
            ..SystemInfo::default()
        };
        assert!(here.is_host_of(&told));
        let others: [fn(&mut SystemInfo); 5] = [
            |info| info.name = Some("other".into()),
            |info| info.kernel_version = None,
            |info| info.mem_total = Some(1024),
            |info| info.operating_system = Some("Docker Desktop".into()),
            |info| info.name = None,
        ];
        for change in others {
            let mut info = told.clone();
            change(&mut info);
            assert!(!here.is_host_of(&info), "{info:?}");
        }
        assert!(!ThisHost::default().is_host_of(&SystemInfo::default()));
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(total("MemTotal:       24 kB\nMemFree: 1 kB\n"), 24 * 1024);
        assert_eq!(total("nothing"), 0);
    }
}
