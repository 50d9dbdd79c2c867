//! The keys that environments log in with.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use encamp_core::{EnvId, Error, ErrorKind, PublicKey, Result};

/// The private key of an environment, in its folder.
const FILE: &str = "login";
/// What stands around OpenSSH's form of a private key, and what that begins with.
const EDGES: [&str; 2] = [
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "-----END OPENSSH PRIVATE KEY-----",
];
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Finds the private key that the engine made for an environment.
pub trait EnvironmentKeys: Debug + Send + Sync + 'static {
    /// The file of the private key, which nobody else can read.
    fn private_key(&self, environment: &EnvId) -> Result<PathBuf>;
}

/// A folder with a folder an environment, in which its private key lies.
#[derive(Debug, Clone)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// The keys in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The public key of an environment, always the same: the pair is made when it is asked for the first time.
    pub fn public_key(&self, environment: &EnvId) -> Result<PublicKey> {
        let file = self.file(environment);
        if !file.exists() {
            self.make(environment).map_err(failed(&file, "made"))?;
        }
        let text = fs::read_to_string(&file).map_err(failed(&file, "read"))?;
        let Some(key) = public_part(&text) else {
            let error = Error::new(ErrorKind::Invalid, format!("{} is no private key", file.display()));
            return Err(error.next_step("remove it where no machine was made with it"));
        };
        Ok(PublicKey(format!("{key} encamp-{environment}")))
    }

    /// Removes the key of an environment, which may have none.
    pub fn forget(&self, environment: &EnvId) -> Result<()> {
        let file = self.file(environment);
        match fs::remove_file(&file) {
            // Others may have something there as well.
            Ok(()) => drop(fs::remove_dir(self.folder(environment))),
            Err(native) if native.kind() == io::ErrorKind::NotFound => {}
            Err(native) => return Err(failed(&file, "removed")(native)),
        }
        Ok(())
    }

    fn folder(&self, environment: &EnvId) -> PathBuf {
        self.0.join(environment.as_ref())
    }

    fn file(&self, environment: &EnvId) -> PathBuf {
        self.folder(environment).join(FILE)
    }

    /// Makes a pair. Of several who do so at once one is first, and all have its.
    fn make(&self, environment: &EnvId) -> io::Result<()> {
        let folder = self.folder(environment);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        let mut draft = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&folder)?;
        draft.write_all(&private_key(&folder)?)?;
        // A machine that knows it may be asked for as soon as this has returned.
        draft.as_file().sync_all()?;
        match draft.persist_noclobber(self.file(environment)) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(error.error),
            _ => {}
        }
        fs::File::open(&folder)?.sync_all()
    }
}

impl EnvironmentKeys for KeyFolder {
    fn private_key(&self, environment: &EnvId) -> Result<PathBuf> {
        let file = self.file(environment);
        if file.is_file() {
            return Ok(file);
        }
        let message = format!("the private key of the environment {environment} is not there");
        Err(Error::new(ErrorKind::NotFound, message)
            .with("file", file.display())
            .next_step("its provider must say `login` in its capabilities; a machine whose key was lost is made anew"))
    }
}

fn failed<'a>(file: &'a Path, what: &'a str) -> impl FnOnce(io::Error) -> Error + use<'a> {
    move |native| {
        let message = format!("the environment's own key {} cannot be {what}", file.display());
        Error::new(ErrorKind::Unavailable, message).caused_by(native)
    }
}

/// A fresh private key for Ed25519, in OpenSSH's form.
#[cfg(feature = "russh")]
fn private_key(_: &Path) -> io::Result<Vec<u8>> {
    use russh::keys::ssh_key::LineEnding;
    use russh::keys::ssh_key::private::{Ed25519Keypair, PrivateKey};

    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    Ok(text.as_bytes().to_vec())
}

