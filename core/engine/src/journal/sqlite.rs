//! The durable journal: one SQLite file, written by several processes side by side.
//!
//! WAL with `synchronous=FULL`, short `BEGIN IMMEDIATE` transactions, one writer connection on a thread of its own.
//! What arrives while a transaction is being committed shares the next one, so that many rows cost one commit.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Class, EnvId, Error, ErrorKind, Result, Retry, Site, Time};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::migrate::migrate;
use super::{Answer, EnvironmentRow, IntentRef, IntentRow, Journal, Op, SightingRow, SiteRow, Tables, apply};

/// The format number of payloads.
const FORMAT: i64 = 1;
/// How long one process waits for another's transaction.
const BUSY: Duration = Duration::from_mins(1);
/// Operations that share a transaction at most.
const BATCH: usize = 512;
/// SQLite before this may lose the WAL's newest frames when several connections write (3.51.3 fixed it).
const OLDEST_SQLITE: i32 = 3_051_003;

type Read = Box<dyn FnOnce(&Connection) + Send>;

enum Job {
    Write(Box<Op>, Time, oneshot::Sender<Result<Answer>>),
    Read(Read),
}

/// A journal in a file.
#[derive(Debug)]
pub struct Sqlite {
    jobs: mpsc::Sender<Job>,
    path: PathBuf,
}

pub(super) fn store_error(error: rusqlite::Error) -> Error {
    let full = matches!(&error, rusqlite::Error::SqliteFailure(e, _) if e.code == rusqlite::ErrorCode::DiskFull);
    let text = if full {
        "the disk that holds the store is full"
    } else {
        "the store does not answer"
    };
    let error = Error::new(ErrorKind::Unavailable, text)
        .retry(Retry::Never)
        .caused_by(error);
    if full {
        error.next_step("make room, then repeat the command; nothing was sent that is not recorded")
    } else {
        error
    }
}

impl Sqlite {
    /// Opens the store at `path`, and makes it where there is none.
    pub fn open(path: &Path) -> Result<Self> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("SQLite {} is too old for this store", rusqlite::version()),
            ));
        }
        refuse_network_file_system(path)?;
        let mut connection = Connection::open(path).map_err(store_error)?;
        connection.busy_timeout(BUSY).map_err(store_error)?;
        // Only the first of several processes has to switch the journal mode; the switch itself may answer "busy" at once.
        let mode: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .map_err(store_error)?;
        if mode != "wal" {
            switch_to_wal(&connection)?;
        }
        connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(store_error)?;
        migrate(&mut connection, path)?;
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("encamp-journal".into())
            .spawn(move || serve(&mut connection, &queue))
            .map_err(|e| Error::new(ErrorKind::Internal, "the journal's thread cannot be started").caused_by(e))?;
        Ok(Self {
            jobs,
            path: path.to_owned(),
        })
    }

    fn send(&self, job: Job) -> Result<()> {
        self.jobs.send(job).map_err(|_| gone(&self.path))
    }

    async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Read(Box::new(move |connection| {
            let _ = reply.send(read(connection));
        })))?;
        answer.await.map_err(|_| gone(&self.path))?
    }
}

fn gone(path: &Path) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("the thread that writes {} has ended", path.display()),
    )
}

fn switch_to_wal(connection: &Connection) -> Result<()> {
    let begin = 100;
    for attempt in 0..begin {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Ok(()) => return Ok(()),
            Err(rusqlite::Error::SqliteFailure(e, _))
                if e.code == rusqlite::ErrorCode::DatabaseBusy && attempt + 1 < begin =>
            {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "this is before the runtime, on the caller's thread"
                )]
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(store_error(error)),
        }
    }
    Ok(())
}

/// SQLite's locks and shared memory do not work on network file systems.
fn refuse_network_file_system(path: &Path) -> Result<()> {
    const NETWORK: [(i64, &str); 5] = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x0102_1997, "9P"),
    ];
    let folder = path.parent().unwrap_or(path);
    let Ok(stat) = rustix::fs::statfs(folder) else {
        return Ok(());
    };
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        reason = "the field's type differs between platforms"
    )]
    let magic = stat.f_type as i64;
    match NETWORK.iter().find(|(known, _)| *known == magic) {
        Some((_, name)) => Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{} lies on {name}, where the store's locks do not hold",
                folder.display()
            ),
        )
        .next_step("choose a folder on a local disk with --state")),
        None => Ok(()),
    }
}

