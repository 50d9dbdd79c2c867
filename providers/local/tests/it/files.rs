//! Whose files a machine sees, and whose it changes.

use encamp_core::{ErrorKind, Finding, Level};
use libtest_mimic::Trial;
use serde_json::json;

use crate::bed::{Bed, cx, fresh_word, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("files::what_it_writes_is_its_own", own),
        trial("files::it_sees_neither_temporary_files_nor_another_machine", apart),
        trial("files::it_knows_its_own_name", names),
        trial("files::plain_files_are_the_hosts_and_are_guarded", plain),
        trial("files::no_link_leads_out_of_plain_files", links),
    ]
}

async fn own() {
    let bed = Bed::new().await;
    bed.raise("web", json!({})).await;
    let word = fresh_word();
    for folder in [
        "/srv",
        "/etc",
        "/var",
        "/usr/local",
        "/opt",
        "/",
        "/data/new",
        "/usr/local/bin",
        "/home",
    ] {
        let script = format!("mkdir -p {folder} && echo mine > {folder}/{word} && cat {folder}/{word}");
        let said = bed.run("web", &script).await;
        assert_eq!(said.out, "mine\n", "{folder}: {said:?}");
        let path = std::path::Path::new(folder).join(&word);
        assert!(!path.exists(), "{} is on this host", path.display());
    }
    // What is there already can be replaced, and stays as it is on this host.
    let before = std::fs::read("/etc/passwd").unwrap();
    let said = bed.run("web", "cp /etc/passwd /etc/p && echo web:x:7:7::/:/bin/sh >> /etc/p && mv /etc/p /etc/passwd && tail -n 1 /etc/passwd").await;
    assert_eq!(said.out, "web:x:7:7::/:/bin/sh\n", "{said:?}");
    assert_eq!(std::fs::read("/etc/passwd").unwrap(), before);
    bed.destroy("web").await;
}

async fn apart() {
    let bed = Bed::new().await;
    let here = tempfile::NamedTempFile::new().unwrap();
    bed.raise("one", json!({})).await;
    bed.raise("other", json!({})).await;
    let files = "/tmp/file /var/tmp/file /run/file /root/file /dev/shm/file";
    let write = format!("for file in {files}; do echo mine > $file || exit; done; cat {files}");
    let said = bed.run("one", &write).await;
    assert_eq!(said.out, "mine\n".repeat(5), "{said:?}");
    let look = |files: &str| format!("for file in {files}; do test -e $file && echo $file; done; echo looked");
    assert_eq!(bed.run("other", &look(files)).await.out, "looked\n");
    let here = here.path().display().to_string();
    assert_eq!(bed.run("one", &look(&here)).await.out, "looked\n");
    bed.destroy("one").await;
    bed.destroy("other").await;
}

async fn names() {
    let bed = Bed::new().await;
    let mut request = bed.request("web-0", json!({})).await;
    request.aliases = vec![encamp_core::Name::new("web").unwrap()];
    bed.raise_request(request).await;
    let said = bed
        .run("web-0", "hostname; getent hosts web-0 web; echo $HOSTNAME; pwd")
        .await;
    let words: Vec<&str> = said.out.split_whitespace().collect();
    assert_eq!(words.first(), Some(&"web-0"), "{said:?}");
    assert_eq!(words.iter().filter(|word| **word == "127.0.0.1").count(), 2, "{said:?}");
    assert!(said.out.ends_with("web-0\n/root\n"), "{said:?}");
    bed.destroy("web-0").await;
}

async fn plain() {
    let bed = Bed::with(json!({ "files": "plain" })).await;
    assert!(!bed.provider.capabilities().mounts);
    let findings = bed.provider.check(&cx(), encamp_core::Check::new()).await.unwrap();
    // It was asked for, so nothing is missing.
    let says = |finding: &Finding| finding.level == Level::Note && finding.message.contains("files are this host's;");
    assert!(findings.iter().any(says), "{findings:?}");
    assert!(
        findings.iter().all(|finding| finding.level == Level::Note),
        "{findings:?}"
    );
    bed.raise("web", json!({})).await;
    let said = bed
        .run("web", "echo mine > \"$TMPDIR/file\"; pwd; cat \"$TMPDIR/file\"")
        .await;
    let home = bed.folder("web").join("home");
    assert_eq!(said.out, format!("{}\nmine\n", home.display()));
    for refused in ["/etc", "/tmp", &format!("{}/../../..", home.display())] {
        let error = bed.copy_in("web", refused, "file", b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{refused}: {error:?}");
    }
    let inside = home.join("in");
    bed.copy_in("web", &inside.display().to_string(), "file", b"brought")
        .await
        .unwrap();
    assert_eq!(std::fs::read_to_string(inside.join("file")).unwrap(), "brought");
    bed.destroy("web").await;
}

async fn links() {
    let bed = Bed::with(json!({ "files": "plain" })).await;
    bed.raise("web", json!({})).await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("theirs"), "theirs").unwrap();
    let home = bed.folder("web").join("home");
    std::os::unix::fs::symlink(outside.path(), home.join("link")).unwrap();
    let inside = |path: &str| home.join(path).display().to_string();
    for (folder, kind) in [
        (inside("link"), ErrorKind::Unsupported),
        (inside("link/new/folder"), ErrorKind::Unsupported),
        (bed.folder("web").display().to_string(), ErrorKind::Unsupported),
        // Within what is brought the archive itself leads there.
        (inside(""), ErrorKind::Invalid),
    ] {
        let error = bed.copy_in("web", &folder, "link/brought", b"x").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{folder}: {error:?}");
    }
    let left: Vec<_> = std::fs::read_dir(outside.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let machine = bed.folder("web").join("machine.json").display().to_string();
    for path in [inside("link/theirs"), inside("link/../link/theirs"), machine] {
        let error = bed.copy_out("web", &path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{path}: {error:?}");
    }
    // A link of its own is brought as one.
    for path in ["link", "link/"] {
        let tar = bed.copy_out("web", &inside(path)).await.unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        let kinds: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().header().entry_type())
            .collect();
        assert_eq!(kinds, [tar::EntryType::Symlink], "{path}");
    }
    bed.destroy("web").await;
}
