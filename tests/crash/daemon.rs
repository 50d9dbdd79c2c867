//! The daemon as it is, asked past encamp: what stands there, and things of others.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) const SOCKET: &str = "/var/run/docker.sock";
pub(crate) const IMAGE: &str = "busybox:1.35";

const PATIENCE: Duration = Duration::from_mins(1);
const RANGES_MAX: usize = 96;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Container,
    Network,
    Volume,
}

/// Something that stands on the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) class: Class,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) running: bool,
    pub(crate) labels: Value,
}

impl Thing {
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }

    /// Removes it; one that is gone already is fine.
    pub(crate) fn remove(&self) {
        let path = match self.class {
            Class::Container => format!("/containers/{}?force=1&v=1", self.id),
            Class::Network => format!("/networks/{}", self.id),
            Class::Volume => format!("/volumes/{}?force=1", self.id),
        };
        let _ = ask("DELETE", &path, None);
    }
}

/// Fails with what to do where there is no daemon or no image.
pub(crate) fn must_answer() {
    let (status, _) = ask("GET", &format!("/images/{IMAGE}/json"), None);
    assert_eq!(status, 200, "the image {IMAGE} is not here: tests/run --install");
}

/// Everything that stands there: containers, then networks, then volumes.
pub(crate) fn everything() -> Vec<Thing> {
    let containers = get("/containers/json?all=1");
    let networks = get("/networks");
    let volumes = get("/volumes");
    let containers = list(&containers).iter().map(|one| Thing {
        class: Class::Container,
        name: text(&one["Names"][0]).trim_start_matches('/').to_owned(),
        id: text(&one["Id"]),
        running: one["State"] == "running",
        labels: one["Labels"].clone(),
    });
    let networks = list(&networks).iter().map(|one| Thing {
        class: Class::Network,
        name: text(&one["Name"]),
        id: text(&one["Id"]),
        running: false,
        labels: one["Labels"].clone(),
    });
    let volumes = list(&volumes["Volumes"]).iter().map(|one| Thing {
        class: Class::Volume,
        name: text(&one["Name"]),
        id: text(&one["Name"]),
        running: false,
        labels: one["Labels"].clone(),
    });
    containers.chain(networks).chain(volumes).collect()
}

/// Makes a container of an image, with more labels, in no network.
pub(crate) fn container(name: &str, image: &str, labels: &Value) -> String {
    let body = json!({
        "Image": image, "Cmd": ["sleep", "3600"], "Labels": labels, "HostConfig": { "NetworkMode": "none" },
    });
    made(&format!("/containers/create?name={name}"), &body)
}

pub(crate) fn start(container: &str) {
    let (status, answer) = ask("POST", &format!("/containers/{container}/start"), None);
    assert_eq!(status, 204, "{answer}");
}

/// Makes a network; none where this daemon refuses a second one of the same name.
pub(crate) fn network(name: &str, labels: &Value) -> Option<String> {
    // Ranges for documentation and measurements: the daemon's own pools are few, and machines need them.
    static RANGES: AtomicUsize = AtomicUsize::new(0);
    for _ in 0..RANGES_MAX {
        let range = RANGES.fetch_add(1, Ordering::Relaxed) % RANGES_MAX;
        let block = ["198.18.0", "198.51.100", "203.0.113"][range / 32];
        let subnet = format!("{block}.{}/29", range % 32 * 8);
        let body = json!({
            "Name": name, "CheckDuplicate": false, "Labels": labels, "IPAM": { "Config": [{ "Subnet": subnet }] },
        });
        let (status, answer) = ask("POST", "/networks/create", Some(&body));
        match status {
            201 => return Some(text(&answer["Id"])),
            409 => return None,
            403 if answer.to_string().contains("overlaps") => {}
            _ => panic!("a network: {status} {answer}"),
        }
    }
    panic!("all ranges of decoys are in use");
}

pub(crate) fn volume(name: &str, labels: &Value) {
    made("/volumes/create", &json!({ "Name": name, "Labels": labels }));
}

/// An image of a container, which inherits its labels.
pub(crate) fn commit(container: &str, image: &str) {
    made(&format!("/commit?container={container}&repo={image}&tag=1"), &json!({}));
}

pub(crate) fn remove_image(image: &str) {
    let _ = ask("DELETE", &format!("/images/{image}?force=1"), None);
}

/// The commands of all processes in a container.
pub(crate) fn processes(container: &str) -> Vec<String> {
    let top = get(&format!("/containers/{container}/top"));
    let titles = list(&top["Titles"]);
    let column = titles
        .iter()
        .position(|title| title == "CMD")
        .expect("ps names its columns");
    list(&top["Processes"])
        .iter()
        .map(|process| text(&process[column]))
        .collect()
}

fn made(path: &str, body: &Value) -> String {
    let (status, answer) = ask("POST", path, Some(body));
    assert_eq!(status, 201, "{path}: {answer}");
    text(&answer["Id"])
}

fn get(path: &str) -> Value {
    let (status, answer) = ask("GET", path, None);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// One request. By HTTP/1.0 the daemon sends its answer in one piece and closes.
fn ask(method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut answer = Vec::new();
    let talk = UnixStream::connect(Path::new(SOCKET)).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        stream.read_to_end(&mut answer)
    });
    if let Err(error) = talk {
        panic!("no Docker daemon answers at {SOCKET} ({error}): tests/run --install");
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer of HTTP: {head}"));
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