/// Serves jobs until the last sender is gone.
fn serve(connection: &mut Connection, queue: &mpsc::Receiver<Job>) {
    let mut next = queue.recv().ok();
    while let Some(job) = next.take() {
        match job {
            Job::Read(read) => read(connection),
            Job::Write(op, now, reply) => {
                let mut batch = vec![(op, now, reply)];
                while batch.len() < BATCH {
                    match queue.try_recv() {
                        Ok(Job::Write(op, now, reply)) => batch.push((op, now, reply)),
                        Ok(read @ Job::Read(_)) => {
                            next = Some(read);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                write(connection, batch);
            }
        }
        if next.is_none() {
            next = queue.recv().ok();
        }
    }
}

type Waiting = (Box<Op>, Time, oneshot::Sender<Result<Answer>>);

fn write(connection: &mut Connection, batch: Vec<Waiting>) {
    match transact(connection, &batch) {
        Ok(answers) => {
            for ((.., reply), answer) in batch.into_iter().zip(answers) {
                let _ = reply.send(answer);
            }
        }
        Err(error) => {
            let text = encamp_core::Report(&error).to_string();
            for (.., reply) in batch {
                let _ = reply.send(Err(Error::new(error.kind(), text.clone())));
            }
        }
    }
}

fn transact(connection: &mut Connection, batch: &[Waiting]) -> Result<Vec<Result<Answer>>> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(store_error)?;
    let mut answers = Vec::with_capacity(batch.len());
    for (op, now, _) in batch {
        // An operation writes its last row last, so that an error in it leaves nothing of it behind but what a
        // savepoint takes back.
        transaction.execute_batch("SAVEPOINT op").map_err(store_error)?;
        let answer = apply(&mut OpenTables(&transaction), op, *now);
        let end = if answer.is_ok() {
            "RELEASE op"
        } else {
            "ROLLBACK TO op; RELEASE op"
        };
        transaction.execute_batch(end).map_err(store_error)?;
        answers.push(answer);
    }
    match transaction.commit() {
        Ok(()) => Ok(answers),
        Err(error) if is_io(&error) => {
            // After a failed fsync nobody knows what is on the disk; going on would build on it.
            tracing::error!(%error, "the store could not be written to disk; the process ends");
            std::process::abort()
        }
        Err(error) => Err(store_error(error)),
    }
}

fn is_io(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(e, _) if e.code == rusqlite::ErrorCode::SystemIoFailure)
}

#[async_trait]
impl Journal for Sqlite {
    async fn apply(&self, op: Op, now: Time) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Write(Box::new(op), now, reply))?;
        answer.await.map_err(|_| gone(&self.path))?
    }

    async fn environments(&self) -> Result<Vec<EnvironmentRow>> {
        self.read(|connection| OpenTables(connection).environments()).await
    }

    async fn environment(&self, id: &EnvId) -> Result<Option<EnvironmentRow>> {
        let id = id.clone();
        self.read(move |connection| OpenTables(connection).environment(&id))
            .await
    }

    async fn intents(&self, environment: &EnvId) -> Result<Vec<IntentRow>> {
        let environment = environment.clone();
        self.read(move |connection| OpenTables(connection).intents(&environment))
            .await
    }

    async fn sites(&self) -> Result<Vec<SiteRow>> {
        self.read(|connection| OpenTables(connection).sites()).await
    }

    async fn sightings(&self) -> Result<Vec<SightingRow>> {
        self.read(|connection| OpenTables(connection).sightings()).await
    }
}

/// Rows of an open connection, within a transaction where one is open.
struct OpenTables<'a>(&'a Connection);

fn decode<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::new(ErrorKind::Internal, "a row of the store cannot be read").caused_by(e))
}

fn encode<T: Serialize>(row: &T) -> Result<String> {
    serde_json::to_string(row)
        .map_err(|e| Error::new(ErrorKind::Internal, "a row of the store cannot be written").caused_by(e))
}

