//! Names of users and groups, as the machine itself knows them.

use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result};
use tokio::io::AsyncReadExt;

use super::archive::Ids;
use crate::inside::Inside;

/// Bytes of a user table that are read.
const READ: u64 = 4 << 20;

/// The ids of `user`, `user:group` or numbers. Read from the machine's own tables, since it may not run yet.
pub(super) async fn ids(inside: &Inside, owner: &str, within: Duration) -> Result<Ids> {
    let (user, group) = owner
        .split_once(':')
        .map_or((owner, None), |(user, group)| (user, Some(group)));
    let (uid, primary) = match user.parse() {
        Ok(uid) => (uid, uid),
        Err(_) => {
            let table = table(inside, "/etc/passwd", within).await?;
            let fields = line(&table, user).ok_or_else(|| unknown("user", user, "/etc/passwd"))?;
            match (number(&fields, 2), number(&fields, 3)) {
                (Some(uid), Some(gid)) => (uid, gid),
                _ => return Err(unknown("user", user, "/etc/passwd")),
            }
        }
    };
    let gid = match group {
        None => primary,
        Some(group) => match group.parse() {
            Ok(gid) => gid,
            Err(_) => {
                let table = table(inside, "/etc/group", within).await?;
                let fields = line(&table, group);
                fields
                    .and_then(|fields| number(&fields, 2))
                    .ok_or_else(|| unknown("group", group, "/etc/group"))?
            }
        },
    };
    Ok(Ids { uid, gid })
}

fn line<'t>(table: &'t str, name: &str) -> Option<Vec<&'t str>> {
    table
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))
}

fn number(fields: &[&str], at: usize) -> Option<u64> {
    fields.get(at)?.trim().parse().ok()
}

fn unknown(what: &str, name: &str, table: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("the machine knows no {what} `{name}`"))
        .next_step(format!("a {what} of its {table}, or a number"))
}

async fn table(inside: &Inside, path: &str, within: Duration) -> Result<String> {
    let packed = inside.copy_out(path, within).await?;
    let mut bytes = Vec::new();
    packed
        .take(READ)
        .read_to_end(&mut bytes)
        .await
        .map_err(|e| Error::new(ErrorKind::Unavailable, format!("the machine's {path} cannot be read")).caused_by(e))?;
    let mut archive = tar::Archive::new(bytes.as_slice());
    let broken = |e| Error::new(ErrorKind::Unavailable, format!("the machine's {path} cannot be read")).caused_by(e);
    let mut text = String::new();
    for entry in archive.entries().map_err(broken)? {
        std::io::Read::read_to_string(&mut entry.map_err(broken)?, &mut text).map_err(broken)?;
    }
    Ok(text)
}
