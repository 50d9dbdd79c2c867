//! `encamp trust`: the keys of a host, and who vouches for one.

use encamp::ssh::{self, ShownKey};
use serde_json::json;

use crate::arguments::Trust;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

pub(super) async fn trust(cx: &Context, args: &Trust) -> Result<Exit, Failure> {
    let of_ssh = cx
        .settings
        .instances
        .iter()
        .filter(|instance| instance.kind == ssh::NAME);
    let settings = of_ssh.map(|instance| instance.settings.clone()).collect();
    let trusted = ssh::trust(settings, &cx.ambient, &args.host, args.fingerprint.as_deref()).await?;
    if cx.json {
        let key = |key: &ShownKey| json!({ "key": key.key, "fingerprint": key.fingerprint });
        let shown: Vec<_> = trusted.shown.iter().map(key).collect();
        output::json(&json!({ "host": trusted.name, "shown": shown, "file": trusted.file }));
        return Ok(Exit::Well);
    }
    match &trusted.file {
        Some(file) => output::result(&format!(
            "{} is known by that key from now on, in {}",
            trusted.name,
            file.display()
        )),
        None => {
            for key in &trusted.shown {
                let algorithm = key.key.split(' ').next().unwrap_or_default();
                output::result(&format!("{}  {algorithm}", key.fingerprint));
            }
            output::tell(&format!(
                "nothing is trusted yet · compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host, then: \
                 encamp trust {} FINGERPRINT",
                args.host
            ));
        }
    }
    Ok(Exit::Well)
}
