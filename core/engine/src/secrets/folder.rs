//! The folder for secrets that are files: on a file system that is memory, private to the user.
//!
//! `CONTROLLER/ENVIRONMENT/MACHINE-gN/NAME` is what a machine gets: readable for whoever is in it, for the folders above
//! let nobody in. `CONTROLLER/ENVIRONMENT/values/NAME` is what is kept for other processes, so that they can redact what
//! they show and send a frozen request again. Memory may be swapped out; that is the machine's to prevent.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use encamp_core::{ControllerId, EnvId, Error, ErrorKind, Generation, Name, Result, Secret};

/// Where the values lie; no machine's folder is called so.
const VALUES: &str = "values";
/// How many values of before are kept.
const FORMER: usize = 32;
/// How often a folder is made anew that another process removes because it is empty.
const TRIES: usize = 8;

/// Where the secrets of one controller lie as files. Nothing is made before the first one is put.
#[derive(Debug, Clone)]
pub struct Folder {
    root: Option<PathBuf>,
    controller: ControllerId,
}

impl Folder {
    /// In a folder on a tmpfs; what is put where none is given is refused.
    pub fn new(root: Option<PathBuf>, controller: ControllerId) -> Self {
        Self { root, controller }
    }

    /// Puts the files of one machine, and gives the folder to mount. What lies there already and is not among them goes.
    pub fn put(
        &self,
        environment: &EnvId,
        object: &str,
        generation: Generation,
        files: &BTreeMap<String, Secret>,
    ) -> Result<PathBuf> {
        self.write(environment, &of_machine(object, generation)?, 0o755, 0o444, files)
    }

    /// Keeps the values of an environment for other processes; and those of before, as far as there is room, since
    /// machines that were made with them may speak of them still.
    pub(crate) fn remember(&self, environment: &EnvId, values: &BTreeMap<Name, Secret>) -> Result<()> {
        let before = self.lying(environment)?.into_values();
        let mut former: Vec<Secret> = before
            .filter(|value| !values.values().any(|new| new == value))
            .collect();
        former.truncate(FORMER);
        let new = values.iter().map(|(name, value)| (name.to_string(), value.clone()));
        // No secret has such a name.
        let former = former
            .into_iter()
            .enumerate()
            .map(|(index, value)| (format!("{index}_"), value));
        self.write(environment, VALUES, 0o700, 0o400, &new.chain(former).collect())
            .map(drop)
    }

    /// The values that lie there of an environment, former ones too: what is to be redacted.
    pub fn values(&self, environment: &EnvId) -> Result<Vec<Secret>> {
        Ok(self.lying(environment)?.into_values().collect())
    }

    /// Those of the last command that had them.
    pub(crate) fn named(&self, environment: &EnvId) -> Result<BTreeMap<Name, Secret>> {
        let lying = self.lying(environment)?.into_iter();
        Ok(lying
            .filter_map(|(name, value)| Some((Name::new(name).ok()?, value)))
            .collect())
    }

    fn lying(&self, environment: &EnvId) -> Result<BTreeMap<String, Secret>> {
        let mut values = BTreeMap::new();
        let Some(folder) = self.existing()? else {
            return Ok(values);
        };
        let folder = folder.join(environment.as_str()).join(VALUES);
        for name in names_in(&folder)? {
            let path = folder.join(&name);
            // Another process may have taken the environment down meanwhile.
            let Some(text) = unless_gone(fs::read_to_string(&path)).map_err(failed(&path, "read"))? else {
                continue;
            };
            values.insert(name, Secret::new(text));
        }
        Ok(values)
    }

    /// Removes everything of an environment.
    pub fn forget(&self, environment: &EnvId) -> Result<()> {
        self.remove(Path::new(environment.as_str()))
    }

    /// Removes what one machine got.
    pub fn forget_machine(&self, environment: &EnvId, object: &str, generation: Generation) -> Result<()> {
        self.remove(&Path::new(environment.as_str()).join(of_machine(object, generation)?))
    }

