//! The rules of this repository that no compiler holds. CONTRIBUTING.md and ARCHITECTURE.md say why each is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What each of our crates may depend on. A new crate is entered here first.
const ARROWS: &[(&str, &[&str])] = &[
    ("encamp-core", &[]),
    ("encamp-file", &["encamp-core"]),
    ("encamp-engine", &["encamp-core", "encamp-file", "encamp-remote"]),
    ("encamp-remote", &["encamp-core"]),
    ("encamp-provider-docker", &["encamp-core"]),
    ("encamp-provider-local", &["encamp-core"]),
    ("encamp-provider-ssh", &["encamp-core", "encamp-remote"]),
    ("encamp-plugin-script", &["encamp-core"]),
    (
        "encamp",
        &[
            "encamp-core",
            "encamp-engine",
            "encamp-file",
            "encamp-plugin-script",
            "encamp-provider-docker",
            "encamp-provider-local",
            "encamp-provider-ssh",
            "encamp-testkit",
        ],
    ),
    ("encamp-driver", &["encamp"]),
    // Its build script is the shim of sandboxes.
    (
        "encamp-test",
        &["encamp", "encamp-core", "encamp-provider-local", "encamp-test-macros"],
    ),
    (
        "encamp-test-macros",
        &[
            "encamp-core",
            "encamp-file",
            "encamp-provider-docker",
            "encamp-provider-local",
        ],
    ),
    ("encamp-testkit", &["encamp-core"]),
    ("encamp-bench", &["encamp"]),
    ("encamp-example-driver", &["encamp-core", "encamp-driver"]),
];

/// What every crate may depend on in its tests, beyond its arrows.
const TEST_ARROW: &str = "encamp-testkit";

/// Crates of the library with `docker` alone, ours among them.
const CRATES_MAX: usize = 150;

/// The functions that the facade's `lib.rs` may hold. Everything else there re-exports.
const REGISTRY: &[&str] = &["builtin_kinds"];

/// The only place where unsafe code may stand.
const UNSAFE_BELOW: &str = "plugins/";

const LINES_MAX: usize = 700;

#[test]
fn arrows_between_our_crates_point_one_way() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let packages = packages();
    let mut problems = Vec::new();
    for package in &packages {
        let name = text(package, "name");
        let Some(allowed) = arrows.get(name) else {
            problems.push(format!("{name} is not in ARROWS: decide what it may depend on"));
            continue;
        };
        for dependency in dependencies(package).filter(|d| text(d, "name").starts_with("encamp")) {
            let to = text(dependency, "name");
            let is_for_tests = dependency["kind"] == "dev" && to == TEST_ARROW;
            if !allowed.contains(&to) && !is_for_tests {
                problems.push(format!("{name} → {to}: no such arrow"));
            }
            if name == "encamp" && to.starts_with("encamp-provider-") && dependency["optional"] != true {
                problems.push(format!("{name} → {to}: the facade's providers are optional"));
            }
        }
    }
    let there: BTreeSet<_> = packages.iter().map(|package| text(package, "name")).collect();
    problems.extend(
        arrows
            .keys()
            .filter(|name| !there.contains(*name))
            .map(|name| format!("{name} is in ARROWS alone")),
    );
    none(&problems);
}

/// Cargo would build that crate, and all that stands on it, once with and once without its tests.
#[test]
fn no_test_adds_a_feature_to_a_dependency() {
    let packages = packages();
    let mut normal: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for dependency in packages.iter().flat_map(dependencies).filter(|d| d["kind"] != "dev") {
        normal
            .entry(text(dependency, "name"))
            .or_default()
            .extend(features(dependency));
    }
    let mut problems = Vec::new();
    for package in &packages {
        for dependency in dependencies(package).filter(|d| d["kind"] == "dev") {
            let name = text(dependency, "name");
            let Some(known) = normal.get(name) else { continue };
            problems.extend(
                features(dependency)
                    .filter(|feature| !known.contains(feature))
                    .map(|feature| {
                        format!(
                            "{}: the dev-dependency {name} adds the feature {feature}",
                            text(package, "name")
                        )
                    }),
            );
        }
    }
    none(&problems);
}

#[test]
fn every_provider_has_the_same_rooms() {
    let mut problems = Vec::new();
    for folder in folders_in("providers") {
        let is_there = |room: &str| folder.join(room).exists();
        for room in ["config", "provider", "client", "convert", "error", "capabilities"] {
            if !is_there(&format!("src/{room}.rs")) && !is_there(&format!("src/{room}/mod.rs")) {
                problems.push(format!("{}: no src/{room}.rs", shown(&folder)));
            }
        }
        for room in ["src/lib.rs", "README.md", "tests"] {
            if !is_there(room) {
                problems.push(format!("{}: no {room}", shown(&folder)));
            }
        }
    }
    none(&problems);
}