impl OpenTables<'_> {
    fn one<T: DeserializeOwned>(&self, sql: &str, params: impl rusqlite::Params) -> Result<Option<T>> {
        let mut statement = self.0.prepare_cached(sql).map_err(store_error)?;
        let payload: Option<String> = statement
            .query_row(params, |row| row.get(0))
            .optional()
            .map_err(store_error)?;
        payload.as_deref().map(decode).transpose()
    }

    fn many<T: DeserializeOwned>(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<T>> {
        let mut statement = self.0.prepare_cached(sql).map_err(store_error)?;
        let rows = statement
            .query_map(params, |row: &Row<'_>| row.get::<_, String>(0))
            .map_err(store_error)?;
        rows.map(|payload| payload.map_err(store_error).and_then(|payload| decode(&payload)))
            .collect()
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        let mut statement = self.0.prepare_cached(sql).map_err(store_error)?;
        statement.execute(params).map_err(store_error)?;
        Ok(())
    }
}

impl Tables for OpenTables<'_> {
    fn environment(&self, id: &EnvId) -> Result<Option<EnvironmentRow>> {
        self.one("SELECT payload FROM environments WHERE id = ?1", params![id.as_str()])
    }

    fn environments(&self) -> Result<Vec<EnvironmentRow>> {
        self.many("SELECT payload FROM environments ORDER BY id", [])
    }

    fn put_environment(&mut self, row: &EnvironmentRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO environments (id, name, disposed, format, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                row.id.as_str(),
                row.name,
                row.disposed.map(|at| at.to_string()),
                FORMAT,
                encode(row)?
            ],
        )
    }

    fn remove_environment(&mut self, id: &EnvId) -> Result<()> {
        self.run("DELETE FROM intents WHERE environment = ?1", params![id.as_str()])?;
        self.run("DELETE FROM environments WHERE id = ?1", params![id.as_str()])
    }

    fn intent(&self, reference: &IntentRef) -> Result<Option<IntentRow>> {
        self.one(
            "SELECT payload FROM intents WHERE environment = ?1 AND class = ?2 AND object = ?3 AND generation = ?4 AND site = ?5",
            params![
                reference.environment.as_str(),
                reference.class.as_str(),
                reference.object,
                reference.generation.0,
                reference.site.as_str()
            ],
        )
    }

    fn intents(&self, environment: &EnvId) -> Result<Vec<IntentRow>> {
        self.many(
            "SELECT payload FROM intents WHERE environment = ?1 ORDER BY class, object, generation, site",
            params![environment.as_str()],
        )
    }

    fn newest_generation(&self, reference: &IntentRef) -> Result<Option<IntentRow>> {
        let any_site = reference.class == Class::Machine;
        self.one(
            "SELECT payload FROM intents WHERE environment = ?1 AND class = ?2 AND object = ?3 AND (?4 OR site = ?5)
             ORDER BY generation DESC, site DESC LIMIT 1",
            params![
                reference.environment.as_str(),
                reference.class.as_str(),
                reference.object,
                any_site,
                reference.site.as_str()
            ],
        )
    }

    fn put_intent(&mut self, row: &IntentRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO intents (environment, class, object, generation, site, state, format, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                row.environment.as_str(),
                row.class.as_str(),
                row.object,
                row.generation.0,
                row.site.as_str(),
                row.state.as_str(),
                FORMAT,
                encode(row)?
            ],
        )
    }

    fn site(&self, site: &Site) -> Result<Option<SiteRow>> {
        self.one("SELECT payload FROM sites WHERE site = ?1", params![site.as_str()])
    }

    fn sites(&self) -> Result<Vec<SiteRow>> {
        self.many("SELECT payload FROM sites ORDER BY site", [])
    }

    fn put_site(&mut self, row: &SiteRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO sites (site, format, payload) VALUES (?1, ?2, ?3)",
            params![row.site.as_str(), FORMAT, encode(row)?],
        )
    }

    fn remove_site(&mut self, site: &Site) -> Result<()> {
        self.run("DELETE FROM sites WHERE site = ?1", params![site.as_str()])
    }

    fn sightings(&self) -> Result<Vec<SightingRow>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT site, key, first_seen FROM sightings ORDER BY site, key")
            .map_err(store_error)?;
        let rows = statement
            .query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                ))
            })
            .map_err(store_error)?;
        rows.map(|row| {
            let (site, key, first_seen) = row.map_err(store_error)?;
            let first_seen = Time::parse(&first_seen)
                .ok_or_else(|| Error::new(ErrorKind::Internal, format!("`{first_seen}` in the store is no time")))?;
            Ok(SightingRow {
                site: Site::new(site),
                key,
                first_seen,
            })
        })
        .collect()
    }

    fn put_sighting(&mut self, row: &SightingRow) -> Result<()> {
        self.run(
            "INSERT OR IGNORE INTO sightings (site, key, first_seen) VALUES (?1, ?2, ?3)",
            params![row.site.as_str(), row.key, row.first_seen.to_string()],
        )
    }

    fn remove_sighting(&mut self, site: &Site, key: &str) -> Result<()> {
        self.run(
            "DELETE FROM sightings WHERE site = ?1 AND key = ?2",
            params![site.as_str(), key],
        )
    }
}
