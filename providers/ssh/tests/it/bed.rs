//! A lab, and requests to it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use encamp_core::{
    Ambient, Candidate, ControllerId, ControllerPrefix, Create, Created, Cx, Exec, Exit, InstanceName, Key, Labels,
    List, Name, Process, Provider, Removal, Resolve, Result, Site, Stamp, Target, Ticket, Time, Token, Value, Verb,
    label,
};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::lab::Lab;

pub(crate) const CONTROLLER: &str = "abcdef";
pub(crate) const ENVIRONMENT: &str = "0123456789";

pub(crate) struct Bed {
    pub(crate) lab: Arc<Lab>,
    pub(crate) provider: Arc<dyn Provider>,
}

impl Bed {
    pub(crate) async fn new(hosts: usize) -> Self {
        Self::with(hosts, json!({})).await
    }

    /// With further settings.
    pub(crate) async fn with(hosts: usize, more: Value) -> Self {
        let lab = Lab::start(hosts).expect("apt-get install openssh-server openssh-client");
        Self::of(Arc::new(lab), more).await
    }

    /// With one host, on which this user can make no control groups.
    pub(crate) async fn without_groups() -> Self {
        let hide = "while read -r _ at type _; do [ \"$type\" != cgroup2 ] || umount -l \"$at\"; done </proc/mounts";
        let lab = Lab::start_with(1, "", hide).expect("apt-get install openssh-server openssh-client util-linux");
        Self::of(Arc::new(lab), json!({})).await
    }

    /// With one host, whose server is configured by further lines, within what a line for a shell does first.
    pub(crate) async fn with_server(lines: &str, first: &str) -> Self {
        let lab = Lab::start_with(1, lines, first).expect("apt-get install openssh-server openssh-client util-linux");
        Self::of(Arc::new(lab), json!({})).await
    }

    /// Another instance over the same lab.
    pub(crate) async fn again(&self) -> Self {
        self.again_with(json!({})).await
    }

    /// The same with further settings.
    pub(crate) async fn again_with(&self, more: Value) -> Self {
        Self::of(Arc::clone(&self.lab), more).await
    }

    async fn of(lab: Arc<Lab>, more: Value) -> Self {
        let mut settings = lab.settings();
        for (key, value) in more.as_object().into_iter().flatten() {
            settings[key] = value.clone();
        }
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        let ambient = Ambient::new([("PATH".to_owned(), path)], None);
        let name = InstanceName::new("lab").unwrap();
        let provider = encamp_provider_ssh::kind()
            .connect(&cx(), name, settings, ambient)
            .await
            .unwrap();
        Self { lab, provider }
    }

    /// A fresh request for that host.
    pub(crate) fn request(&self, machine: &str, host: usize, lives: Duration) -> Create {
        let site = Site::new(format!("ssh:127.0.0.1:{}", self.lab.ports[host]));
        let name = Name::new(machine).unwrap();
        let mut request = Create::new(stamp(machine), site, json!({ "host": format!("h{host}") }), name);
        request.expires = Some(now().plus(lives));
        request
    }

    pub(crate) async fn create(&self, request: &Create) -> Result<Created> {
        let ticket = ticket(&request.stamp, Verb::Create);
        self.provider.create(&cx(), &ticket, request.clone()).await
    }

    pub(crate) async fn destroy(&self, target: &Target) -> Result<Removal> {
        let ticket = ticket(&target.stamp, Verb::Destroy);
        self.provider.destroy(&cx(), &ticket, target.clone()).await
    }

    /// Runs a script in a machine, to its end.
    pub(crate) async fn run(&self, target: &Target, script: &str) -> Result<(Exit, String)> {
        let exec = Exec::new(target.clone(), ["sh", "-c", script]);
        finished(self.provider.exec(&cx(), exec).await?).await
    }

    pub(crate) async fn resolve(&self, table: Value) -> Result<Vec<Candidate>> {
        self.provider.resolve(&cx(), Resolve::new(table)).await
    }

    /// The keys of everything that this controller has.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let list = List::new(ControllerPrefix::new(&ControllerId::new(CONTROLLER).unwrap()));
        let listing = self.provider.list(&cx(), list).await.unwrap();
        listing.found.into_iter().map(|found| found.key).collect()
    }

    /// Where host `index` keeps its record.
    pub(crate) fn host(&self, index: usize) -> std::path::PathBuf {
        self.lab.at(&format!("host-{index}"))
    }
}

pub(crate) async fn finished(process: Process) -> Result<(Exit, String)> {
    let Process {
        mut stdout,
        stderr,
        mut control,
        ..
    } = process;
    let (mut out, mut err) = (String::new(), String::new());
    let errors = async {
        if let Some(mut stderr) = stderr {
            let _ = stderr.read_to_string(&mut err).await;
        }
    };
    let (read, ()) = tokio::join!(stdout.read_to_string(&mut out), errors);
    let exit = control.wait().await?;
    drop(read);
    Ok((exit, out + &err))
}

pub(crate) fn cx() -> Cx {
    Cx::within(Duration::from_mins(1))
}

pub(crate) fn target(request: &Create) -> Target {
    Target::new(request.stamp.clone(), request.site.clone(), None)
}

pub(crate) fn stamp(machine: &str) -> Stamp {
    let labels: Labels = [
        (label::CONTROLLER, CONTROLLER),
        (label::ENVIRONMENT, ENVIRONMENT),
        (label::MACHINE, machine),
        (label::GENERATION, "1"),
        (label::PROOF, "proof"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let key = Key::new(format!("ec-{CONTROLLER}-{ENVIRONMENT}-{machine}-g1-mac"));
    Stamp::new(key, Token::new(format!("token-{machine}")), labels)
}

fn ticket(stamp: &Stamp, verb: Verb) -> Ticket {
    Ticket::of_committed_intent(stamp.key.clone(), verb, 1)
}

#[expect(clippy::disallowed_methods, reason = "leases end by the real clock of hosts")]
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::from_unix_millis(i64::try_from(since.as_millis()).unwrap())
}

/// Whether a process with this word among its arguments is there.
pub(crate) fn lives(word: &str) -> bool {
    let found = Command::new("pgrep")
        .args(["-f", word])
        .output()
        .expect("apt-get install procps");
    found.status.success()
}

/// What a file holds, if it is there.
pub(crate) fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Waits until something is so.
pub(crate) async fn until(span: Duration, what: &str, holds: impl Fn() -> bool) {
    let deadline = Cx::within(span);
    while !holds() {
        assert!(!deadline.remaining().is_zero(), "not so after {span:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