    /// The environments of which something lies there.
    pub(crate) fn environments(&self) -> Result<Vec<EnvId>> {
        let Some(folder) = self.existing()? else {
            return Ok(Vec::new());
        };
        let names = names_in(&folder)?.into_iter();
        Ok(names.filter_map(|name| EnvId::new(name).ok()).collect())
    }

    fn remove(&self, below: &Path) -> Result<()> {
        let Some(folder) = self.existing()? else {
            return Ok(());
        };
        let path = folder.join(below);
        unless_gone(fs::remove_dir_all(&path)).map_err(failed(&path, "removed"))?;
        // Only an empty one goes, and whoever needs it makes it anew.
        let _ = fs::remove_dir(&folder);
        Ok(())
    }

    fn write(
        &self,
        environment: &EnvId,
        folder: &str,
        mode: u32,
        mode_of_files: u32,
        files: &BTreeMap<String, Secret>,
    ) -> Result<PathBuf> {
        for name in files.keys() {
            checked_part(name)?;
        }
        let root = self.root()?;
        let mut tries = 0;
        loop {
            let parts = [self.controller.as_str(), environment.as_str(), folder];
            let written = Self::write_once(root, parts, mode, mode_of_files, files);
            match written {
                // Somebody has removed a folder of it that was empty.
                Err((_, error)) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => tries += 1,
                Err((path, error)) => return Err(failed(&path, "written")(error)),
                Ok(path) => return Ok(path),
            }
        }
    }

    fn write_once(
        root: &Path,
        [controller, environment, folder]: [&str; 3],
        mode: u32,
        mode_of_files: u32,
        files: &BTreeMap<String, Secret>,
    ) -> Result<PathBuf, (PathBuf, io::Error)> {
        let make = |path: PathBuf, mode| match own_folder(&path, mode) {
            Ok(()) => Ok(path),
            Err(error) => Err((path, error)),
        };
        let controller = make(root.join(controller), 0o700)?;
        let environment = make(controller.join(environment), 0o700)?;
        let folder = make(environment.join(folder), mode)?;
        for (name, value) in files {
            let path = folder.join(name);
            let write = || {
                // Whole before it has its name, and not in the folder that a machine sees.
                let mut draft = tempfile::NamedTempFile::new_in(&environment)?;
                draft.write_all(value.reveal().as_bytes())?;
                draft.as_file().set_permissions(Permissions::from_mode(mode_of_files))?;
                draft.persist(&path).map_err(|error| error.error)
            };
            write().map_err(|error| (path.clone(), error))?;
        }
        let listed = names_of(&folder).map_err(|error| (folder.clone(), error))?;
        for name in listed.into_iter().filter(|name| !files.contains_key(name)) {
            let path = folder.join(name);
            unless_gone(fs::remove_file(&path)).map_err(|error| (path, error))?;
        }
        Ok(folder)
    }

    /// The outer folder: made where it is not there, private, ours, in memory.
    fn root(&self) -> Result<&Path> {
        let Some(root) = &self.root else {
            return Err(Error::new(
                ErrorKind::Invalid,
                "no folder in memory is given for secrets that are files",
            )
            .next_step(WHAT_TO_GIVE));
        };
        own_folder(root, 0o700).map_err(failed(root, "used for secrets"))?;
        if !is_memory(root)? {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{} is on a disk, where a secret would stay", root.display()),
            )
            .next_step(WHAT_TO_GIVE));
        }
        Ok(root)
    }

    /// This controller's folder, where there is one.
    fn existing(&self) -> Result<Option<PathBuf>> {
        let Some(root) = self.root.as_ref().filter(|root| root.symlink_metadata().is_ok()) else {
            return Ok(None);
        };
        own_folder(root, 0o700).map_err(failed(root, "used for secrets"))?;
        let folder = root.join(self.controller.as_str());
        Ok(folder.symlink_metadata().is_ok().then_some(folder))
    }
}

const WHAT_TO_GIVE: &str =
    "give a folder on a tmpfs: in XDG_RUNTIME_DIR for the program, as `runtime_dir` of the builder for the library";

