//! Machines that are set up by cloud-init as they boot.

use crate::bed::Bed;

const IMAGE: &str = "cloud-init:bookworm";

fn booting(user_data: &str) -> String {
    format!(
        r#"
name = "cloud"
ttl = "10m"
[machines.vm]
provider = "docker"
docker.image = "{IMAGE}"
env.USER_DATA = """
#cloud-config
{user_data}
"""
ready = [{{ cloud_init = true, within = "2m" }}]
[[stages]]
name = "look"
[[stages.tasks]]
name = "done"
on = "vm"
run = "test -e /srv/done"
"#
    )
}

#[test]
fn what_cloud_init_does_is_waited_for() {
    let bed = Bed::with_images(&[IMAGE]);
    bed.write("encamp.toml", &booting("runcmd: [sleep 3, touch /srv/done]"));
    bed.encamp(&["run"]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn what_cloud_init_could_not_do_is_told_at_once() {
    let bed = Bed::with_images(&[IMAGE]);
    bed.write("encamp.toml", &booting("runcmd: [exit 3]"));
    let ran = bed.encamp(&["run"]).exits(3);
    for line in [
        "vm: `cloud_init` cannot hold: it ended with an error: ('scripts-user'",
        "at:    encamp.toml:11:10",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    let text = booting("").replace(IMAGE, "busybox:1.35");
    let text = text.replace("env.USER", "docker.command = [\"sleep\", \"600\"]\nenv.USER");
    bed.write("encamp.toml", &text);
    let ran = bed.encamp(&["run"]).exits(3);
    let line = "vm: `cloud_init` cannot hold: cloud-init is not installed in it";
    assert!(ran.stderr.contains(line), "{ran}");
    bed.nothing_is_left();
}
