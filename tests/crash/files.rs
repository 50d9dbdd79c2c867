//! The environment files of these tests.

/// What `PAIR` is called.
pub(crate) const PAIR_NAME: &str = "pair";

/// Two machines of which one needs the other, a network, a volume, a stage with a task.
pub(crate) const PAIR: &str = r#"
name = "pair"
ttl = "30m"

[machines.db]
provider = "docker"
docker.image = "busybox:1.35"
docker.command = ["sleep", "1800"]
docker.volumes = ["data:/data"]

[machines.app]
provider = "docker"
docker.image = "busybox:1.35"
docker.command = ["sleep", "1800"]
depends_on = ["db"]

[[stages]]
name = "test"

[[stages.tasks]]
name = "look"
on = "app"
timeout = "30s"
run = "true"
"#;

/// One machine, and a task that passes.
pub(crate) fn single(name: &str) -> String {
    format!(
        r#"
name = "{name}"
ttl = "30m"

[machines.m]
provider = "docker"
docker.image = "busybox:1.35"
docker.command = ["sleep", "1800"]

[[stages]]
name = "test"

[[stages.tasks]]
name = "look"
on = "m"
timeout = "30s"
run = "true"
"#
    )
}

/// One machine, and a task of its own.
pub(crate) fn with_task(name: &str, timeout: &str, run: &str) -> String {
    single(name)
        .replace("\"30s\"", &format!("{timeout:?}"))
        .replace("run = \"true\"", &format!("run = '''\n{run}\n'''"))
}
