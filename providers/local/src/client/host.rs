//! This host, connected: where machines live, and how they are caged.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use encamp_core::helper::Helper;
use encamp_core::{
    Ambient, Candidate, Cx, Error, ErrorKind, Finding, Phase, Resolve, Result, Retry, Site, Stamp, Target,
};
use tokio::process::ChildStdin;

use super::ability;
use super::machines::blocking;
use crate::cgroup;
use crate::config::Settings;
use crate::convert::{Offer, Plan, Record, Sight, phase_of, plan, refuse_limits, with_needs};
use crate::error::{foreign, io, missing};
use crate::message::Run;
use crate::place::{Place, fresh_name, private_folder, read_json, remove_tree};
use crate::process::boot_id;
use crate::table;

/// What the folders of machines that are being made, and of those that were removed, begin with.
pub(super) const NEW: &str = ".new-";
pub(super) const DEAD: &str = ".dead-";

/// How old what a crash left is at least.
const REMAIN: Duration = Duration::from_mins(1);

/// This host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) settings: Settings,
    pub(crate) site: Site,
    pub(crate) plan: Plan,
    pub(super) root: PathBuf,
    pub(super) helper: Helper,
    pub(super) boot: String,
    /// What is still closed: with this process, each of them and what stands behind it goes.
    gates: Mutex<BTreeMap<String, ChildStdin>>,
}

/// A machine that is there.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) place: Place,
    pub(super) record: Record,
}

impl Host {
    /// Finds out what this host allows, and where machines live.
    pub(crate) async fn connect(cx: &Cx, settings: Settings, ambient: &Ambient) -> Result<Self> {
        let helper = ambient.helper().cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "no program was named that can stand for a machine on this host",
            )
            .next_step("use the program `encamp`, or call `helper` on the library's builder")
        })?;
        let below = || ambient.state().map(|state| state.join("sandboxes"));
        let root = settings.root.clone().or_else(below).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "nobody says where machines of this host live")
                .next_step("write `root` in the settings of this provider")
        })?;
        private_folder(&root).map_err(io(&root))?;
        // Paths into the folder of a machine must not depend on links that may change.
        let root = root.canonicalize().map_err(io(&root))?;
        is_ours_alone(&root)?;
        let site = Site::new(format!("local:{}", id_of(&root)?));
        let remains = root.clone();
        blocking(move || clear_remains(&remains)).await?;
        let abilities = ability::known(cx, &root, &helper).await?;
        let plan = plan(&settings, &abilities)?;
        let boot = boot_id().map_err(io(Path::new("/proc")))?;
        Ok(Self {
            settings,
            site,
            plan,
            root,
            helper,
            boot,
            gates: Mutex::default(),
        })
    }

    /// What works and what does not, found out anew.
    pub(crate) async fn check(&self, cx: &Cx) -> Result<Vec<Finding>> {
        fs::read_dir(&self.root).map_err(io(&self.root))?;
        let abilities = ability::fresh(cx, &self.root, &self.helper).await?;
        Ok(plan(&self.settings, &abilities)?.findings())
    }

    /// The one candidate of a table.
    pub(crate) fn resolve(&self, request: Resolve) -> Result<Candidate> {
        if request.image.is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "machines of this kind have no images",
            ));
        }
        let mut body = request.table;
        let mut table = table::read(&body)?;
        with_needs(&mut table, &request.needs, offer())?;
        refuse_limits(&table, &self.plan)?;
        self.plan.refuse_user(table.user.as_deref())?;
        if body.is_null() {
            body = serde_json::json!({});
        }
        if let Some(cpus) = table.cpus {
            body["cpus"] = cpus.into();
        }
        if let Some(memory) = table.memory {
            body["memory"] = memory.to_string().into();
        }
        let mut candidate = Candidate::new(self.site.clone(), body);
        let mut show = |key: &str, value: String| candidate.summary.push((key.to_owned(), value));
        show("ended by", self.plan.cage().to_owned());
        show("files", self.plan.files().to_owned());
        Ok(candidate)
    }

    pub(super) fn at(&self, site: &Site) -> Result<()> {
        if *site == self.site {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "these settings lead to another folder of machines",
        )
        .with("wanted", site)
        .with("found", &self.site)
        .next_step("set `root` of this provider to the folder that it had"))
    }

    pub(super) fn gates(&self) -> MutexGuard<'_, BTreeMap<String, ChildStdin>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the machine of a key lives; the key is part of a path.
    pub(super) fn place(&self, stamp: &Stamp) -> Result<Place> {
        let key = stamp.key.as_str();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if key.is_empty() || key.len() > 63 || !key.bytes().all(fits) {
            return Err(Error::new(ErrorKind::Invalid, format!("`{key}` is no key")));
        }
        Ok(Place::new(self.root.join(key)))
    }

    /// The machine of a target; one that does not carry the stamp is not ours.
    pub(super) fn find(&self, target: &Target) -> Result<Option<Sandbox>> {
        self.at(&target.site)?;
        let place = self.place(&target.stamp)?;
        let Some(sandbox) = Sandbox::read(place)? else {
            return Ok(None);
        };
        sandbox.belongs_to(&target.stamp)?;
        Ok(Some(sandbox))
    }

    /// The same, which must be there.
    pub(super) fn own(&self, target: &Target) -> Result<Sandbox> {
        let found = self.find(target)?;
        found.ok_or_else(|| missing(target.stamp.object()).with("name", &target.stamp.key))
    }

    /// One look at a machine.
    pub(super) fn sight(&self, sandbox: &Sandbox) -> Result<Sight> {
        let place = &sandbox.place;
        let alive = place.is_held().map_err(io(&place.lock()))?;
        let run = self.run(place)?;
        // The shim writes its end down before it lets the lock go, so this is read after that.
        let shim = alive && run.is_some_and(|run| run.shim.lives());
        Ok(Sight {
            life: read_json(&place.life()).map_err(io(&place.life()))?,
            dying: place.dying().exists(),
            shim,
            alive,
            frozen: sandbox.record.group.as_deref().is_some_and(cgroup::is_frozen),
        })
    }

    /// Where it stands.
    pub(super) fn phase(&self, sandbox: &Sandbox) -> Result<Phase> {
        Ok(phase_of(&self.sight(sandbox)?).0)
    }

    /// Its processes, if they are of this boot.
    pub(super) fn run(&self, place: &Place) -> Result<Option<Run>> {
        let run: Option<Run> = read_json(&place.run()).map_err(io(&place.run()))?;
        Ok(run.filter(|run| run.boot == self.boot))
    }
}

