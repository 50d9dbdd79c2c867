//! What every test stands on: a folder of machines, a provider of it, and machines under stamps of its own.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use encamp_core::helper::Helper;
use encamp_core::{
    Ambient, BoxRead, ControllerId, ControllerPrefix, CopyIn, CopyOut, Create, Cx, EnvId, Error, Exec, Exit,
    InstanceName, Key, Labels, List, Listing, Logs, Name, Phase, Provider, ProviderExt, Removal, Resolve, Stamp, Stop,
    Target, Ticket, Token, Verb, label,
};
use encamp_provider_local::kind;
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

pub(crate) struct Bed {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) root: PathBuf,
    settings: Value,
    disk: Option<Disk>,
    /// Goes last.
    _folder: TempDir,
}

/// What a command gave.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A test, on a runtime of its own.
pub(crate) fn trial<F>(name: impl Into<String>, test: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()>,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(test());
        Ok::<(), Failed>(())
    })
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The ways in which this user can cage machines, each alone.
pub(crate) fn cages() -> Vec<&'static str> {
    let mut cages = vec!["namespace", "cookie"];
    // Nobody delegates a control group to an ordinary user here.
    if is_root() {
        cages.push("cgroup");
    }
    cages
}

pub(crate) fn cx() -> Cx {
    Cx::within(Duration::from_mins(1))
}

const CONTROLLER: &str = "abcdef";
const ENVIRONMENT: &str = "0123456789";

pub(crate) async fn connect(settings: Value) -> Result<Arc<dyn Provider>, Error> {
    let program = std::env::current_exe().unwrap();
    connect_by(&cx(), settings, Helper::new(program)).await
}

