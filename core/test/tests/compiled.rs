//! What does not compile, and what the compiler says then: by the compiler itself on the crate that this test was linked
//! with, so that nothing is built again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

const SHOP: &str = r#"name = "shop"
[machines.db]
provider = "local"
ports = { pg = 5432 }
"#;

const TEST: &str = r#"
encamp_test::helper!();
encamp_test::environment!(Shop, "shop.toml");

#[encamp_test::test]
async fn it_answers(camp: &encamp_test::Camp) -> encamp_test::encamp::Result<()> {
    let shop = Shop::up(camp).await?;
    shop.db().pg().await.map(drop)
}
"#;

/// The file of a crate that lies beside this program: the newest, where several builds have left theirs.
fn library(folder: &Path, name: &str) -> PathBuf {
    let begins = format!("lib{name}-");
    let all = fs::read_dir(folder).expect("this program lies there").flatten();
    let ours = all.filter(|file| {
        let (name, path) = (file.file_name(), file.path());
        name.to_string_lossy().starts_with(&begins) && path.extension().is_some_and(|it| it == "rlib")
    });
    let changed = |file: &fs::DirEntry| {
        file.metadata()
            .and_then(|it| it.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    ours.max_by_key(changed)
        .expect("this program was linked with it")
        .path()
}

/// What a test program with that file is made of, if it compiles, and what the compiler says if not.
fn compiled(file: &str, test: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("test.rs");
    fs::write(&source, test).expect("a file");
    fs::write(folder.path().join("shop.toml"), file).expect("a file");
    let program = std::env::current_exe().expect("a test knows where it lies");
    let libraries = program.parent().expect("it lies in a folder");
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    let output = Command::new(rustc)
        .args([
            "--edition=2024",
            "--test",
            "--emit=metadata,dep-info",
            "--crate-name=test",
            "-Dwarnings",
        ])
        .arg("-L")
        .arg(format!("dependency={}", libraries.display()))
        .arg("--extern")
        .arg(format!("encamp_test={}", library(libraries, "encamp_test").display()))
        .arg("--out-dir")
        .arg(folder.path())
        .arg(&source)
        .env("CARGO_MANIFEST_DIR", folder.path())
        .output()
        .expect("the compiler is there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(fs::read_to_string(folder.path().join("test.d")).expect("it was asked for"))
    } else {
        Err(said)
    }
}

#[track_caller]
fn refused(file: &str, test: &str, wanted: &[&str]) {
    let said = compiled(file, test).expect_err("it is wrong");
    for wanted in wanted {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn a_test_that_goes_with_its_file_compiles_and_again_after_an_edit() {
    let made_of = compiled(SHOP, TEST).unwrap_or_else(|said| panic!("{said}"));
    assert!(made_of.contains("shop.toml"), "{made_of}");
}

#[test]
fn without_a_helper_it_is_told_what_to_write() {
    let without = TEST.replace("encamp_test::helper!();", "");
    refused(
        SHOP,
        &without,
        &[
            "this test program has no helper",
            "async fn it_answers",
            "write `encamp_test::helper!();` at the root",
        ],
    );
}

#[test]
fn a_port_that_was_renamed_is_missed() {
    let renamed = SHOP.replace("pg = ", "postgres = ");
    refused(&renamed, TEST, &["no method named `pg`", "shop.db().pg()"]);
}

#[test]
fn a_file_that_is_wrong_is_told_with_its_place() {
    let wrong = SHOP.replace("ports", "prots");
    refused(
        &wrong,
        TEST,
        &[
            "shop.toml:4:1",
            "a key with a similar name: `ports`",
            "encamp_test::environment!(Shop",
        ],
    );
}

#[test]
fn an_attribute_that_is_wrong_says_what_there_is() {
    let wrong = TEST.replace("#[encamp_test::test]", "#[encamp_test::test(timeout = \"soon\")]");
    refused(SHOP, &wrong, &["not a length of time", "1h30m"]);
    let wrong = TEST.replace("encamp_test::encamp::Result<()>", "u8");
    refused(SHOP, &wrong, &["a test of encamp gives `()` or a `Result`"]);
}
