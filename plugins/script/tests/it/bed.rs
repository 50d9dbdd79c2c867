//! A provider that is a script of a few lines, in a folder of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{
    Ambient, ControllerId, ControllerPrefix, Create, Created, Cx, InstanceName, Key, Labels, List, Name, Provider,
    Removal, Stamp, Target, Ticket, Token, Verb,
};
use tempfile::TempDir;

pub(crate) struct Bed {
    pub(crate) folder: TempDir,
    pub(crate) provider: Arc<dyn Provider>,
}

impl Bed {
    /// A script with these arms of its `case`.
    pub(crate) async fn new(arms: &str) -> Self {
        Self::with("", arms).await
    }

    pub(crate) async fn with(manifest: &str, arms: &str) -> Self {
        let folder = tempfile::tempdir().expect("a bed can be made");
        let verbs = [
            "create", "destroy", "list", "exec", "copy_in", "copy_out", "dial", "logs",
        ];
        let there = |verb: &&str| ["create", "destroy", "list"].contains(verb) || arms.contains(&format!("{verb})"));
        let run: Vec<String> = verbs
            .into_iter()
            .filter(there)
            .map(|verb| {
                format!(
                    "{verb} = [\"./lab.sh\", \"{verb}\"]
"
                )
            })
            .collect();
        let run = run.concat();
        let file = folder.path().join("lab.provider.toml");
        fs::write(&file, format!("pass = [\"GIVEN\"]\n{manifest}\n[run]\n{run}")).expect("a bed can be made");
        let script = folder.path().join("lab.sh");
        fs::write(&script, format!("#!/bin/sh\ncase $1 in\n{arms}\nesac\n")).expect("a bed can be made");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a bed can be made");
        Self::of(folder, &file).await
    }

    /// Another script, with its machines in this folder.
    pub(crate) async fn of(folder: TempDir, manifest: &Path) -> Self {
        let provider = connected(folder.path(), manifest).await;
        Self { folder, provider }
    }

    /// The bed of another process, which is that one's to remove.
    pub(crate) async fn again(path: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a bed can be made");
        let provider = connected(path, &path.join("lab.provider.toml")).await;
        Self { folder, provider }
    }

    /// What is kept of turns.
    pub(crate) fn turns(&self) -> Vec<PathBuf> {
        let user = rustix::process::geteuid().as_raw();
        let folder = fs::read_dir(self.path(&format!("encamp-scripts-{user}")));
        folder
            .expect("turns are kept")
            .flatten()
            .map(|entry| entry.path())
            .collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Whether the process lives whose number a command has written down.
    pub(crate) fn lives(&self, name: &str) -> bool {
        let number: u32 = self.read(name).trim().parse().unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{number}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    pub(crate) async fn begins(&self, name: &str) {
        soon(name, || self.lives(name)).await;
    }

    pub(crate) async fn ends(&self, name: &str) {
        soon(name, || !self.read(name).is_empty() && !self.lives(name)).await;
    }

    /// Ends what a command has left.
    pub(crate) fn kill(&self, name: &str) {
        let number = self.read(name).trim().parse().ok();
        let number = number.and_then(rustix::process::Pid::from_raw).expect("a number");
        rustix::process::kill_process(number, rustix::process::Signal::KILL).expect("it lives");
    }

    pub(crate) fn target(&self) -> Target {
        let labels = Labels::from([("encamp.controller".to_owned(), "abcdef".to_owned())]);
        let stamp = Stamp::new(Key::new("ec-abcdef-0123456789-web-g1-x"), Token::new("t"), labels);
        Target::new(stamp, self.provider.site().clone(), None)
    }

    pub(crate) async fn destroy(&self, cx: &Cx) -> encamp_core::Result<Removal> {
        let target = self.target();
        let ticket = Ticket::of_committed_intent(target.stamp.key.clone(), Verb::Destroy, 1);
        self.provider.destroy(cx, &ticket, target).await
    }

    pub(crate) async fn create(&self, cx: &Cx) -> encamp_core::Result<Created> {
        let stamp = self.target().stamp;
        let ticket = Ticket::of_committed_intent(stamp.key.clone(), Verb::Create, 1);
        let name = Name::new("web").expect("a name");
        let create = Create::new(stamp, self.provider.site().clone(), serde_json::json!({}), name);
        self.provider.create(cx, &ticket, create).await
    }

    pub(crate) async fn list(&self) -> encamp_core::Result<encamp_core::Listing> {
        let controller = ControllerId::new("abcdef").expect("a bed can be made");
        self.provider
            .list(&cx(), List::new(ControllerPrefix::new(&controller)))
            .await
    }
}

/// With its folder for all that is temporary.
pub(crate) async fn connected(folder: &Path, manifest: &Path) -> Arc<dyn Provider> {
    let kind = encamp_plugin_script::kind(manifest).expect("a bed can be made");
    let temporary = folder.display().to_string();
    let variables = [
        ("PATH", "/usr/bin:/bin"),
        ("GIVEN", "yes"),
        ("HIDDEN", "no"),
        ("TMPDIR", &temporary),
    ];
    let ambient = Ambient::new(variables.map(|(name, value)| (name.to_owned(), value.to_owned())), None);
    let name = InstanceName::new("lab").expect("a bed can be made");
    let settings = serde_json::json!({ "site": "one" });
    let provider = kind.connect(&cx(), name, settings, ambient).await;
    provider.expect("a bed can be made")
}

pub(crate) async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} does not come to it");
}

pub(crate) fn cx() -> Cx {
    Cx::within(Duration::from_secs(30))
}

/// What is answered while the clock stands: what a command does counts then, and not how soon it does it.
pub(crate) async fn unhurried<T>(answer: impl Future<Output = T>) -> T {
    let (over, going) = std::sync::mpsc::channel::<()>();
    tokio::time::pause();
    // Where there is nothing to do a clock that stands goes on by itself, unless something blocks.
    let standing = tokio::task::spawn_blocking(move || going.recv_timeout(Duration::from_secs(30)));
    let answer = answer.await;
    tokio::time::resume();
    drop(over);
    let _ = standing.await;
    answer
}

/// The line of a script that waits until its last command has left the group, with which it would be ended.
pub(crate) const APART: &str = "until [ \"$(cut -d' ' -f6 /proc/$!/stat)\" = $! ]; do sleep 0.02; done";
