//! Resolved, missing, built, made of machines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::query_parameters as query;
use encamp_core::{ErrorKind, EventSink, Exit, Labels, Prune, Resolve, Snapshot, Time, Verb, label};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::bed::{Bed, IMAGE, SOCKET, connect, cx, labelled};

#[tokio::test]
async fn an_image_that_is_here_is_frozen_by_its_digest() {
    let bed = Bed::new().await;
    let table = json!({ "image": IMAGE, "volumes": ["data:/d"] });
    let candidates = bed.provider.resolve(&cx(), Resolve::new(table)).await.unwrap();
    assert_eq!(candidates.len(), 1);
    let candidate = &candidates[0];
    let id = candidate.body["image_id"].as_str().unwrap();
    assert!(id.starts_with("sha256:"));
    assert_eq!(
        candidate.summary[0],
        ("image".into(), format!("{IMAGE} @{}", &id[7..15]))
    );
    assert_eq!(candidate.summary[1], ("how".into(), "here".into()));
    let names: Vec<_> = candidate.scope.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["net", "vol-data"]);
    let prepared = bed.provider.prepare(&cx(), candidate.clone()).await.unwrap();
    assert_eq!(prepared, *candidate);
}

#[tokio::test]
async fn a_missing_image_is_named_with_its_neighbours() {
    let bed = Bed::new().await;
    let missing = "encamp-docker-it/busybox:none";
    let candidate = bed
        .provider
        .resolve(&cx(), Resolve::new(json!({ "image": missing })))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(candidate.summary[1], ("how".into(), "pull".into()));
    let error = bed.provider.prepare(&cx(), candidate).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(error.message().contains(missing));
    assert!(std::error::Error::source(&error).is_some());
    assert!(
        error.context().any(|(key, value)| key == "near" && value == IMAGE),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_image_is_built_once_for_one_context() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = format!("FROM {IMAGE}\nARG WORD\nCOPY . /app\nRUN echo $WORD > /app/word\n");
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    std::fs::write(folder.path().join(".dockerignore"), "secret\n").unwrap();
    std::fs::write(folder.path().join("secret"), "no").unwrap();
    std::fs::write(folder.path().join("id"), bed.controller.as_str()).unwrap();
    let build = json!({ "context": folder.path().to_string_lossy(), "args": { "WORD": "said" } });
    let table = json!({ "build": build, "command": ["sleep", "1000"] });
    let candidate = bed
        .provider
        .resolve(&cx(), Resolve::new(table.clone()))
        .await
        .unwrap()
        .remove(0);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lines);
    let events = EventSink::new(move |progress| heard.lock().unwrap().extend(progress.note));
    let first = bed
        .provider
        .prepare(&cx().with_events(events), candidate.clone())
        .await
        .unwrap();
    assert!(
        lines.lock().unwrap().iter().any(|line| line.contains("COPY")),
        "{lines:?}"
    );
    let again = bed.provider.prepare(&cx(), candidate).await.unwrap();
    assert_eq!(again, first);
    let target = bed.machine("app", table).await;
    assert_eq!(
        bed.sh(&target, "cd /app; ls; cat word").await.0,
        "Dockerfile\nid\nword\nsaid\n"
    );
    bed.destroy(&target).await.unwrap();
    let id = first.body["image_id"].as_str().unwrap();
    bed.raw
        .remove_image(
            id,
            Some(query::RemoveImageOptions {
                force: true,
                ..Default::default()
            }),
            None,
        )
        .await
        .unwrap();
}

