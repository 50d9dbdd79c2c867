//! What the first entry of an archive is, without reading more of it.

use encamp_core::{BoxRead, Error, ErrorKind, Result};
use tar::EntryType;
use tokio::io::AsyncReadExt;

const BLOCK: usize = 512;
/// Extended headers that may stand before an entry, and their bytes.
const EXTENDED: usize = 8;
const EXTENDED_BYTES: u64 = 64 << 10;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Absent,
    Folder,
    Other,
}

/// What a first entry says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First {
    Kind(Kind),
    Link(String),
}

/// Reads up to the first entry that is none of the archive's own.
pub(super) async fn first(mut stream: BoxRead) -> Result<First> {
    let broken = |e: std::io::Error| Error::new(ErrorKind::Invalid, "the machine sent a broken archive").caused_by(e);
    let mut block = [0; BLOCK];
    for _ in 0..EXTENDED {
        stream.read_exact(&mut block).await.map_err(broken)?;
        let header = tar::Header::from_byte_slice(&block);
        match header.entry_type() {
            EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink => {
                let size = header.entry_size().map_err(broken)?;
                if size > EXTENDED_BYTES {
                    break;
                }
                let padded = size.next_multiple_of(BLOCK as u64);
                tokio::io::copy(&mut (&mut stream).take(padded), &mut tokio::io::sink())
                    .await
                    .map_err(broken)?;
            }
            EntryType::Directory => return Ok(First::Kind(Kind::Folder)),
            EntryType::Symlink => {
                let target = header.link_name().map_err(broken)?;
                let target = target.map(|target| target.to_string_lossy().into_owned());
                return Ok(First::Link(target.unwrap_or_default()));
            }
            _ => return Ok(First::Kind(Kind::Other)),
        }
    }
    Err(Error::new(
        ErrorKind::Invalid,
        "the machine sent an archive without an entry",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(path: &str, kind: EntryType, link: &str) -> BoxRead {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        if kind == EntryType::Symlink {
            builder.append_link(&mut header, path, link).unwrap();
        } else {
            builder.append_data(&mut header, path, std::io::empty()).unwrap();
        }
        Box::pin(std::io::Cursor::new(builder.into_inner().unwrap()))
    }

    #[tokio::test]
    async fn the_first_entry_tells_what_is_there() {
        let long = "x".repeat(300);
        for (path, kind, link, first_is) in [
            ("a", EntryType::Directory, "", First::Kind(Kind::Folder)),
            (long.as_str(), EntryType::Directory, "", First::Kind(Kind::Folder)),
            ("a", EntryType::Regular, "", First::Kind(Kind::Other)),
            ("a", EntryType::Symlink, "../b", First::Link("../b".into())),
        ] {
            assert_eq!(first(archive(path, kind, link)).await.unwrap(), first_is, "{path}");
        }
        assert!(first(Box::pin(&b"short"[..])).await.is_err());
    }
}
