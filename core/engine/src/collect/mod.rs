//! What is kept of a run: artifacts, logs, `junit.xml`, `report.json`.

mod patterns;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use encamp_core::{CopyOut, Cx, Error, ErrorKind, Exec, Logs, Result, Target, Verb};
use encamp_file::spec::{Stage, Task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use self::patterns::{Wanted, unpack, walk};
use crate::events::Event;
use crate::inside::Inside;
use crate::journal::IntentRow;
#[cfg(feature = "junit")]
use crate::junit;
#[cfg(not(feature = "junit"))]
use crate::no_junit as junit;
use crate::report::{RunReport, TaskReport};
use crate::secrets::Redactor;
use crate::session::Session;
use crate::stages::Staging;

/// Says that a folder holds results of ours, so that an earlier run's may be cleared.
const MARKER: &str = ".encamp-results";

/// Where results go.
#[derive(Debug)]
pub(crate) struct Results {
    out: Option<PathBuf>,
    keep_bytes: u64,
    redactor: Redactor,
    outputs: Mutex<BTreeMap<PathBuf, BufWriter<File>>>,
    suites: Mutex<Vec<junit::Suite>>,
    /// The folder's marker, locked as long as this writes there; the lock dies with its process.
    _marker: Option<File>,
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let text = format!("{} cannot be written", path.display());
    move |e| Error::new(ErrorKind::Unavailable, text).caused_by(e)
}

/// Marks the folder as one of results, and keeps other runs out of it.
fn hold(out: &Path, marker: &Path) -> Result<File> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(marker)
        .map_err(disk(marker))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("another run writes its results into {}", out.display()),
            )
            .next_step("name another folder with --out, or wait until that run has ended"));
        }
        Err(fs::TryLockError::Error(error)) => return Err(disk(marker)(error)),
    }
    file.write_all(b"Results of `encamp run`; the next run into this folder clears them.\n")
        .map_err(disk(marker))?;
    Ok(file)
}