/// Runs alone: it removes what was built for others as well.
#[tokio::test]
async fn what_was_built_is_pruned_once_nobody_wants_it() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = format!("FROM {IMAGE}\nLABEL of={}\n", bed.controller.as_str());
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let table = json!({ "build": folder.path().to_string_lossy(), "command": ["sleep", "1000"] });
    let resolve = async || bed.provider.resolve(&cx(), Resolve::new(table.clone())).await;
    let candidate = resolve().await.unwrap().remove(0);
    let target = bed.machine("app", table.clone()).await;
    let prepared = bed.provider.prepare(&cx(), candidate.clone()).await.unwrap();
    let id = prepared.body["image_id"].as_str().unwrap().to_owned();
    let name = bed.raw.inspect_image(&id).await.unwrap().repo_tags.unwrap().remove(0);
    let tagged = async || {
        let image = bed.raw.inspect_image(&id).await.unwrap();
        Time::parse(&image.metadata.unwrap().last_tag_time.unwrap()).unwrap()
    };
    let prune = async |since| bed.provider.prune(&cx(), Prune::new(since)).await.unwrap();
    let (built, hour) = (tagged().await, Duration::from_hours(1));
    assert!(!prune(built.minus(hour)).await.contains(&name));
    assert!(!prune(built.plus(hour)).await.contains(&name), "a machine has it");
    bed.destroy(&target).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    bed.provider.prepare(&cx(), candidate.clone()).await.unwrap();
    assert!(tagged().await > built);
    assert!(!prune(built).await.contains(&name), "it was wanted since");
    assert!(prune(built.plus(hour)).await.contains(&name));
    assert!(bed.raw.inspect_image(&id).await.is_err());
    let again = bed.provider.prepare(&cx(), candidate).await.unwrap();
    assert!(
        bed.raw
            .inspect_image(again.body["image_id"].as_str().unwrap())
            .await
            .is_ok()
    );
    prune(built.plus(hour)).await;
}

/// The daemon, which answers to every tag with a status.
struct NoTags {
    folder: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl NoTags {
    fn start(status: &'static str, daemon: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, status, daemon));
            }
        });
        Self { folder, task }
    }

    fn settings(&self) -> Value {
        json!({ "host": format!("unix://{}", self.folder.path().join("s").display()) })
    }
}

impl Drop for NoTags {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: UnixStream, status: &str, daemon: &str) {
    let mut daemon = UnixStream::connect(daemon).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let head = String::from_utf8_lossy(&asked[..count]);
                let first = head.lines().next().unwrap_or_default();
                if first.starts_with("POST ") && first.contains("/tag?") {
                    let body = r#"{"message":"not now"}"#;
                    let length = body.len();
                    let type_ = "content-type: application/json";
                    let answer = format!("HTTP/1.1 {status}\r\n{type_}\r\ncontent-length: {length}\r\n\r\n{body}");
                    client.write_all(answer.as_bytes()).await.unwrap();
                } else {
                    daemon.write_all(&asked[..count]).await.unwrap();
                }
            }
            read = daemon.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                let _ = client.write_all(&answered[..count]).await;
            }
        }
    }
}

#[tokio::test]
async fn an_image_whose_use_cannot_be_written_down_is_used_or_built() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = format!("FROM {IMAGE}\nLABEL of={}\n", bed.controller.as_str());
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let table = json!({ "build": folder.path().to_string_lossy(), "command": ["sleep", "1000"] });
    let candidate = bed
        .provider
        .resolve(&cx(), Resolve::new(table))
        .await
        .unwrap()
        .remove(0);
    let first = bed.provider.prepare(&cx(), candidate.clone()).await.unwrap();
    for (status, builds) in [("500 Internal Server Error", false), ("404 Not Found", true)] {
        let proxy = NoTags::start(status, &SOCKET["unix://".len()..]);
        let provider = connect(proxy.settings()).await.unwrap();
        let lines = Arc::new(Mutex::new(0));
        let heard = Arc::clone(&lines);
        let events = EventSink::new(move |_| *heard.lock().unwrap() += 1);
        let again = provider.prepare(&cx().with_events(events), candidate.clone()).await;
        assert_eq!(again.unwrap().body, first.body);
        // One that was pruned in this moment is built anew.
        assert_eq!(*lines.lock().unwrap() > 0, builds, "{status}");
    }
    let id = first.body["image_id"].as_str().unwrap();
    let options = query::RemoveImageOptions {
        force: true,
        ..Default::default()
    };
    bed.raw.remove_image(id, Some(options), None).await.unwrap();
}

