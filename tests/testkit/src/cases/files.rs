//! Files in and out of a machine, as tar streams.

use std::collections::BTreeMap;

use encamp_core::{Capabilities, CopyIn, CopyOut, ErrorKind, Target, Verb};
use tokio::io::AsyncReadExt;

use super::exec;
use crate::bed::{Bed, expect_kind};
use crate::promise::{Outcome, Promise, ensure, promises};

pub(crate) fn promises() -> [Promise; 6] {
    promises!(files {
        what_is_copied_in_comes_out if copies, or "copy_in and copy_out",
        missing_parents_are_made if copies, or "copy_in and copy_out",
        a_single_file_comes_out_under_its_own_name if copies, or "copy_in and copy_out",
        commands_see_what_was_copied_in if copies_with_commands, or "copy_in and exec",
        a_large_file_survives if copies, or "copy_in and copy_out",
        what_is_not_there_is_not_found if copies, or "copy_in and copy_out",
    })
}

fn copies(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::CopyIn) && capabilities.offers(Verb::CopyOut)
}

fn copies_with_commands(capabilities: &Capabilities) -> bool {
    copies(capabilities) && exec(capabilities)
}

/// Path to mode and content; a folder has none.
type Files = BTreeMap<String, (u32, Option<Vec<u8>>)>;

fn packed(files: &[(&str, u32, &[u8])]) -> Outcome<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_mtime(1_700_000_000);
        header.set_cksum();
        builder.append_data(&mut header, path, *content)?;
    }
    Ok(builder.into_inner()?)
}

fn unpacked(stream: &[u8]) -> Outcome<Files> {
    let mut files = Files::new();
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_end_matches('/').to_owned();
        let mode = entry.header().mode()? & 0o7777;
        let content = if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content)?;
            Some(content)
        } else {
            None
        };
        files.insert(path, (mode, content));
    }
    Ok(files)
}

async fn copy_in(bed: &Bed, target: &Target, folder: &str, files: &[(&str, u32, &[u8])]) -> Outcome {
    let tar = Box::pin(std::io::Cursor::new(packed(files)?));
    Ok(bed
        .provider
        .copy_in(&bed.cx(), CopyIn::new(target.clone(), folder), tar)
        .await?)
}

async fn copy_out(bed: &Bed, target: &Target, path: &str) -> Outcome<Files> {
    let mut stream = Vec::new();
    let mut tar = bed
        .provider
        .copy_out(&bed.cx(), CopyOut::new(target.clone(), path))
        .await?;
    tar.read_to_end(&mut stream).await?;
    unpacked(&stream)
}

fn contents(files: &Files) -> BTreeMap<&str, (u32, &[u8])> {
    let files = files
        .iter()
        .filter_map(|(path, (mode, content))| Some((path.as_str(), (*mode, content.as_deref()?))));
    files.collect()
}

async fn what_is_copied_in_comes_out(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let folder = format!("{}/in", bed.folder(&target));
    let files: [(&str, u32, &[u8]); 4] = [
        ("plain", 0o644, b"text\n"),
        ("run.sh", 0o755, b"#!/bin/sh\n"),
        ("sub/folder/secret", 0o600, b"\0\xff"),
        ("empty", 0o640, b""),
    ];
    copy_in(bed, &target, &folder, &files).await?;
    let out = copy_out(bed, &target, &folder).await?;
    let expected: BTreeMap<_, _> = files
        .iter()
        .map(|(path, mode, content)| (format!("in/{path}"), (*mode, *content)))
        .collect();
    let expected: BTreeMap<_, _> = expected.iter().map(|(path, file)| (path.as_str(), *file)).collect();
    ensure!(contents(&out) == expected, "what came out is {:?}", contents(&out));
    ensure!(
        out.keys().all(|path| path == "in" || path.starts_with("in/")),
        "the members are {:?}",
        out.keys()
    );
    Ok(())
}

async fn missing_parents_are_made(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let folder = format!("{}/a/b c/d", bed.folder(&target));
    copy_in(bed, &target, &folder, &[("file", 0o644, b"deep")]).await?;
    let out = copy_out(bed, &target, &format!("{folder}/file")).await?;
    ensure!(
        contents(&out).values().any(|(_, content)| content == b"deep"),
        "below the new folders there is {out:?}"
    );
    Ok(())
}

async fn a_single_file_comes_out_under_its_own_name(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let folder = bed.folder(&target);
    copy_in(bed, &target, &folder, &[("alone", 0o444, b"x")]).await?;
    let out = copy_out(bed, &target, &format!("{folder}/alone")).await?;
    let expected = BTreeMap::from([("alone", (0o444, &b"x"[..]))]);
    ensure!(
        contents(&out) == expected,
        "a single file came out as {:?}",
        contents(&out)
    );
    Ok(())
}

async fn commands_see_what_was_copied_in(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let folder = bed.folder(&target);
    copy_in(bed, &target, &folder, &[("seen", 0o644, b"by a command\n")]).await?;
    let output = bed
        .script(&target, &format!("cat {folder}/seen; echo back > {folder}/back"))
        .await?;
    ensure!(output.text() == "by a command", "the command sees {output:?}");
    let out = copy_out(bed, &target, &format!("{folder}/back")).await?;
    ensure!(
        contents(&out).values().any(|(_, content)| content == b"back\n"),
        "what it wrote came out as {out:?}"
    );
    Ok(())
}

async fn a_large_file_survives(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let folder = bed.folder(&target);
    let large: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|number| number.to_le_bytes()[..1].to_vec())
        .collect();
    copy_in(bed, &target, &folder, &[("large", 0o644, &large)]).await?;
    let out = copy_out(bed, &target, &format!("{folder}/large")).await?;
    let same = contents(&out)
        .get("large")
        .is_some_and(|(_, content)| *content == large);
    ensure!(same, "a file of {} bytes came out otherwise", large.len());
    Ok(())
}

async fn what_is_not_there_is_not_found(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let path = format!("{}/no-such-file", bed.factory.folder());
    let out = bed
        .provider
        .copy_out(&bed.cx(), CopyOut::new(target, path))
        .await
        .map(|_| ());
    expect_kind(out, ErrorKind::NotFound, "copying out what is not there")?;
    let absent = CopyOut::new(bed.absent(), bed.factory.folder());
    let out = bed.provider.copy_out(&bed.cx(), absent).await.map(|_| ());
    expect_kind(out, ErrorKind::NotFound, "copying out of what is absent")
}
