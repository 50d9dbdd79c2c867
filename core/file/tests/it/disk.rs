//! The file system as the files that an environment names see it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use encamp_core::KindName;
use encamp_file::{Failure, Load, Loaded};

use crate::fake::kinds;

const TEXT: &str = "name = 'x'\n[machines.a]\nprovider = 'lab'\nsetup = [\n{ copy = 'site', to = '/srv' },\n\
                    { script = 'bin/run' },\n{ template = 'linked/t.j2', to = '/t' },\n]\n";

/// A folder with what the file names, one part of it behind a link.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for (name, content) in [
        ("encamp.toml", TEXT),
        ("site/a/b.txt", "b"),
        ("bin/run", "#!/bin/sh"),
        ("real/t.j2", "{{ me.name }}"),
    ] {
        let file = at(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("it can be made");
        fs::write(file, content).expect("it can be written");
    }
    symlink("real", at("linked")).expect("a link");
    symlink("b.txt", at("site/a/link")).expect("a link");
    folder
}

fn load(folder: &Path) -> Result<Loaded, Failure> {
    let kinds = kinds();
    let file = folder.join("encamp.toml");
    encamp_file::load(&Load::new(&file, &kinds))
}

fn hash(folder: &Path) -> String {
    let loaded = load(folder).unwrap_or_else(|failure| panic!("{}", failure.render(false)));
    let kind = KindName::new("ssh").expect("a kind");
    loaded.environment.machines[0].spec_hash(&kind)
}

#[test]
fn names_modes_links_and_contents_count() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let mut seen = vec![hash(folder.path())];
    assert_eq!(seen[0], hash(folder.path()));
    let mut changed = |what: &str| {
        let now = hash(folder.path());
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    fs::write(at("site/a/b.txt"), "c").expect("it can be written");
    changed("a content");
    fs::rename(at("site/a/b.txt"), at("site/a/c.txt")).expect("it can be moved");
    changed("a name");
    fs::set_permissions(at("site/a/c.txt"), fs::Permissions::from_mode(0o755)).expect("a mode");
    changed("an x-bit");
    fs::remove_file(at("site/a/link")).expect("it can be removed");
    symlink("c.txt", at("site/a/link")).expect("a link");
    changed("where a link leads");
    fs::create_dir(at("site/empty")).expect("a folder");
    changed("an empty folder");
    fs::set_permissions(at("bin/run"), fs::Permissions::from_mode(0o755)).expect("a mode");
    changed("a script's x-bit");
    fs::write(at("real/t.j2"), "{{ me.name }}!").expect("it can be written");
    changed("a template behind a link");
}

#[test]
fn the_folder_itself_does_not_count() {
    let (one, other) = (folder(), folder());
    assert_eq!(hash(one.path()), hash(other.path()));
}

#[test]
fn a_link_that_leads_out_is_refused() {
    let (folder, outside) = (folder(), tempfile::tempdir().expect("a folder"));
    fs::write(outside.path().join("t.j2"), "secret").expect("it can be written");
    fs::remove_file(folder.path().join("linked")).expect("it can be removed");
    symlink(outside.path(), folder.path().join("linked")).expect("a link");
    let failure = load(folder.path()).expect_err("it leads out");
    assert_eq!(failure.diagnostics()[0].code.as_str(), "E0144");
}

#[test]
fn what_cannot_be_read_is_said() {
    let folder = folder();
    fs::write(folder.path().join("real/t.j2"), [0xff, 0xfe]).expect("it can be written");
    let failure = load(folder.path()).expect_err("it is no text");
    let said = failure.render(false);
    assert!(
        said.contains("E0143") && said.contains("t.j2` cannot be read"),
        "{said}"
    );
}