impl Results {
    /// Makes the folder, and clears what an earlier run left in it. A folder with other things in it is refused.
    pub(crate) fn open(out: Option<&Path>, keep_bytes: u64, redactor: Redactor) -> Result<Self> {
        let mut held = None;
        if let Some(out) = out {
            fs::create_dir_all(out).map_err(disk(out))?;
            let marker = out.join(MARKER);
            let ours = marker.exists();
            if !ours && fs::read_dir(out).map_err(disk(out))?.next().is_some() {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("{} holds other files than results", out.display()),
                )
                .next_step("name another folder with --out"));
            }
            held = Some(hold(out, &marker)?);
            if ours {
                for folder in ["artifacts", "logs"] {
                    let folder = out.join(folder);
                    if folder.exists() {
                        fs::remove_dir_all(&folder).map_err(disk(&folder))?;
                    }
                }
                for file in ["junit.xml", "report.json"] {
                    let _ = fs::remove_file(out.join(file));
                }
            }
        }
        Ok(Self {
            out: out.map(Path::to_owned),
            keep_bytes,
            redactor,
            outputs: Mutex::default(),
            suites: Mutex::default(),
            _marker: held,
        })
    }

    /// Whether anything is kept.
    pub(crate) fn wanted(&self) -> bool {
        self.out.is_some()
    }

    /// Keeps a line that a task said, without secrets.
    pub(crate) fn task_line(&self, stage: &str, task: &str, place: &str, told: &Event) {
        let (Some(out), Event::TaskOutput { line, .. }) = (&self.out, told) else {
            return;
        };
        let line = self.redactor.redact(line);
        let path = out
            .join("artifacts")
            .join(stage)
            .join(task)
            .join(place)
            .join("output.log");
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match outputs.entry(path) {
            std::collections::btree_map::Entry::Occupied(open) => writeln!(open.into_mut(), "{line}"),
            std::collections::btree_map::Entry::Vacant(new) => create(new.key()).and_then(|mut file| {
                writeln!(file, "{line}")?;
                new.insert(file);
                Ok(())
            }),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, stage, task, place, "a line of output could not be kept");
        }
    }

    /// Keeps what a machine's main process has said, without secrets.
    pub(crate) async fn save_log(&self, session: &Session, row: &IntentRow) -> Result<(), (String, Error)> {
        let Some(out) = &self.out else { return Ok(()) };
        let saving = async {
            let provider = session.camp.provider_of(row).await?;
            if !provider.capabilities().offers(Verb::Logs) {
                return Ok(());
            }
            let target = Target::new(row.stamp.clone(), row.site.clone(), row.id.clone());
            let cx = Cx::within(session.camp.policy.change);
            // Redacted before it is cut: a half of a secret is one too.
            let log = provider.logs(&cx, Logs::new(target)).await?;
            let mut stream = self.redactor.redact_stream(log).take(self.keep_bytes);
            let path = out.join("logs").join(format!("{}.log", row.object));
            fs::create_dir_all(out.join("logs")).map_err(disk(&path))?;
            let mut file = tokio::fs::File::create(&path).await.map_err(disk(&path))?;
            tokio::time::timeout(session.camp.policy.change, tokio::io::copy(&mut stream, &mut file))
                .await
                .map_err(|_| Error::new(ErrorKind::Unavailable, "the log did not end in time"))?
                .map_err(disk(&path))?;
            file.flush().await.map_err(disk(&path))
        };
        saving.await.map_err(|error| (row.object.clone(), error))
    }

    /// Keeps a task's files out of a machine.
    pub(crate) async fn collect(
        &self,
        staging: &Staging<'_>,
        stage: &Stage,
        task: &Task,
        place: &str,
        report: &mut TaskReport,
    ) -> Result<()> {
        let name = encamp_core::Name::new(place).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let Some(row) = staging.raised.rows.get(&name) else {
            return Ok(());
        };
        let provider = staging.session.camp.provider_of(row).await?;
        let inside = Inside::new(staging.session, provider, row);
        let viewer = encamp_file::text::Viewer::Member(name);
        let cwd = match &task.cwd {
            Some(cwd) => Some(
                cwd.render(&staging.raised.facts, &viewer)
                    .map_err(|e| Error::new(ErrorKind::Invalid, e.to_string()))?,
            ),
            None => None,
        };
        let cwd = working_folder(&inside, task, cwd, staging.session.camp.policy.check).await?;
        let into = self.folder(stage, task, place)?;
        for pattern in task.junit.iter().chain(&task.artifacts) {
            let wanted = Wanted::new(pattern)?;
            let from = wanted.path_in(&cwd)?;
            let cx = Cx::within(staging.session.camp.policy.change);
            let packed = match inside
                .provider
                .copy_out(&cx, CopyOut::new(inside.target.clone(), from))
                .await
            {
                Ok(packed) => self.spool(packed).await?,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for file in unpack(packed, &wanted, into.path(), self.keep_bytes)? {
                self.kept(&file, into.path(), task, report)?;
            }
        }
        missing(task, report)
    }

    /// Keeps a task's files out of the controller's own folder.
    pub(crate) fn collect_here(
        &self,
        folder: &Path,
        stage: &Stage,
        task: &Task,
        report: &mut TaskReport,
    ) -> Result<()> {
        let into = self.folder(stage, task, "controller")?;
        for pattern in task.junit.iter().chain(&task.artifacts) {
            let wanted = Wanted::new(pattern)?;
            let mut found = Vec::new();
            walk(&folder.join(&wanted.base), Path::new(&wanted.base), &wanted, &mut found);
            for relative in found {
                let target = into.path().join(&relative);
                if let Some(parent) = target.parent() {
                    fs::create_dir_all(parent).map_err(disk(parent))?;
                }
                fs::copy(folder.join(&relative), &target).map_err(disk(&target))?;
                self.kept(&relative, into.path(), task, report)?;
            }
        }
        missing(task, report)
    }

    /// Where a task's files go: the results' folder, or one that is thrown away where only JUnit is read.
    fn folder(&self, stage: &Stage, task: &Task, place: &str) -> Result<Folder> {
        match &self.out {
            Some(out) => {
                let path = out
                    .join("artifacts")
                    .join(stage.name.as_str())
                    .join(task.name.as_str())
                    .join(place);
                fs::create_dir_all(&path).map_err(disk(&path))?;
                Ok(Folder::Kept(path))
            }
            None => tempfile::tempdir()
                .map(Folder::Temporary)
                .map_err(|e| Error::new(ErrorKind::Unavailable, "no temporary folder can be made").caused_by(e)),
        }
    }

    /// Notes a file that was kept, and reads it if it is JUnit.
    fn kept(&self, relative: &Path, into: &Path, task: &Task, report: &mut TaskReport) -> Result<()> {
        let name = relative.display().to_string();
        if report.files.contains(&name) {
            return Ok(());
        }
        let is_junit = task
            .junit
            .iter()
            .any(|pattern| Wanted::new(pattern).is_ok_and(|wanted| wanted.matches(relative)));
        if is_junit {
            let path = into.join(relative);
            let text = fs::read_to_string(&path)
                .map_err(|e| Error::new(ErrorKind::Invalid, format!("{name} cannot be read as text")).caused_by(e))?;
            let read = junit::read(&text, &name, report)?;
            report.tests = report.tests.and(read.tests);
            self.suites
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(read.suites);
        }
        report.files.push(name);
        Ok(())
    }

    /// An archive into a nameless file, so that neither memory nor the results' folder fills with it.
    async fn spool(&self, packed: encamp_core::BoxRead) -> Result<File> {
        let failed = |e: io::Error| Error::new(ErrorKind::Unavailable, "the files did not arrive whole").caused_by(e);
        let file = tempfile::tempfile().map_err(failed)?;
        let mut into = tokio::fs::File::from_std(file);
        let copied = tokio::io::copy(&mut packed.take(self.keep_bytes + 1), &mut into)
            .await
            .map_err(failed)?;
        if copied > self.keep_bytes {
            return Err(Error::new(
                ErrorKind::Quota,
                format!("the files are larger than {} bytes", self.keep_bytes),
            ));
        }
        into.flush().await.map_err(failed)?;
        let mut file = into.into_std().await;
        file.rewind().map_err(failed)?;
        Ok(file)
    }

    /// Writes `junit.xml`, where this build knows it, and `report.json`.
    pub(crate) fn write(&self, report: &RunReport) -> Result<()> {
        for output in self.outputs.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            if let Err(error) = output.flush() {
                tracing::warn!(%error, "output could not be kept");
            }
        }
        let Some(out) = &self.out else { return Ok(()) };
        #[cfg(feature = "junit")]
        {
            let mut suites = std::mem::take(&mut *self.suites.lock().unwrap_or_else(PoisonError::into_inner));
            for suite in &mut suites {
                junit::redact(suite, &self.redactor);
            }
            let path = out.join("junit.xml");
            fs::write(&path, junit::merge(report, suites)?).map_err(disk(&path))?;
        }
        let path = out.join("report.json");
        let text = serde_json::to_string_pretty(report)
            .map_err(|e| Error::new(ErrorKind::Internal, "the report cannot be written as JSON").caused_by(e))?;
        fs::write(&path, text + "\n").map_err(disk(&path))
    }
}

enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::create(path).map(BufWriter::new)
}

/// A JUnit file that a task announced must be there once it has passed.
fn missing(task: &Task, report: &TaskReport) -> Result<()> {
    let absent = task.junit.iter().find(|pattern| {
        !Wanted::new(pattern).is_ok_and(|wanted| report.files.iter().any(|file| wanted.matches(Path::new(file))))
    });
    match absent {
        Some(pattern) => Err(Error::new(
            ErrorKind::NotFound,
            format!("no file matches `{pattern}`, which `junit` names"),
        )),
        None => Ok(()),
    }
}

/// The folder that a task's patterns start from.
async fn working_folder(
    inside: &Inside,
    task: &Task,
    cwd: Option<String>,
    within: std::time::Duration,
) -> Result<String> {
    if let Some(cwd) = cwd.as_ref().filter(|cwd| cwd.starts_with('/')) {
        return Ok(cwd.clone());
    }
    let mut exec = Exec::new(inside.target.clone(), ["pwd"]);
    (exec.cwd, exec.user) = (cwd, task.user.clone());
    let said = inside.run(exec, None, within, &CancellationToken::new()).await?;
    match said.text.lines().next().filter(|line| line.starts_with('/')) {
        Some(folder) if said.exit.success() => Ok(folder.to_owned()),
        _ => Err(Error::new(
            ErrorKind::Unavailable,
            format!("the machine does not tell its working folder (`pwd` {})", said.exit),
        )
        .next_step("give the task a `cwd`")),
    }
}

#[cfg(test)]
mod tests {
    use encamp_core::Report;

    use super::*;

    #[test]
    fn a_folder_with_other_files_is_refused_and_an_earlier_run_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let writing = Results::open(Some(&out), 1, Redactor::none()).unwrap();
        fs::create_dir(out.join("logs")).unwrap();
        fs::write(out.join("logs/old.log"), "").unwrap();
        let refused = Results::open(Some(&out), 1, Redactor::none()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(
            out.join("logs/old.log").exists(),
            "what another run writes is not cleared"
        );
        drop(writing);
        Results::open(Some(&out), 1, Redactor::none()).unwrap();
        assert!(!out.join("logs/old.log").exists());
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("thesis.txt"), "").unwrap();
        assert!(Results::open(Some(&other), 1, Redactor::none()).is_err());
        assert!(other.join("thesis.txt").exists());
    }

    #[tokio::test]
    async fn reports_are_read_to_their_end() {
        let results = Results::open(None, 4, Redactor::none()).unwrap();
        let error = results.spool(Box::pin(&b"12345"[..])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Quota, "{}", Report(&error));
    }
}
