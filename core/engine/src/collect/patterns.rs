//! Which files of a task are kept, and how they are taken out of what a machine packed.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use encamp_core::{Error, ErrorKind, Result};
use globset::{GlobBuilder, GlobMatcher};

use super::disk;
use crate::hostile::{self, Allowance, ENTRIES};

/// A pattern: the part without wild cards, and what it matches, both relative to the working folder.
pub(super) struct Wanted {
    pub(super) base: String,
    glob: GlobMatcher,
}

impl Wanted {
    pub(super) fn new(pattern: &str) -> Result<Self> {
        let invalid = |why: &str| Error::new(ErrorKind::Invalid, format!("`{pattern}` is no pattern of files: {why}"));
        let clean = pattern.trim_start_matches("./");
        if clean.starts_with('/')
            || Path::new(clean)
                .components()
                .any(|part| !matches!(part, Component::Normal(_)))
        {
            return Err(invalid("it must be relative to `cwd` and stay below it"));
        }
        let glob = GlobBuilder::new(clean)
            .literal_separator(true)
            .build()
            .map_err(|e| invalid(e.kind().to_string().as_str()))?;
        let literal: Vec<&str> = clean
            .split('/')
            .take_while(|part| !part.contains(['*', '?', '[', '{']))
            .collect();
        Ok(Self {
            base: literal.join("/"),
            glob: glob.compile_matcher(),
        })
    }

    pub(super) fn matches(&self, relative: &Path) -> bool {
        self.glob.is_match(relative)
            || (!self.base.is_empty() && self.glob.glob().glob() == self.base && relative.starts_with(&self.base))
    }

    pub(super) fn path_in(&self, cwd: &str) -> Result<String> {
        if self.base.is_empty() && cwd == "/" {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("`{}` would pack the whole machine", self.glob.glob()),
            )
            .next_step("give the task a `cwd`, or begin the pattern with a folder"));
        }
        Ok(if self.base.is_empty() {
            cwd.to_owned()
        } else {
            format!("{}/{}", cwd.trim_end_matches('/'), self.base)
        })
    }
}

/// Takes the wanted plain files out of an archive of a machine, which is hostile: no links, no devices, nothing outside.
pub(super) fn unpack(packed: File, wanted: &Wanted, into: &Path, keep_bytes: u64) -> Result<Vec<PathBuf>> {
    // Entries begin with the last part of what was packed; what stands before it is the same for all.
    let parent = Path::new(&wanted.base).parent().map(Path::to_owned).unwrap_or_default();
    let whole_folder = wanted.base.is_empty();
    let mut allowance = Allowance::of(keep_bytes);
    let mut kept = Vec::new();
    hostile::each(packed, |path, entry| {
        if !entry.header().entry_type().is_file() {
            return Ok(());
        }
        let relative: PathBuf = if whole_folder {
            path.components().skip(1).collect()
        } else {
            parent.join(&path)
        };
        if !wanted.matches(&relative) {
            return Ok(());
        }
        let target = into.join(&relative);
        let written = allowance.write(entry, &target).map_err(disk(&target))?;
        written.ok_or_else(|| {
            Error::new(
                ErrorKind::Quota,
                format!("the files are larger than {keep_bytes} bytes"),
            )
        })?;
        kept.push(relative);
        Ok(())
    })?;
    Ok(kept)
}

/// Plain files below `at` that are wanted; links are not followed.
pub(super) fn walk(at: &Path, relative: &Path, wanted: &Wanted, found: &mut Vec<PathBuf>) {
    let Ok(kind) = fs::symlink_metadata(at) else { return };
    if kind.is_file() {
        if wanted.matches(relative) {
            found.push(relative.to_owned());
        }
        return;
    }
    let Ok(entries) = fs::read_dir(at).map(|entries| entries.filter_map(io::Result::ok)) else {
        return;
    };
    for entry in entries {
        if found.len() >= ENTRIES {
            return;
        }
        let kind = entry.file_type();
        if kind.is_ok_and(|kind| kind.is_file() || kind.is_dir()) {
            walk(&entry.path(), &relative.join(entry.file_name()), wanted, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> File {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for (path, kind, body) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            if *kind == tar::EntryType::Symlink {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            builder.append(&header, *body).unwrap();
        }
        let mut file = builder.into_inner().unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn only_what_is_wanted_is_kept() {
        let into = tempfile::tempdir().unwrap();
        let packed = archive(&[
            ("shots/a.png", tar::EntryType::Regular, b"a"),
            ("shots/deep/b.png", tar::EntryType::Regular, b"b"),
            ("shots/c.txt", tar::EntryType::Regular, b"c"),
        ]);
        let wanted = Wanted::new("out/shots/**/*.png").unwrap();
        let kept = unpack(packed, &wanted, into.path(), 100).unwrap();
        assert_eq!(
            kept,
            [PathBuf::from("out/shots/a.png"), PathBuf::from("out/shots/deep/b.png")]
        );
        assert_eq!(fs::read(into.path().join("out/shots/deep/b.png")).unwrap(), b"b");
    }

    #[test]
    fn a_hostile_archive_writes_nothing_outside() {
        let outside = tempfile::tempdir().unwrap();
        let into = outside.path().join("into");
        fs::create_dir(&into).unwrap();
        let wanted = Wanted::new("shots/**").unwrap();
        let climbing = archive(&[("shots/../../evil", tar::EntryType::Regular, b"x")]);
        assert!(unpack(climbing, &wanted, &into, 100).is_err());
        let link = archive(&[
            ("shots/a", tar::EntryType::Symlink, b""),
            ("shots/dev", tar::EntryType::Char, b""),
        ]);
        assert!(unpack(link, &wanted, &into, 100).unwrap().is_empty());
        let large = archive(&[("shots/a", tar::EntryType::Regular, &[0; 200])]);
        assert_eq!(unpack(large, &wanted, &into, 100).unwrap_err().kind(), ErrorKind::Quota);
        assert!(!outside.path().join("evil").exists());
    }

    #[test]
    fn patterns_stay_below_the_working_folder() {
        for bad in ["/etc/passwd", "../x", "a/../../b"] {
            assert!(Wanted::new(bad).is_err(), "{bad}");
        }
        assert!(Wanted::new("*.log").unwrap().path_in("/").is_err());
        assert_eq!(Wanted::new("*.log").unwrap().path_in("/srv").unwrap(), "/srv");
        assert_eq!(Wanted::new("r.xml").unwrap().path_in("/srv").unwrap(), "/srv/r.xml");
    }
}
