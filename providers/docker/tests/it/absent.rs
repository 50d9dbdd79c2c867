//! Daemons that do not answer.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use encamp_core::{Ambient, Check, Cx, ErrorKind, InstanceName, Retry};
use encamp_provider_docker::kind;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;

use crate::bed::{Bed, connect, cx};

#[tokio::test]
async fn a_socket_that_does_not_exist_is_unavailable_at_once() {
    let error = connect(json!({ "host": "unix:///nowhere/docker.sock" }))
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
    assert!(error.message().contains("/nowhere/docker.sock"), "{error}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_port_that_refuses_is_unavailable() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = connect(json!({ "host": format!("tcp://{closed}") })).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
}

#[tokio::test]
async fn a_socket_that_nobody_answers_is_unavailable_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _listener = UnixListener::bind(&path).unwrap();
    let begun = Instant::now();
    let settings = json!({ "host": format!("unix://{}", path.display()) });
    let name = InstanceName::new("docker").unwrap();
    let cx = Cx::within(Duration::from_millis(500));
    let error = kind().connect(&cx, name, settings, Ambient::none()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_daemon_that_is_too_old_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let asked = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await.unwrap();
        heard
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(&buffer[..count]));
        let body = r#"{"ApiVersion":"1.40"}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes())
            .await
            .unwrap();
    });
    let error = connect(json!({ "host": format!("unix://{}", path.display()) }))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("1.40") && why.contains("1.41"), "{why}");
    // The version is asked for without one, whatever the client would pin itself to.
    assert!(asked.lock().unwrap().starts_with("GET /version "), "{asked:?}");
}

#[tokio::test]
async fn a_cancelled_change_has_an_unknown_outcome() {
    let bed = Bed::new().await;
    let request = bed.request("db", json!({})).await;
    let cancelled = cx();
    cancelled.cancel();
    let ticket = bed.ticket("db", encamp_core::Verb::Create);
    let outcome = bed.provider.create(&cancelled, &ticket, request.clone()).await;
    if let Err(error) = outcome {
        assert_eq!(
            (error.kind(), error.retryable()),
            (ErrorKind::Cancelled, Retry::Unknown)
        );
    }
    // Whatever came of it, the same request settles it.
    bed.create(request).await.unwrap();
    let listing = bed.provider.list(&cx(), bed.list_args()).await.unwrap();
    assert_eq!(listing.found.len(), 1);
}

#[tokio::test]
async fn a_daemon_that_works_passes_its_check() {
    let bed = Bed::new().await;
    let findings = bed.provider.check(&cx(), Check::thorough()).await.unwrap();
    assert!(
        findings
            .iter()
            .all(|finding| finding.level != encamp_core::Level::Error),
        "{findings:?}"
    );
    assert!(bed.provider.site().as_str().starts_with("docker:"));
}