#[tokio::test]
async fn a_build_that_fails_shows_its_last_lines() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("Dockerfile"),
        format!("FROM {IMAGE}\nRUN echo before; exit 3\n"),
    )
    .unwrap();
    let table = json!({ "build": folder.path().to_string_lossy() });
    let candidate = bed
        .provider
        .resolve(&cx(), Resolve::new(table))
        .await
        .unwrap()
        .remove(0);
    let error = bed.provider.prepare(&cx(), candidate).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error
            .context()
            .any(|(key, value)| key == "last lines" && value.contains("before")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_snapshot_is_an_image_of_its_own_and_made_once() {
    let bed = Bed::new().await;
    let target = bed
        .machine("db", json!({ "command": ["sleep", "1000"], "stop_grace": "5s" }))
        .await;
    bed.sh(&target, "echo kept > /kept").await;
    let name = format!("encamp-docker-it/snapshot:{}", bed.controller);
    let snapshot = Snapshot::new(bed.stamp("img"), target.clone(), name.clone());
    let ticket = bed.ticket("img", Verb::Snapshot);
    let image = bed.provider.snapshot(&cx(), &ticket, snapshot.clone()).await.unwrap();
    assert_eq!(bed.provider.snapshot(&cx(), &ticket, snapshot).await.unwrap(), image);
    let listing = bed.provider.list(&cx(), bed.list_args()).await.unwrap();
    let found = listing
        .found
        .iter()
        .find(|found| found.class == encamp_core::Class::Image)
        .unwrap();
    assert_eq!(found.key, bed.stamp("img").key.as_str());
    assert_eq!(found.labels.get(label::MACHINE).map(String::as_str), Some("img"));
    // A machine of it does not inherit what spoke for the first one.
    let mut resolve = Resolve::new(json!({ "image": "ignored", "command": ["sleep", "1000"] }));
    resolve.image = Some(image);
    let candidate = bed.provider.resolve(&cx(), resolve).await.unwrap().remove(0);
    let candidate = bed.provider.prepare(&cx(), candidate).await.unwrap();
    let of_copy = encamp_core::Name::new("copy").unwrap();
    let request = encamp_core::Create::new(bed.stamp("copy"), candidate.site, candidate.body, of_copy);
    let copy = bed.run(request.clone()).await;
    assert_eq!(
        bed.sh(&copy, "cat /kept").await,
        ("kept\n".into(), String::new(), Exit::Code(0))
    );
    assert!(bed.create(request).await.unwrap().adopted);
    // Not from under a machine, and then with every name that it has.
    let picture = bed.target("img", None);
    assert_eq!(
        bed.destroy(&picture).await.unwrap_err().kind(),
        encamp_core::ErrorKind::Conflict
    );
    bed.destroy(&copy).await.unwrap();
    for _ in 0..2 {
        assert_eq!(bed.destroy(&picture).await.unwrap(), encamp_core::Removal::Gone);
    }
    assert!(bed.raw.inspect_image(&name).await.is_err());
    let listing = bed.provider.list(&cx(), bed.list_args()).await.unwrap();
    assert!(
        listing
            .found
            .iter()
            .all(|found| found.class != encamp_core::Class::Image)
    );
    bed.destroy(&target).await.unwrap();
}

#[tokio::test]
async fn labels_of_an_image_prove_nothing() {
    let bed = Bed::new().await;
    let mut labels = bed.stamp("db").labels;
    labels.insert("encamp-docker-it".into(), bed.controller.to_string());
    let base = bed.foreign(&format!("base-{}", bed.controller), Labels::new()).await;
    let options = query::CommitContainerOptions {
        container: Some(base),
        repo: Some("encamp-docker-it/labelled".into()),
        tag: Some(bed.controller.to_string()),
        ..Default::default()
    };
    bed.raw.commit_container(options, labelled(labels)).await.unwrap();
    let image = format!("encamp-docker-it/labelled:{}", bed.controller);
    // A container of it that has another name carries our labels, and is still nobody of ours.
    let body = bollard::models::ContainerCreateBody {
        image: Some(image.clone()),
        ..Default::default()
    };
    let options = query::CreateContainerOptions {
        name: Some(format!("of-image-{}", bed.controller)),
        ..Default::default()
    };
    let id = bed.raw.create_container(Some(options), body).await.unwrap().id;
    let error = bed.destroy(&bed.target("db", Some(&id))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(bed.there(&id).await);
    // And ours of that image is ours.
    let request = bed.request("db", json!({ "image": image })).await;
    let created = bed.create(request.clone()).await.unwrap();
    assert!(!created.adopted);
    assert!(bed.create(request).await.unwrap().adopted);
}