pub(crate) async fn connect_by(cx: &Cx, settings: Value, helper: Helper) -> Result<Arc<dyn Provider>, Error> {
    let ambient = Ambient::none().with_helper(helper);
    let name = InstanceName::new("local").unwrap();
    kind().connect(cx, name, settings, ambient).await
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(json!({})).await
    }

    pub(crate) async fn with(settings: Value) -> Self {
        Self::within(tempfile::tempdir().unwrap(), None, settings).await
    }

    /// On a disk of its own, which `fill` fills; as root.
    pub(crate) async fn on_small_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::at(folder.path());
        Self::within(folder, Some(disk), json!({})).await
    }

    async fn within(folder: TempDir, disk: Option<Disk>, mut settings: Value) -> Self {
        let root = folder.path().join("machines");
        settings["root"] = json!(root);
        let provider = connect(settings.clone()).await.unwrap();
        Self {
            provider,
            root,
            settings,
            disk,
            _folder: folder,
        }
    }

    /// Another process, as far as the provider can know.
    pub(crate) async fn again(&self) -> Arc<dyn Provider> {
        connect(self.settings.clone()).await.unwrap()
    }

    /// Leaves no room for another file, and none in those that there are.
    pub(crate) fn fill(&self) -> std::fs::File {
        let disk = self.disk.as_ref().expect("it has a disk of its own");
        disk.fill()
    }

    pub(crate) fn stamp(object: &str) -> Stamp {
        let key = format!("ec-{CONTROLLER}-{ENVIRONMENT}-{object}-g1-0123456789abcdef");
        let labels = Labels::from(
            [
                (label::CONTROLLER, CONTROLLER),
                (label::ENVIRONMENT, ENVIRONMENT),
                (label::MACHINE, object),
                (label::GENERATION, "1"),
                (label::PROOF, "p"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        Stamp::new(Key::new(key), Token::new("token"), labels)
    }

    pub(crate) fn target(&self, object: &str) -> Target {
        Target::new(Self::stamp(object), self.provider.site().clone(), None)
    }

    pub(crate) fn folder(&self, object: &str) -> PathBuf {
        self.root.canonicalize().unwrap().join(Self::stamp(object).key.as_str())
    }

    pub(crate) async fn request(&self, object: &str, table: Value) -> Create {
        let candidates = self.provider.resolve(&cx(), Resolve::new(table)).await.unwrap();
        let candidate = candidates.into_iter().next().unwrap();
        Create::new(
            Self::stamp(object),
            candidate.site,
            candidate.body,
            Name::new(object).unwrap(),
        )
    }

    pub(crate) async fn create(&self, request: Create) -> Result<encamp_core::Created, Error> {
        let ticket = ticket(request.stamp.object(), Verb::Create);
        self.provider.create(&cx(), &ticket, request).await
    }

    pub(crate) async fn start(&self, object: &str) -> Result<(), Error> {
        let ticket = ticket(object, Verb::Start);
        self.provider.start(&cx(), &ticket, self.target(object)).await
    }

    pub(crate) async fn stop(&self, object: &str, grace: Duration) {
        let stop = Stop::new(self.target(object), grace);
        self.provider
            .stop(&cx(), &ticket(object, Verb::Stop), stop)
            .await
            .unwrap();
    }

    pub(crate) async fn raise(&self, object: &str, table: Value) {
        self.raise_request(self.request(object, table).await).await;
    }

    pub(crate) async fn raise_request(&self, request: Create) {
        let object = request.stamp.object().to_owned();
        self.create(request).await.unwrap();
        self.start(&object).await.unwrap();
        assert_eq!(self.phase(&object).await, Phase::Running);
    }

    pub(crate) async fn phase(&self, object: &str) -> Phase {
        self.provider.inspect(&cx(), self.target(object)).await.unwrap().phase
    }

    pub(crate) async fn wait_for(&self, object: &str, enough: fn(&Phase) -> bool) {
        let reached = |observed: &encamp_core::Observed| enough(&observed.phase);
        self.provider.wait(&cx(), self.target(object), &reached).await.unwrap();
    }

    pub(crate) async fn destroy(&self, object: &str) {
        let ticket = ticket(object, Verb::Destroy);
        let removal = self
            .provider
            .destroy(&cx(), &ticket, self.target(object))
            .await
            .unwrap();
        assert_eq!(removal, Removal::Gone);
        assert!(!self.folder(object).exists(), "the folder of {object} stays");
    }

    pub(crate) fn script(&self, object: &str, script: &str) -> Exec {
        Exec::new(self.target(object), ["sh", "-c", script])
    }

    pub(crate) async fn run(&self, object: &str, script: &str) -> Said {
        self.finish(self.script(object, script)).await
    }

    pub(crate) async fn finish(&self, exec: Exec) -> Said {
        let mut process = self.provider.exec(&cx(), exec).await.unwrap();
        let (out, err) = tokio::join!(text(process.stdout), text(process.stderr.unwrap()));
        let exit = process.control.wait().await.unwrap();
        Said { exit, out, err }
    }

    /// What its command has said.
    pub(crate) async fn said(&self, object: &str) -> String {
        let logs = Logs::new(self.target(object));
        text(self.provider.logs(&cx(), logs).await.unwrap()).await
    }

    /// Brings one file.
    pub(crate) async fn copy_in(&self, object: &str, folder: &str, name: &str, content: &[u8]) -> Result<(), Error> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
        let tar = Box::pin(std::io::Cursor::new(builder.into_inner().unwrap()));
        let copy = CopyIn::new(self.target(object), folder);
        self.provider.copy_in(&cx(), copy, tar).await
    }

    /// Brings back a path, as an archive.
    pub(crate) async fn copy_out(&self, object: &str, path: &str) -> Result<Vec<u8>, Error> {
        let copy = CopyOut::new(self.target(object), path);
        let mut stream = self.provider.copy_out(&cx(), copy).await?;
        let mut tar = Vec::new();
        stream.read_to_end(&mut tar).await.unwrap();
        Ok(tar)
    }

    async fn list(&self) -> Listing {
        let all = List::new(ControllerPrefix::new(&ControllerId::new(CONTROLLER).unwrap()));
        let all = all.of(EnvId::new(ENVIRONMENT).unwrap());
        self.provider.list(&cx(), all).await.unwrap()
    }

    /// Whether a list has everything that there is.
    pub(crate) async fn covers(&self) -> bool {
        self.list().await.covers(self.provider.site())
    }

    /// The keys of everything of this controller.
    pub(crate) async fn listed(&self) -> Vec<String> {
        let listing = self.list().await;
        assert!(listing.covers(self.provider.site()));
        listing.found.into_iter().map(|found| found.key).collect()
    }
}

/// A test that fails leaves its machines: whatever stands for one of this folder, or carries its tag, ends here.
impl Drop for Bed {
    fn drop(&mut self) {
        let id = std::fs::read_to_string(self.root.join(".id")).unwrap_or_default();
        let tag = format!(".{}", id.get(..8).unwrap_or("none"));
        let folder = self.root.to_string_lossy().into_owned();
        for _ in 0..50 {
            let left: Vec<i32> = all_processes().filter(|pid| is_of(*pid, &folder, &tag)).collect();
            for pid in &left {
                let _ = Pid::from_raw(*pid).map(|pid| rustix::process::kill_process(pid, Signal::KILL));
            }
            if left.is_empty() {
                break;
            }
        }
        if std::thread::panicking() {
            let mut find = std::process::Command::new("find");
            find.args([
                "/sys/fs/cgroup",
                "-depth",
                "-type",
                "d",
                "-name",
                &format!("encamp-*{tag}"),
            ]);
            let _ = find.args(["-exec", "rmdir", "{}", ";"]).output();
        }
    }
}

/// A small one, in memory.
struct Disk(PathBuf);

impl Disk {
    fn at(folder: &Path) -> Self {
        let size = std::ffi::CString::new("size=4m,nr_inodes=300").unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", folder, "tmpfs", flags, size.as_c_str()).unwrap();
        Self(folder.to_owned())
    }

    fn fill(&self) -> std::fs::File {
        use std::io::Write;
        let fillers = self.0.join("fillers");
        std::fs::create_dir_all(&fillers).unwrap();
        let mut first = std::fs::File::create(fillers.join("first")).unwrap();
        while first.write_all(&[7; 4096]).is_ok() {}
        for number in 0..300 {
            if std::fs::File::create(fillers.join(number.to_string())).is_err() {
                return first;
            }
        }
        panic!("there is no end to the disk");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

fn is_of(pid: i32, folder: &str, tag: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let text = String::from_utf8_lossy(&environment).into_owned();
    let mut variables = text.split('\0');
    variables.any(|one| {
        one.starts_with("ENCAMP_HELPER=shim ") && one.contains(folder)
            || one.starts_with("ENCAMP_COOKIE=") && one.ends_with(tag)
    })
}

fn all_processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

pub(crate) fn ticket(object: &str, verb: Verb) -> Ticket {
    Ticket::of_committed_intent(Bed::stamp(object).key, verb, 1)
}

pub(crate) async fn text(mut stream: BoxRead) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for something, half a minute at most.
pub(crate) async fn until(what: &str, mut there: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if there() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come");
}

/// The processes of this host that have a word among their arguments, zombies left out.
pub(crate) fn with_word(word: &str) -> Vec<i32> {
    let has = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|one| one == word.as_bytes())
    };
    all_processes().filter(has).collect()
}

/// A word that is in no other process's arguments.
pub(crate) fn fresh_word() -> String {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    format!("mark-{}", uuid.trim())
}

/// The host's numbers of the shim and of the first process of a machine.
pub(crate) fn processes_of(folder: &Path) -> [i32; 2] {
    let run: Value = serde_json::from_slice(&std::fs::read(folder.join("run.json")).unwrap()).unwrap();
    ["shim", "first"].map(|who| i32::try_from(run[who]["pid"].as_i64().unwrap()).unwrap())
}

/// Whether a process is there, zombies left out.
pub(crate) fn is_there(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn send(pid: i32, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}
