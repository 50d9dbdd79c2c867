//! Where on a machine files land.

use encamp_core::{Error, ErrorKind, Result};

/// A folder of a machine, and the name of a file in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) folder: String,
    pub(super) name: String,
}

impl Place {
    /// A file: at `to`, or, where that ends in `/`, in it under its own name.
    pub(super) fn file(to: &str, name: &str) -> Result<Self> {
        let to = checked(to)?;
        let (folder, name) = match to.rsplit_once('/') {
            Some((folder, "")) => (folder, name),
            Some((folder, last)) => (folder, last),
            None => ("", to),
        };
        Ok(Self {
            folder: if folder.is_empty() {
                "/".into()
            } else {
                folder.to_owned()
            },
            name: name.to_owned(),
        })
    }

    /// A folder that contents land in.
    pub(super) fn folder(to: &str) -> Result<Self> {
        let folder = checked(to)?.trim_end_matches('/');
        Ok(Self {
            folder: if folder.is_empty() {
                "/".into()
            } else {
                folder.to_owned()
            },
            name: String::new(),
        })
    }
}

fn checked(to: &str) -> Result<&str> {
    if to.starts_with('/') && to.split('/').all(|part| part != "..") {
        return Ok(to);
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("`{to}` is no place on a machine: it begins with `/` and has no `..`"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(to: &str) -> (String, String) {
        let place = Place::file(to, "own").unwrap();
        (place.folder, place.name)
    }

    #[test]
    fn a_file_lands_where_it_is_said() {
        assert_eq!(file("/etc/app.conf"), ("/etc".into(), "app.conf".into()));
        assert_eq!(file("/etc/"), ("/etc".into(), "own".into()));
        assert_eq!(file("/app"), ("/".into(), "app".into()));
        assert_eq!(Place::folder("/srv/www/").unwrap().folder, "/srv/www");
        for wrong in ["etc/app", "/etc/../x", ""] {
            assert!(
                Place::file(wrong, "own").is_err() && Place::folder(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