/// Makes a folder of ours with that mode. One of somebody else, or a link, is refused: whoever owns it reads along.
fn own_folder(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = path.symlink_metadata()?;
    if !found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        let text = format!("it belongs to another user ({})", found.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    if found.mode() & 0o7777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn is_memory(path: &Path) -> Result<bool> {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    let found = rustix::fs::statfs(path).map_err(|error| failed(path, "looked at")(error.into()))?;
    #[expect(clippy::allow_attributes, reason = "its type differs from platform to platform")]
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "as above")]
    let kind = found.f_type as i64;
    Ok([TMPFS, RAMFS].contains(&kind))
}

#[cfg(not(target_os = "linux"))]
fn is_memory(_: &Path) -> Result<bool> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "secrets that are files need a tmpfs, which this system does not have",
    ))
}

fn of_machine(object: &str, generation: Generation) -> Result<String> {
    checked_part(object)?;
    Ok(format!("{object}-g{generation}"))
}

/// A name that leads nowhere else.
fn checked_part(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !name.is_empty() && name.len() <= 200 && name.chars().all(plain) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("`{name}` cannot be the name of a secret's file: only letters, digits, - and _ can"),
    ))
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    unless_gone(names_of(folder))
        .map(Option::unwrap_or_default)
        .map_err(failed(folder, "read"))
}