/// A fresh private key for Ed25519, in OpenSSH's form. The system's client is all there is, and has this with it.
#[cfg(not(feature = "russh"))]
fn private_key(place: &Path) -> io::Result<Vec<u8>> {
    let folder = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(place)?;
    let file = folder.path().join(FILE);
    let mut program = std::process::Command::new("ssh-keygen");
    program
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(&file);
    let made = program.stdin(std::process::Stdio::null()).output().map_err(|native| {
        let message = format!("`ssh-keygen` cannot be started: {native}: install OpenSSH's client");
        io::Error::new(native.kind(), message)
    })?;
    if !made.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&made.stderr).trim().to_owned(),
        ));
    }
    fs::read(&file)
}

/// `ssh-ed25519 AAAA…` of a private key in OpenSSH's form, where it stands in the clear.
fn public_part(text: &str) -> Option<String> {
    let body = text.trim().strip_prefix(EDGES[0])?.strip_suffix(EDGES[1])?;
    let body: String = body.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(body.as_bytes()).ok()?;
    let mut rest = bytes.strip_prefix(MAGIC)?;
    for _cipher_and_derivation in 0..3 {
        field(&mut rest)?;
    }
    // How many keys there are, and the first one.
    rest = rest.strip_prefix(&[0, 0, 0, 1])?;
    let key = field(&mut rest)?;
    let mut inner = key;
    let algorithm = std::str::from_utf8(field(&mut inner)?).ok()?;
    Some(format!("{algorithm} {}", BASE64.encode(key)))
}

/// Bytes behind their length.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(field)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    use super::*;

    fn id(text: &str) -> EnvId {
        EnvId::new(text).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn an_environment_has_one_key_and_nobody_else_reads_it() {
        let place = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(place.path().join("environments"));
        let (shop, other) = (id("0123456789"), id("0123456780"));
        assert_eq!(keys.private_key(&shop).unwrap_err().kind(), ErrorKind::NotFound);
        let PublicKey(public) = keys.public_key(&shop).unwrap();
        assert!(
            public.starts_with("ssh-ed25519 ") && public.ends_with(" encamp-0123456789"),
            "{public}"
        );
        assert_eq!(keys.public_key(&shop).unwrap().0, public);
        assert_ne!(
            keys.public_key(&other).unwrap().0.split(' ').nth(1),
            public.split(' ').nth(1)
        );
        let file = keys.private_key(&shop).unwrap();
        assert_eq!(file, place.path().join("environments/0123456789/login"));
        assert_eq!([mode(&file), mode(file.parent().unwrap())], [0o600, 0o700]);
        // As OpenSSH itself sees it.
        let read = Command::new("ssh-keygen").arg("-yf").arg(&file).output().unwrap();
        let read = String::from_utf8(read.stdout).unwrap();
        assert_eq!(read.split_whitespace().nth(1), public.split(' ').nth(1), "{read}");
        assert_eq!(
            fs::read_dir(file.parent().unwrap()).unwrap().count(),
            1,
            "a draft is left"
        );
        keys.forget(&shop).unwrap();
        keys.forget(&shop).unwrap();
        assert!(!file.parent().unwrap().exists());
        assert!(keys.private_key(&other).is_ok());
        assert_ne!(keys.public_key(&shop).unwrap().0, public);
    }

    #[test]
    fn what_others_have_in_the_folder_stays() {
        let place = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(place.path());
        let folder = place.path().join("0123456789");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("keeper.log"), "x").unwrap();
        keys.public_key(&id("0123456789")).unwrap();
        keys.forget(&id("0123456789")).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn all_who_ask_at_once_get_the_same() {
        let place = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(place.path());
        let asked: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| keys.public_key(&id("0123456789")).unwrap().0))
                .collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(asked.iter().all(|key| *key == asked[0]), "{asked:?}");
    }

    #[test]
    fn what_is_no_key_is_said_and_kept() {
        let place = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(place.path());
        let folder = place.path().join("0123456789");
        fs::create_dir(&folder).unwrap();
        for text in [
            "",
            "no key",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
        ] {
            fs::write(folder.join(FILE), text).unwrap();
            let error = keys.public_key(&id("0123456789")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
            assert_eq!(fs::read_to_string(folder.join(FILE)).unwrap(), text);
        }
    }
}