impl Sandbox {
    pub(super) fn read(place: Place) -> Result<Option<Self>> {
        let record = place.record().map_err(io(&place.machine()))?;
        Ok(record.map(|record| Self { place, record }))
    }

    pub(super) fn belongs_to(&self, stamp: &Stamp) -> Result<()> {
        let has = &self.record.create.stamp;
        if stamp.matches(has.key.as_str(), &has.labels) {
            return Ok(());
        }
        Err(foreign(stamp.key.as_str()))
    }

    /// What the environment calls it.
    pub(super) fn name(&self) -> &str {
        self.record.create.stamp.object()
    }

    pub(super) fn key(&self) -> &str {
        self.record.create.stamp.key.as_str()
    }
}

/// Whoever can write to the folder decides what runs on this user's behalf.
fn is_ours_alone(root: &Path) -> Result<()> {
    let seen = fs::metadata(root).map_err(io(root))?;
    let owner = rustix::process::geteuid().as_raw();
    if seen.uid() == owner && seen.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Invalid, "others can write to the folder of machines")
            .with("folder", root.display())
            .with("owner", seen.uid())
            .with("mode", format!("{:o}", seen.mode() & 0o7777))
            .next_step("give it to this user alone, or name another by `root` in the settings of this provider"),
    )
}

/// The id of a folder of machines, made at first use: two folders are two sites.
fn id_of(root: &Path) -> Result<String> {
    let path = root.join(".id");
    for _ in 0..2 {
        match fs::read_to_string(&path) {
            Ok(id) => return Ok(id.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(&path)(error)),
        }
        let id = fresh_name().map_err(io(&path))?;
        let fresh = root.join(format!("{NEW}{id}"));
        crate::place::write(&fresh, id.as_bytes()).map_err(io(&fresh))?;
        // Another process may have come first; then its id counts.
        let linked = fs::hard_link(&fresh, &path);
        let _ = fs::remove_file(&fresh);
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(&path)(error)),
            _ => {}
        }
    }
    Err(Error::new(ErrorKind::Internal, "the folder of machines keeps no id").retry(Retry::Safe))
}

/// What crashes left of machines that were not yet, or no more. What is being worked on is locked.
fn clear_remains(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let place = Place::new(entry.path());
        let left = name.starts_with(DEAD) || name.starts_with(NEW);
        // Between the making of a folder and its lock there is a moment.
        let old = |seen: fs::Metadata| seen.modified().ok()?.elapsed().ok().map(|age| age > REMAIN);
        if left && entry.metadata().ok().filter(fs::Metadata::is_dir).and_then(old) == Some(true) {
            let Ok(Some(_lock)) = place.take() else { continue };
            if let Err(error) = remove_tree(&entry.path()) {
                tracing::debug!(%error, folder = %entry.path().display(), "a remain stays");
            }
        }
    }
}

fn offer() -> Offer {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = memory.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    Offer {
        cpus: f64::from(u32::try_from(cpus).unwrap_or(u32::MAX)),
        memory: kibibytes.map(|kibibytes| kibibytes.saturating_mul(1024)),
    }
}
