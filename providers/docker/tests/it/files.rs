//! Files in and out.

use encamp_core::{BoxRead, CopyIn, CopyOut, ErrorKind, Exit};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::bed::{Bed, cx};

fn tar_of(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn stream(bytes: Vec<u8>) -> BoxRead {
    Box::pin(std::io::Cursor::new(bytes))
}

#[tokio::test]
async fn what_goes_in_comes_out() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let big = vec![b'x'; 3 << 20];
    let tar = tar_of(&[
        ("a", 0o644, b"alpha"),
        ("sub/run", 0o755, b"#!/bin/sh\necho ran\n"),
        ("big", 0o600, &big),
    ]);
    let into = CopyIn::new(target.clone(), "/srv/deep/er/");
    bed.provider.copy_in(&cx(), into, stream(tar)).await.unwrap();
    assert_eq!(
        bed.sh(&target, "/srv/deep/er/sub/run; stat -c %a /srv/deep /tmp")
            .await
            .0,
        "ran\n755\n1777\n"
    );
    let out = bed
        .provider
        .copy_out(&cx(), CopyOut::new(target.clone(), "/srv/deep/er"))
        .await
        .unwrap();
    let mut bytes = Vec::new();
    let mut out = out;
    out.read_to_end(&mut bytes).await.unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut sizes: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.header().entry_type().is_file())
        .map(|entry| (entry.path().unwrap().display().to_string(), entry.size()))
        .collect();
    sizes.sort();
    let size = |path: &str, size: u64| (path.to_owned(), size);
    assert_eq!(
        sizes,
        [size("er/a", 5), size("er/big", 3 << 20), size("er/sub/run", 19)]
    );
}

#[tokio::test]
async fn files_land_before_the_machine_starts() {
    let bed = Bed::new().await;
    let created = bed
        .create(bed.request("db", json!({ "command": "cat /etc/app/conf" })).await)
        .await
        .unwrap();
    let target = bed.target("db", Some(&created.id));
    let into = CopyIn::new(target.clone(), "/etc/app");
    bed.provider
        .copy_in(&cx(), into, stream(tar_of(&[("conf", 0o644, b"yes")])))
        .await
        .unwrap();
    bed.start("db", &created.id).await.unwrap();
    assert_eq!(
        bed.until_exited(&target).await.phase,
        encamp_core::Phase::Exited(Exit::Code(0))
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let bed = Bed::new().await;
    let target = bed.sleeper("db").await;
    let out = bed
        .provider
        .copy_out(&cx(), CopyOut::new(target.clone(), "/nope"))
        .await;
    let error = out.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("/nope"), "{error}");
    let out = bed
        .provider
        .copy_out(&cx(), CopyOut::new(bed.target("web", Some("0000")), "/"))
        .await;
    assert_eq!(out.err().unwrap().kind(), ErrorKind::NotFound);
    let error = bed
        .provider
        .copy_in(&cx(), CopyIn::new(target, "rel"), stream(Vec::new()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
