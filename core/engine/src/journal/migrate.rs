//! The schema of the store, and how an older one becomes it.
//!
//! Migrations only add, so that an older process which still runs goes on working. A store that is newer
//! than this program is refused.

use std::path::Path;

use encamp_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

use super::sqlite::store_error;

/// Each entry takes the store from its index to the next version.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE environments (
        id       TEXT PRIMARY KEY,
        name     TEXT NOT NULL,
        disposed TEXT,
        format   INTEGER NOT NULL,
        payload  TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX living_names ON environments (name) WHERE disposed IS NULL;
    CREATE TABLE intents (
        environment TEXT NOT NULL,
        class       TEXT NOT NULL,
        object      TEXT NOT NULL,
        generation  INTEGER NOT NULL,
        site        TEXT NOT NULL,
        state       TEXT NOT NULL,
        format      INTEGER NOT NULL,
        payload     TEXT NOT NULL,
        PRIMARY KEY (environment, class, object, generation, site)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sites (
        site    TEXT PRIMARY KEY,
        format  INTEGER NOT NULL,
        payload TEXT NOT NULL
    ) STRICT;
    CREATE TABLE sightings (
        site       TEXT NOT NULL,
        key        TEXT NOT NULL,
        first_seen TEXT NOT NULL,
        PRIMARY KEY (site, key)
    ) STRICT;
"];

/// Brings the store to the newest version.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let version = version_of(connection)?;
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    if version > MIGRATIONS.len() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "the store {} is of a newer encamp (version {version}, this one knows {})",
                path.display(),
                MIGRATIONS.len()
            ),
        )
        .next_step("use the newer encamp, or another --state folder"));
    }
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(store_error)?;
    // Another process may have been faster.
    let version = version_of(&transaction)?;
    for migration in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(migration).map_err(store_error)?;
    }
    transaction
        .pragma_update(
            None,
            "user_version",
            i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX),
        )
        .map_err(store_error)?;
    transaction.commit().map_err(store_error)
}

fn version_of(connection: &Connection) -> Result<usize> {
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(store_error)?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}
