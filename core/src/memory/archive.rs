//! Tar streams, as far as files, folders and symbolic links go.

use crate::{Error, ErrorKind, Result};

const BLOCK: usize = 512;
/// The longest name that fits a header.
const NAME: usize = 100;

/// One member of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Without a leading or trailing slash.
    pub(super) path: String,
    pub(super) node: Node,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    File { mode: u32, bytes: Vec<u8> },
    Folder { mode: u32 },
    Link { to: String },
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn octal(field: &[u8]) -> Result<usize> {
    let digits = text(field);
    let digits = digits.trim();
    if digits.is_empty() {
        return Ok(0);
    }
    usize::from_str_radix(digits, 8)
        .map_err(|error| invalid("a number of the tar stream is not octal").caused_by(error))
}

/// The path without `./`, outer slashes and empty parts; what leads out of the folder is refused.
fn clean(path: &str) -> Result<String> {
    let parts: Vec<_> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(invalid("a path of the tar stream leads out of its folder").with("path", path));
    }
    Ok(parts.join("/"))
}

/// The value of a key in a pax header: lines of `LENGTH KEY=VALUE`.
fn pax(data: &[u8], key: &str) -> Option<String> {
    let data = String::from_utf8_lossy(data);
    let wanted = format!("{key}=");
    data.lines().find_map(|line| {
        let (_, pair) = line.split_once(' ')?;
        pair.strip_prefix(&wanted).map(str::to_owned)
    })
}

/// Reads a whole stream.
pub(super) fn read(stream: &[u8]) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let (mut long_name, mut long_link) = (None, None);
    let mut rest = stream;
    while let Some(header) = rest.get(..BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            return Ok(members);
        }
        let size = octal(&header[124..136])?;
        let mode = u32::try_from(octal(&header[100..108])?).unwrap_or(0) & 0o7777;
        let data = rest
            .get(BLOCK..BLOCK + size)
            .ok_or_else(|| invalid("the tar stream ends in the middle of a file"))?;
        rest = rest.get(BLOCK + size.div_ceil(BLOCK) * BLOCK..).unwrap_or_default();
        match header[156] {
            b'L' => long_name = Some(text(data)),
            b'K' => long_link = Some(text(data)),
            b'x' => {
                long_name = pax(data, "path").or(long_name);
                long_link = pax(data, "linkpath").or(long_link);
            }
            b'g' => {}
            kind => {
                let name = long_name.take().unwrap_or_else(|| name_of(header));
                let to = long_link.take().unwrap_or_else(|| text(&header[157..257]));
                let path = clean(&name)?;
                let node = match kind {
                    b'5' => Node::Folder { mode },
                    b'2' => Node::Link { to },
                    b'1' => hard_link(&members, &clean(&to)?)?,
                    _ => Node::File {
                        mode,
                        bytes: data.to_vec(),
                    },
                };
                members.push(Member { path, node });
            }
        }
    }
    if rest.is_empty() {
        Ok(members)
    } else {
        Err(invalid("the tar stream ends in the middle of a header"))
    }
}

fn name_of(header: &[u8]) -> String {
    let name = text(&header[..NAME]);
    let prefix = if &header[257..262] == b"ustar" && header[262] == 0 {
        text(&header[345..500])
    } else {
        String::new()
    };
    if prefix.is_empty() {
        name
    } else {
        format!("{prefix}/{name}")
    }
}

fn hard_link(members: &[Member], to: &str) -> Result<Node> {
    let target = members.iter().rev().find(|member| member.path == to);
    target
        .map(|member| member.node.clone())
        .ok_or_else(|| invalid("a hard link of the tar stream leads nowhere").with("to", to))
}

/// Writes a whole stream.
pub(super) fn write(members: &[Member]) -> Vec<u8> {
    let mut stream = Vec::new();
    for Member { path, node } in members {
        let (kind, mode, data, link) = match node {
            Node::File { mode, bytes } => (b'0', *mode, bytes.as_slice(), ""),
            Node::Folder { mode } => (b'5', *mode, &[][..], ""),
            Node::Link { to } => (b'2', 0o777, &[][..], to.as_str()),
        };
        let path = if kind == b'5' { format!("{path}/") } else { path.clone() };
        for (kind, long) in [(b'L', path.as_str()), (b'K', link)] {
            if long.len() > NAME {
                member(&mut stream, ("././@LongLink", ""), (kind, 0o644), long.as_bytes());
            }
        }
        member(&mut stream, (&path, link), (kind, mode), data);
    }
    stream.resize(stream.len() + 2 * BLOCK, 0);
    stream
}

fn member(stream: &mut Vec<u8>, (path, link): (&str, &str), (kind, mode): (u8, u32), data: &[u8]) {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, longest: usize, field: &[u8]| {
        let field = &field[..field.len().min(longest)];
        header[at..at + field.len()].copy_from_slice(field);
    };
    put(0, NAME, path.as_bytes());
    put(100, 7, format!("{mode:07o}").as_bytes());
    put(108, 7, b"0000000");
    put(116, 7, b"0000000");
    put(124, 11, format!("{:011o}", data.len()).as_bytes());
    put(136, 11, b"00000000000");
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, NAME, link.as_bytes());
    // GNU's magic, as its long names are used.
    put(257, 8, b"ustar  \0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    stream.extend_from_slice(&header);
    stream.extend_from_slice(data);
    stream.resize(stream.len().next_multiple_of(BLOCK), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let long = format!("{}/file", "folder/".repeat(30).trim_end_matches('/'));
        let members = vec![
            Member {
                path: "a".into(),
                node: Node::Folder { mode: 0o750 },
            },
            Member {
                path: "a/b".into(),
                node: Node::File {
                    mode: 0o4755,
                    bytes: vec![7; 700],
                },
            },
            Member {
                path: long,
                node: Node::Link { to: "x".repeat(120) },
            },
        ];
        assert_eq!(read(&write(&members)).unwrap(), members);
    }

    #[test]
    fn broken_streams_are_refused() {
        assert!(read(&[1; 100]).is_err());
        let escape = [Member {
            path: "../x".into(),
            node: Node::Folder { mode: 0o755 },
        }];
        assert!(read(&write(&escape)).is_err());
        let mut cut = write(&[Member {
            path: "a".into(),
            node: Node::File {
                mode: 0o644,
                bytes: vec![1; 2000],
            },
        }]);
        cut.truncate(1000);
        assert!(read(&cut).is_err());
    }
}
