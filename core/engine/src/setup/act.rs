//! One action on a machine, with everything in it rendered: a command to run, or files that are brought.

use std::path::PathBuf;
use std::time::Duration;

use encamp_core::{Error, Exec, Result};
use encamp_file::spec::Action;
use encamp_file::text::{Facts, Viewer};

use super::archive::{self, Mode};
use super::place::Place;
use super::{fetch, owner, sync};
use crate::command::{self, Line};
use crate::inside::Inside;
use crate::session::Session;

/// Where scripts are put. Nothing else of a machine is known to be there and writable.
const SCRIPTS: &str = "/tmp/encamp-scripts";

/// An action whose texts are rendered.
#[derive(Debug)]
pub(crate) enum Act {
    Run(Line),
    Script {
        file: PathBuf,
        arguments: Vec<String>,
    },
    Put {
        source: Source,
        to: String,
        owner: Option<String>,
        mode: Option<u32>,
    },
    Sync {
        from: PathBuf,
        to: String,
        exclude: Vec<String>,
    },
}

/// Where the content of files comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Path(PathBuf),
    /// Rendered; the file is that of the template, whose mode counts where none is given.
    Text(String, PathBuf),
    Network {
        url: String,
        sha256: String,
        unpack: bool,
    },
}

/// A command that is left to be run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) exec: Exec,
    pub(crate) input: Option<String>,
}

impl Act {
    /// Renders what an action speaks of, as `viewer` sees it.
    pub(crate) fn prepare(action: &Action, facts: &Facts, viewer: &Viewer) -> Result<Self, String> {
        let render = |text| command::render(text, facts, viewer);
        Ok(match action {
            Action::Run(command) => Self::Run(command::line(command, facts, viewer)?),
            Action::Script(script) => Self::Script {
                file: script.file.clone(),
                arguments: command::arguments(&script.args, facts, viewer)?,
            },
            Action::Copy(copy) => Self::Put {
                source: Source::Path(copy.from.clone()),
                to: render(&copy.to)?,
                owner: copy.owner.clone(),
                mode: copy.mode,
            },
            Action::Template(file) => Self::Put {
                source: Source::Text(
                    file.template.render(facts, viewer).map_err(|e| e.to_string())?,
                    file.template.file().to_owned(),
                ),
                to: render(&file.to)?,
                owner: file.owner.clone(),
                mode: file.mode,
            },
            Action::Fetch(fetch) => Self::Put {
                source: Source::Network {
                    url: render(&fetch.url)?,
                    sha256: fetch.sha256.clone(),
                    unpack: fetch.unpack,
                },
                to: render(&fetch.to)?,
                owner: fetch.owner.clone(),
                mode: fetch.mode,
            },
            Action::Sync(sync) => Self::Sync {
                from: sync.from.clone(),
                to: render(&sync.to)?,
                exclude: sync.exclude.clone(),
            },
        })
    }
}

/// Brings what an action brings, within a time, and gives the command that is left to be run, if it is one.
pub(crate) async fn act(session: &Session, inside: &Inside, act: Act, within: Duration) -> Result<Option<Job>> {
    match act {
        Act::Run(line) => Ok(Some(Job {
            exec: line.exec(inside.target.clone()),
            input: line.input,
        })),
        Act::Script { file, arguments } => {
            let packed = archive::of_path(&file, &file_name(&file), Mode::Fixed(0o755), None).await?;
            inside.copy_in(SCRIPTS, packed, within).await?;
            let argv = std::iter::once(format!("{SCRIPTS}/{}", file_name(&file))).chain(arguments);
            Ok(Some(Job {
                exec: Exec::new(inside.target.clone(), argv),
                input: None,
            }))
        }
        Act::Put {
            source,
            to,
            owner,
            mode,
        } => {
            let ids = match &owner {
                Some(owner) => Some(owner::ids(inside, owner, within).await?),
                None => None,
            };
            put(session, inside, source, &to, mode, ids, within).await?;
            Ok(None)
        }
        Act::Sync { from, to, exclude } => {
            sync::sync(inside, &from, &Place::folder(&to)?, &exclude, within).await?;
            Ok(None)
        }
    }
}

async fn put(
    session: &Session,
    inside: &Inside,
    source: Source,
    to: &str,
    mode: Option<u32>,
    ids: Option<archive::Ids>,
    within: Duration,
) -> Result<()> {
    let kept = |mode: Option<u32>| mode.map_or(Mode::Kept, Mode::Fixed);
    let (place, packed) = match source {
        Source::Path(path) if path.is_dir() => {
            let place = Place::folder(to)?;
            (place, archive::of_folder(&path, kept(mode), ids).await?)
        }
        Source::Path(path) => {
            let place = Place::file(to, &file_name(&path))?;
            let packed = archive::of_path(&path, &place.name, kept(mode), ids).await?;
            (place, packed)
        }
        Source::Text(text, file) => {
            let place = Place::file(to, &file_name(&file))?;
            let packed = archive::of_text(text, &place.name, &file, kept(mode), ids).await?;
            (place, packed)
        }
        Source::Network { url, sha256, unpack } => {
            let fetched = fetch::fetch(session, &url, &sha256, within).await?;
            if unpack {
                (
                    Place::folder(to)?,
                    archive::of_archive(&fetched, &url, kept(mode), ids).await?,
                )
            } else {
                let place = Place::file(to, &fetch::name_of(&url))?;
                let mode = Mode::Fixed(mode.unwrap_or(0o644));
                let packed = archive::of_path(&fetched, &place.name, mode, ids).await?;
                (place, packed)
            }
        }
    };
    inside.copy_in(&place.folder, packed, within).await
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name()
        .map_or_else(|| "file".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A local file that cannot be read.
pub(super) fn unreadable(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let text = format!("{} cannot be read", path.display());
    move |e| Error::new(encamp_core::ErrorKind::Invalid, text).caused_by(e)
}
