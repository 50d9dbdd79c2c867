//! An installation with canaries for secrets, and where they must not be found.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use encamp_core::memory::{self, World};
use encamp_core::{Ambient, InstanceName, KindName, Name, Secret};
use encamp_file::spec::{Command, Environment, SecretSource};
use encamp_file::text::Text;
use encamp_file::{Load, load};
use serde_json::json;
use tokio::sync::mpsc;

use crate::api::Encamp;
use crate::camp::Camp;
use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use crate::events::{Event, Events};
use crate::failpoint::NoFailpoints;
use crate::journal::Sqlite;
use crate::policy::Policy;
use crate::providers::{Instance, Providers};
use crate::secrets::Folder;
use crate::secrets::forms::forms;
use crate::state_folder::StateFolder;
use crate::tenure::FileLocks;

/// From a variable, a file and a command; each with what encodings change.
pub(super) const CANARIES: [&str; 3] = [
    "canary/one+\u{e9}\"x",
    "second <canary> & co\n  its second line",
    "canary three ~ 'q' %",
];

/// An installation on disk, its folder in memory, and infrastructure that outlives it.
pub(super) struct Bed {
    pub(super) disk: tempfile::TempDir,
    pub(super) memory: tempfile::TempDir,
    pub(super) world: World,
}

impl Bed {
    pub(super) fn new() -> Self {
        let bed = Self {
            disk: tempfile::tempdir().unwrap(),
            memory: tempfile::tempdir_in("/dev/shm").unwrap(),
            world: World::new(7),
        };
        bed.write("token", &format!("{}\n", CANARIES[1]));
        bed.write("said", &format!("{}\r\n", CANARIES[2]));
        bed
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.disk.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    pub(super) fn state(&self) -> PathBuf {
        self.disk.path().join("state")
    }

    pub(super) fn in_memory(&self) -> PathBuf {
        self.memory.path().join("encamp")
    }

    pub(super) fn ambient() -> Ambient {
        Ambient::new([("CANARY".to_owned(), CANARIES[0].to_owned())], None)
    }

    /// As another process opens it.
    pub(super) fn camp(&self) -> Arc<Camp> {
        let folder = StateFolder::open(&self.state(), &SystemClock, &SystemEntropy).unwrap();
        let mut providers = Providers::new(Self::ambient());
        providers.add_kind(memory::kind(self.world.clone()));
        let kind = KindName::new("memory").unwrap();
        let settings = json!({});
        providers.add_instance(InstanceName::new("sim").unwrap(), Instance { kind, settings });
        let said = Command::Argv(["cat", "said"].map(Text::literal).into());
        Arc::new(Camp {
            controller: folder.controller().clone(),
            journal: Arc::new(Sqlite::open(&folder.store()).unwrap()),
            locks: Arc::new(FileLocks(folder.locks())),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            failpoints: Arc::new(NoFailpoints),
            providers,
            secrets: [(name("by-command"), SecretSource::Command(said))].into(),
            secret_folder: Folder::new(Some(self.in_memory()), folder.controller().id().clone()),
            keepers: crate::keeper::Keepers::none(),
            users: crate::users::Users::none(),
            queue: crate::queue::Queue::none(),
            policy: Policy::default(),
            user: "anna".into(),
            pid: 1,
        })
    }

    /// The public object of another process.
    pub(super) fn encamp(&self) -> Encamp {
        Encamp::builder()
            .state_dir(self.state())
            .runtime_dir(self.in_memory())
            .kind(memory::kind(self.world.clone()))
            .instance("sim", "memory", json!({}))
            .open()
            .unwrap()
    }

    pub(super) fn load(&self, camp: &Camp, text: &str) -> Environment {
        self.write("encamp.toml", text);
        let kinds = camp.providers.kinds();
        let of_camp: BTreeSet<Name> = camp.secrets.keys().cloned().collect();
        let path = self.disk.path().join("encamp.toml");
        let loaded = load(&Load {
            secrets: &of_camp,
            allow_visible: true,
            ..Load::new(&path, &kinds)
        });
        let mut environment = loaded
            .unwrap_or_else(|failure| panic!("{}", failure.render(false)))
            .environment;
        // The language refuses a secret in an output; somebody may write one there all the same.
        let url = Text::literal(format!("http://{}@web", CANARIES[0]));
        environment.outputs.insert("url".to_owned(), url);
        environment
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Fails where any form of any canary stands.
#[track_caller]
pub(super) fn clean(what: &str, bytes: &[u8]) {
    for canary in CANARIES {
        for form in forms(&Secret::new(canary.to_owned())) {
            let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!found, "{what} holds {form:?} of {canary:?}");
        }
    }
}

/// All files below a folder, but those that `leave` names.
pub(super) fn clean_files(folder: &Path, leave: &[&str]) -> usize {
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            seen += clean_files(&path, leave);
        } else if !leave.iter().any(|leave| path.ends_with(leave)) {
            clean(&path.display().to_string(), &fs::read(&path).unwrap());
            seen += 1;
        }
    }
    seen
}

pub(super) fn described(says: &str) -> String {
    format!(
        r#"name = "shop"
[secrets]
by-variable = {{ variable = "CANARY" }}
by-file = {{ file = "token" }}
unused = {{ variable = "NOT_THERE" }}

[machines.web]
provider = "sim"
memory.image = "any"
env = {{ A = "{{{{ secret('by-variable') }}}}" }}
secrets = {{ TOKEN = "t={{{{ secret('by-command') }}}}" }}
ready = [{{ run = "echo $A" }}]

[[stages]]
name = "test"
[[stages.tasks]]
name = "leak"
on = "web"
junit = ["r.xml"]
env = {{ B = "{{{{ secret('by-file') }}}}", C = "x{{{{ secret('by-command') }}}}" }}
run = '''
{says}
'''
[[stages.tasks]]
name = "here"
on = "controller"
always = true
env = {{ B = "{{{{ secret('by-file') }}}}" }}
run = '''
printf '%s' "$B" | base64; printf '%s' "$B" >&2; exit 4
'''
"#
    )
}

pub(super) fn events() -> (Events, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(10_000);
    (Events::into_channel(sender), receiver)
}

pub(super) fn told(mut events: mpsc::Receiver<Event>) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}