fn names_of(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

fn unless_gone<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(path: &Path, what: &str) -> impl FnOnce(io::Error) -> Error {
    let text = format!("{} cannot be {what}", path.display());
    move |error| {
        Error::new(ErrorKind::Unavailable, text)
            .caused_by(error)
            .next_step(WHAT_TO_GIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/dev/shm` is a tmpfs wherever Linux has POSIX shared memory.
    fn memory() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn folder(root: &Path) -> Folder {
        Folder::new(Some(root.to_owned()), ControllerId::new("5mkt0r").unwrap())
    }

    fn id(text: &str) -> EnvId {
        EnvId::new(text).unwrap()
    }

    fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())))
            .collect()
    }

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o7777
    }

    const FIRST: Generation = Generation(1);

    #[test]
    fn a_machines_files_are_whole_and_nobody_gets_near_them() {
        let memory = memory();
        let (root, shop) = (memory.path().join("encamp"), id("0123456789"));
        let folder = folder(&root);
        let at = folder
            .put(&shop, "web-0", FIRST, &files(&[("TOKEN", "one"), ("KEY", "two")]))
            .unwrap();
        assert_eq!(at, root.join("5mkt0r/0123456789/web-0-g1"));
        assert_eq!(fs::read_to_string(at.join("TOKEN")).unwrap(), "one");
        assert_eq!(
            [&root, &root.join("5mkt0r"), &at, &at.join("TOKEN")].map(|path| mode(path)),
            [0o700, 0o700, 0o755, 0o444]
        );
        // The same folder stays: a running machine has it mounted.
        let before = at.symlink_metadata().unwrap().ino();
        assert_eq!(
            folder
                .put(&shop, "web-0", FIRST, &files(&[("TOKEN", "three")]))
                .unwrap(),
            at
        );
        assert_eq!(at.symlink_metadata().unwrap().ino(), before);
        assert_eq!(names_of(&at).unwrap(), ["TOKEN"]);
        assert_eq!(fs::read_to_string(at.join("TOKEN")).unwrap(), "three");
        assert_eq!(
            names_of(&root.join("5mkt0r/0123456789")).unwrap(),
            ["web-0-g1"],
            "no draft is left"
        );
    }

    #[test]
    fn what_is_forgotten_is_gone() {
        let memory = memory();
        let folder = folder(memory.path());
        let (shop, other) = (id("0123456789"), id("0123456780"));
        for generation in [FIRST, FIRST.next()] {
            folder.put(&shop, "web", generation, &files(&[("A", "a")])).unwrap();
        }
        folder.put(&other, "web", FIRST, &files(&[("A", "a")])).unwrap();
        folder.forget_machine(&shop, "web", FIRST).unwrap();
        let of_shop = memory.path().join("5mkt0r/0123456789");
        assert_eq!(names_of(&of_shop).unwrap(), ["web-g2"]);
        folder.forget(&shop).unwrap();
        folder.forget(&shop).unwrap();
        assert!(!of_shop.exists());
        assert_eq!(folder.environments().unwrap(), std::slice::from_ref(&other));
        folder.forget(&other).unwrap();
        assert!(names_of(memory.path()).unwrap().is_empty(), "nothing at all is left");
    }

    #[test]
    fn values_are_there_for_other_processes() {
        let memory = memory();
        let shop = id("0123456789");
        assert!(folder(memory.path()).values(&shop).unwrap().is_empty());
        let token = |value: &str| BTreeMap::from([(Name::new("token").unwrap(), Secret::new(value.to_owned()))]);
        for value in ["one", "two", "two", "three"] {
            folder(memory.path()).remember(&shop, &token(value)).unwrap();
        }
        assert_eq!(folder(memory.path()).named(&shop).unwrap(), token("three"));
        let all: std::collections::BTreeSet<String> = folder(memory.path())
            .values(&shop)
            .unwrap()
            .iter()
            .map(|value| value.reveal().clone())
            .collect();
        assert_eq!(
            Vec::from_iter(all),
            ["one", "three", "two"],
            "machines of before may still speak of theirs"
        );
        let at = memory.path().join("5mkt0r/0123456789/values");
        assert_eq!([mode(&at), mode(&at.join("token"))], [0o700, 0o400]);
    }

    #[test]
    fn a_disk_is_refused() {
        let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let error = folder(disk.path())
            .put(&id("0123456789"), "web", FIRST, &files(&[("A", "a")]))
            .unwrap_err();
        assert!(error.message().contains("is on a disk"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("XDG_RUNTIME_DIR")));
        assert!(names_of(disk.path()).unwrap().is_empty());
        let none = Folder::new(None, ControllerId::new("5mkt0r").unwrap());
        let error = none.put(&id("0123456789"), "web", FIRST, &files(&[])).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("XDG_RUNTIME_DIR")));
        assert!(none.environments().unwrap().is_empty() && none.forget(&id("0123456789")).is_ok());
    }

    #[test]
    fn links_and_foreign_folders_are_refused_and_open_ones_closed() {
        let memory = memory();
        let (real, link) = (memory.path().join("real"), memory.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let put = |root: &Path| folder(root).put(&id("0123456789"), "web", FIRST, &files(&[("A", "a")]));
        assert!(put(&link).is_err());
        assert!(names_of(&real).unwrap().is_empty());
        // A link where this controller's folder is to be.
        let trap = memory.path().join("trap");
        fs::create_dir(&trap).unwrap();
        std::os::unix::fs::symlink(&real, trap.join("5mkt0r")).unwrap();
        assert!(put(&trap).is_err());
        assert!(names_of(&real).unwrap().is_empty());
        let open = memory.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        put(&open).unwrap();
        assert_eq!(mode(&open), 0o700);
        if rustix::process::geteuid().is_root() {
            let foreign = memory.path().join("foreign");
            fs::create_dir(&foreign).unwrap();
            std::os::unix::fs::chown(&foreign, Some(65534), None).unwrap();
            let error = put(&foreign).unwrap_err();
            let text = encamp_core::Report(&error).to_string();
            assert!(text.contains("belongs to another user"), "{text}");
        }
    }

    #[test]
    fn no_name_leads_elsewhere() {
        let memory = memory();
        let put = |object: &str, name: &str| {
            folder(memory.path()).put(&id("0123456789"), object, FIRST, &files(&[(name, "a")]))
        };
        for bad in ["..", "a/b", "", "/etc/x", "a\0"] {
            assert!(put("web", bad).is_err() && put(bad, "A").is_err(), "{bad}");
        }
    }

    #[test]
    fn putting_and_forgetting_at_once_agree() {
        let memory = memory();
        std::thread::scope(|scope| {
            for (number, shop) in ["0123456780", "0123456781"].into_iter().map(id).enumerate() {
                let root = memory.path();
                scope.spawn(move || {
                    for _ in 0..200 {
                        let at = folder(root)
                            .put(&shop, &format!("m{number}"), FIRST, &files(&[("A", "a")]))
                            .unwrap();
                        assert!(at.join("A").exists());
                        folder(root).forget(&shop).unwrap();
                    }
                });
            }
        });
        assert!(names_of(memory.path()).unwrap().is_empty());
    }
}