#[test]
fn every_crate_takes_lints_and_version_from_the_workspace() {
    let mut problems = Vec::new();
    for package in packages() {
        let manifest = PathBuf::from(text(&package, "manifest_path"));
        let content = read(&manifest);
        if !section(&content, "[lints]").any(|line| line == "workspace = true") {
            problems.push(format!("{}: no `[lints] workspace = true`", shown(&manifest)));
        }
        for key in ["version", "edition", "rust-version", "license"] {
            let expected = format!("{key}.workspace = true");
            if !section(&content, "[package]").any(|line| line == expected) {
                problems.push(format!("{}: no `{expected}`", shown(&manifest)));
            }
        }
    }
    none(&problems);
}

#[test]
fn no_file_is_a_catch_all() {
    // A helper, in the singular, is the program that is started again as keeper or shim.
    let catch_all = ["util", "utils", "helpers", "common", "misc"];
    let is_one = |part: &str| catch_all.contains(&part.trim_end_matches(".rs"));
    let files = files();
    none(
        &files
            .iter()
            .filter(|file| within(file, "src") && file.split('/').any(is_one))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_source_file_is_too_long() {
    let mut problems = Vec::new();
    for file in rust_files() {
        let lines = read(&at(&file)).lines().count();
        if lines > LINES_MAX {
            problems.push(format!(
                "{file}: {lines} lines, more than {LINES_MAX}; split it where its jobs part"
            ));
        }
    }
    none(&problems);
}

/// Whoever tests with containers alone builds no more than that takes.
#[test]
fn the_library_with_docker_alone_stays_small() {
    let tree =
        "tree -p encamp --no-default-features --features docker -e normal,build --prefix none --locked --offline";
    let tree = run(env!("CARGO"), &tree.split(' ').collect::<Vec<_>>());
    let crates: BTreeSet<_> = tree
        .lines()
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>())
        .collect();
    assert!(crates.iter().any(|one| one[0] == "bollard"), "{tree}");
    assert!(crates.len() < CRATES_MAX, "{} crates: {crates:?}", crates.len());
}

#[test]
fn the_facade_holds_no_logic() {
    let content = read(&at("src/lib.rs"));
    let mut problems = Vec::new();
    for line in code_lines(&content) {
        let words: Vec<_> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let function = words.iter().position(|word| *word == "fn").map(|at| words[at + 1]);
        if function.is_some_and(|name| !REGISTRY.contains(&name)) || ["impl", "macro_rules"].contains(&words[0]) {
            problems.push(format!("src/lib.rs: `{line}`"));
        }
    }
    none(&problems);
}

#[test]
fn unsafe_code_stands_below_plugins_alone() {
    let mut problems = Vec::new();
    for file in rust_files().iter().filter(|file| !file.starts_with(UNSAFE_BELOW)) {
        let content = read(&at(file));
        for line in code_lines(&content) {
            let next = line
                .split_whitespace()
                .skip_while(|word| !word.ends_with("unsafe"))
                .nth(1);
            if next.is_some_and(|next| next.starts_with('{') || ["fn", "impl", "trait", "extern"].contains(&next)) {
                problems.push(format!("{file}: `{line}`"));
            }
        }
    }
    none(&problems);
}

/// A file that no `mod` line leads to is compiled by nobody, and its tests never run.
#[test]
fn no_source_file_is_forgotten() {
    let packages = [packages(), outsiders()].concat();
    let targets = packages
        .iter()
        .flat_map(|package| package["targets"].as_array().expect("targets is a list"));
    let mut open: Vec<(PathBuf, bool)> = targets
        .map(|target| (PathBuf::from(text(target, "src_path")), true))
        .collect();
    let mut reached = BTreeSet::new();
    while let Some((file, is_root)) = open.pop() {
        if reached.insert(file.clone()) {
            open.extend(modules_of(&file, is_root).into_iter().map(|module| (module, false)));
        }
    }
    let files = rust_files();
    let forgotten = |file: &&String| !file.contains("/fixtures/") && !reached.contains(&at(file));
    none(
        &files
            .iter()
            .filter(forgotten)
            .map(|file| format!("{file}: no `mod` line leads to it"))
            .collect::<Vec<_>>(),
    );
}

/// The repository speaks of the product, not of the place where somebody works on it.
#[test]
fn nothing_speaks_of_the_place_it_was_made() {
    // In pieces, so that this file does not name them.
    let unwelcome = [
        ["/wo", "rk/"],
        ["work", "place"],
        ["clau", "de"],
        ["anthro", "pic"],
        ["chat", "gpt"],
        ["open", "ai"],
        ["co", "pilot"],
        ["gem", "ini"],
        ["ll", "m-generated"],
    ]
    .map(|pieces| pieces.concat());
    let mut problems = Vec::new();
    for file in files() {
        let Ok(content) = fs::read_to_string(at(&file)) else {
            continue;
        };
        for (number, line) in content.lines().enumerate() {
            let line = line.to_lowercase();
            problems.extend(
                unwelcome
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{file}:{}: {word}", number + 1)),
            );
        }
    }
    none(&problems);
}

/// Examples and README are true for everybody: each image can be pulled, and `tests/parts` makes it where none can.
#[test]
fn examples_name_images_that_the_parts_make() {
    let folders = folders_in("tests/parts/images");
    let made: BTreeSet<_> = folders
        .iter()
        .filter_map(|folder| folder.file_name()?.to_str())
        .map(|name| name.replace('_', ":"))
        .collect();
    let mut problems = Vec::new();
    for file in files()
        .iter()
        .filter(|file| file.starts_with("examples/") || file.as_str() == "README.md")
    {
        let Ok(content) = fs::read_to_string(at(file)) else {
            continue;
        };
        let in_file = content
            .lines()
            .filter_map(|line| line.split_once("image = \"")?.1.split('"').next());
        let in_dockerfile = content
            .lines()
            .filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
        problems.extend(
            in_file
                .chain(in_dockerfile)
                .filter(|image| !made.contains(*image))
                .map(|image| format!("{file}: {image}")),
        );
    }
    none(&problems);
}

// What the rules look at.

#[track_caller]
fn none<T: AsRef<str>>(problems: &[T]) {
    let lines: Vec<_> = problems.iter().map(AsRef::as_ref).collect();
    assert!(problems.is_empty(), "\n  {}", lines.join("\n  "));
}

/// The workspace's packages, as `cargo metadata` tells them.
fn packages() -> Vec<Value> {
    packages_of("Cargo.toml")
}

/// The packages that lie here and are not of the workspace.
fn outsiders() -> Vec<Value> {
    let of_workspace: BTreeSet<_> = packages()
        .iter()
        .map(|package| shown(Path::new(text(package, "manifest_path"))))
        .collect();
    let is_outside = |file: &String| file.ends_with("/Cargo.toml") && !of_workspace.contains(file);
    let manifests = files().into_iter().filter(is_outside);
    manifests.flat_map(|manifest| packages_of(&manifest)).collect()
}

fn packages_of(manifest: &str) -> Vec<Value> {
    let arguments = "metadata --format-version=1 --locked --offline --no-deps --manifest-path";
    let arguments: Vec<_> = arguments.split(' ').chain([manifest]).collect();
    let metadata: Value = serde_json::from_str(&run(env!("CARGO"), &arguments)).expect("cargo metadata prints JSON");
    metadata["packages"].as_array().expect("packages is a list").clone()
}

fn dependencies(package: &Value) -> impl Iterator<Item = &Value> {
    package["dependencies"]
        .as_array()
        .expect("dependencies is a list")
        .iter()
}

fn features(dependency: &Value) -> impl Iterator<Item = &str> {
    dependency["features"]
        .as_array()
        .expect("features is a list")
        .iter()
        .filter_map(Value::as_str)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("cargo metadata names it")
}

/// The files of the repository, relative to it: what is committed, and what is not ignored.
fn files() -> Vec<String> {
    let listed = run("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
    listed
        .lines()
        .filter(|file| at(file).is_file())
        .map(str::to_owned)
        .collect()
}

fn rust_files() -> Vec<String> {
    let is_rust = |file: &String| Path::new(file).extension().is_some_and(|extension| extension == "rs");
    files().into_iter().filter(is_rust).collect()
}

fn folders_in(parent: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(at(parent)).expect("the folder is there");
    let folders: Vec<_> = entries
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|p| p.is_dir())
        .collect();
    assert!(!folders.is_empty(), "{parent} is empty");
    folders
}

/// The files that a source file's `mod NAME;` lines lead to.
fn modules_of(file: &Path, is_root: bool) -> Vec<PathBuf> {
    let parent = file.parent().expect("a file lies in a folder");
    let folder = if is_root || file.ends_with("mod.rs") {
        parent.to_owned()
    } else {
        file.with_extension("")
    };
    let content = read(file);
    let mut modules = Vec::new();
    let mut named = None;
    for line in code_lines(&content) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.split('"').next()) {
            named = Some(parent.join(path));
        } else if let Some(name) = line
            .strip_suffix(';')
            .and_then(|rest| rest.rsplit_once("mod "))
            .map(|(_, name)| name)
        {
            let candidates = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
            modules.extend(
                named
                    .take()
                    .into_iter()
                    .chain(candidates)
                    .find(|candidate| candidate.is_file()),
            );
        }
    }
    modules
}

fn code_lines(content: &str) -> impl Iterator<Item = &str> {
    content
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//") && !line.is_empty())
}

/// The lines of one section of a manifest.
fn section<'a>(manifest: &'a str, header: &str) -> impl Iterator<Item = &'a str> {
    let start = manifest
        .lines()
        .skip_while(move |line| line.trim() != header)
        .skip(1)
        .map(str::trim);
    start.take_while(|line| !line.starts_with('['))
}

fn within(file: &str, folder: &str) -> bool {
    file.rsplit_once('/')
        .is_some_and(|(parents, _)| parents.split('/').any(|part| part == folder))
}

fn at(file: &str) -> PathBuf {
    Path::new(ROOT).join(file)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(ROOT).unwrap_or(path).display().to_string()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(ROOT)
        .output()
        .expect("the program is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}
