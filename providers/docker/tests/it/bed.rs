//! What every test stands on: a connected provider, a controller of its own, an image, and a guard that removes
//! whatever the test leaves.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerConfig, ContainerCreateBody};
use bollard::query_parameters as query;
use bollard::{API_DEFAULT_VERSION, Docker};
use encamp_core::{
    Ambient, BoxRead, ControllerId, ControllerPrefix, Create, Cx, EnvId, Error, Exec, Exit, ID_ALPHABET, InstanceName,
    Key, Labels, List, Logs, Name, OpenScope, Opened, Phase, Process, Provider, ProviderExt, Resolve, ScopeItem, Stamp,
    Target, Ticket, Token, Verb, label,
};
use encamp_provider_docker::kind;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

/// The image of all machines here: busybox, with every applet as a link.
pub(crate) const IMAGE: &str = "encamp-docker-it/busybox:1";

pub(crate) const SOCKET: &str = "unix:///var/run/docker.sock";

pub(crate) struct Bed {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) raw: Docker,
    pub(crate) controller: ControllerId,
    pub(crate) environment: EnvId,
}

/// A context that is long enough for everything here.
pub(crate) fn cx() -> Cx {
    Cx::within(Duration::from_mins(1))
}

fn random_id(length: usize) -> String {
    let mut bytes = vec![0_u8; length];
    getrandom::fill(&mut bytes).unwrap();
    let alphabet = ID_ALPHABET.as_bytes();
    bytes
        .iter()
        .map(|b| char::from(alphabet[usize::from(*b) % alphabet.len()]))
        .collect()
}

/// A provider with these settings.
pub(crate) async fn connect(settings: Value) -> Result<Arc<dyn Provider>, Error> {
    connect_in(settings, Ambient::none()).await
}

/// A provider with these settings in such a process.
pub(crate) async fn connect_in(settings: Value, ambient: Ambient) -> Result<Arc<dyn Provider>, Error> {
    let name = InstanceName::new("docker").unwrap();
    kind().connect(&cx(), name, settings, ambient).await
}

fn raw(socket: &str) -> Docker {
    Docker::connect_with_unix(socket, 120, API_DEFAULT_VERSION).unwrap()
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(json!({})).await
    }

    pub(crate) async fn with(settings: Value) -> Self {
        let provider = connect(settings).await.unwrap_or_else(|error| {
            panic!("{error}: install and start one with `tests/run --install`, or `apt-get install -y docker.io && dockerd`")
        });
        Self::around(provider).await
    }

    /// A bed on Podman's service, at the socket of its part, which has an image of its own.
    pub(crate) async fn podman() -> Self {
        let socket = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("parts/podman.sock");
        let socket = format!("unix://{}", socket.display());
        let provider = connect(json!({ "host": socket }))
            .await
            .unwrap_or_else(|error| panic!("{error}: `tests/parts/parts podman up` starts Podman's service"));
        Self::at(raw(&socket), provider)
    }

    /// A bed of a provider that is connected to the default daemon, whichever way.
    pub(crate) async fn around(provider: Arc<dyn Provider>) -> Self {
        let raw = raw(SOCKET);
        import(&raw).await;
        Self::at(raw, provider)
    }

    fn at(raw: Docker, provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            raw,
            controller: ControllerId::new(random_id(6)).unwrap(),
            environment: EnvId::new(random_id(10)).unwrap(),
        }
    }

    pub(crate) fn list_args(&self) -> List {
        List::new(ControllerPrefix::new(&self.controller))
    }

    /// The stamp of an object, as an engine would derive it.
    pub(crate) fn stamp(&self, object: &str) -> Stamp {
        let key = format!(
            "ec-{}-{}-{object}-g1-0123456789abcdef",
            self.controller, self.environment
        );
        let labels = Labels::from(
            [
                (label::CONTROLLER, self.controller.as_str()),
                (label::ENVIRONMENT, self.environment.as_str()),
                (label::MACHINE, object),
                (label::GENERATION, "1"),
                (label::SPEC, "s"),
                (label::CREATED, "2026-01-01T00:00:00Z"),
                (label::EXPIRES, "2026-01-01T01:00:00Z"),
                (label::EPOCH, "1"),
                (label::PROOF, "p"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        Stamp::new(Key::new(key), Token::new("token"), labels)
    }

    pub(crate) fn target(&self, object: &str, id: Option<&str>) -> Target {
        Target::new(self.stamp(object), self.provider.site().clone(), id.map(str::to_owned))
    }

    pub(crate) fn ticket(&self, object: &str, verb: Verb) -> Ticket {
        Ticket::of_committed_intent(self.stamp(object).key, verb, 1)
    }

    /// A frozen request of a table, prepared.
    pub(crate) async fn request(&self, name: &str, table: Value) -> Create {
        let mut table = table;
        if table.get("build").is_none() && table.get("image").is_none() {
            table["image"] = json!(IMAGE);
        }
        let candidate = self
            .provider
            .resolve(&cx(), Resolve::new(table))
            .await
            .unwrap()
            .remove(0);
        let candidate = self.provider.prepare(&cx(), candidate).await.unwrap();
        Create::new(
            self.stamp(name),
            candidate.site,
            candidate.body,
            Name::new(name).unwrap(),
        )
    }

    pub(crate) async fn create(&self, request: Create) -> Result<encamp_core::Created, Error> {
        let object = request.name.as_str().to_owned();
        self.provider
            .create(&cx(), &self.ticket(&object, Verb::Create), request)
            .await
    }

    pub(crate) async fn start(&self, name: &str, id: &str) -> Result<(), Error> {
        let ticket = self.ticket(name, Verb::Start);
        self.provider.start(&cx(), &ticket, self.target(name, Some(id))).await
    }

    /// A machine that runs.
    pub(crate) async fn machine(&self, name: &str, table: Value) -> Target {
        let request = self.request(name, table).await;
        self.run(request).await
    }

    /// A machine that sleeps until it is destroyed.
    pub(crate) async fn sleeper(&self, name: &str) -> Target {
        self.machine(name, json!({ "command": ["sleep", "1000"] })).await
    }

    pub(crate) async fn run(&self, request: Create) -> Target {
        let name = request.name.as_str().to_owned();
        let created = self.create(request).await.unwrap();
        assert_eq!(created.phase, Phase::Held);
        self.start(&name, &created.id).await.unwrap();
        self.target(&name, Some(&created.id))
    }

    pub(crate) async fn destroy(&self, target: &Target) -> Result<encamp_core::Removal, Error> {
        let ticket = self.ticket(target.stamp.object(), Verb::Destroy);
        self.provider.destroy(&cx(), &ticket, target.clone()).await
    }

    pub(crate) async fn open(&self, name: &str, body: Value) -> Result<Opened, Error> {
        let open = OpenScope::new(
            self.stamp(name),
            self.provider.site().clone(),
            ScopeItem::new(name, body),
        );
        self.provider
            .open_scope(&cx(), &self.ticket(name, Verb::OpenScope), open)
            .await
    }

    pub(crate) async fn close(&self, name: &str) -> Result<encamp_core::Removal, Error> {
        let ticket = self.ticket(name, Verb::CloseScope);
        self.provider.close_scope(&cx(), &ticket, self.target(name, None)).await
    }

    pub(crate) async fn until_exited(&self, target: &Target) -> encamp_core::Observed {
        let ended = |seen: &encamp_core::Observed| matches!(seen.phase, Phase::Exited(_));
        self.provider.wait(&cx(), target.clone(), &ended).await.unwrap()
    }

    /// Waits until its main process has said this.
    pub(crate) async fn until_said(&self, target: &Target, text: &str) {
        for _ in 0..300 {
            let logs = self.provider.logs(&cx(), Logs::new(target.clone())).await.unwrap();
            if all(logs).await.contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} did not say {text:?}", target.stamp.object());
    }

    pub(crate) async fn exec(&self, exec: Exec) -> Process {
        self.provider.exec(&cx(), exec).await.unwrap()
    }

    /// Runs a line of shell; gives its output, its errors and how it ended.
    pub(crate) async fn sh(&self, target: &Target, line: &str) -> (String, String, Exit) {
        let process = self.exec(Exec::new(target.clone(), ["sh", "-c", line])).await;
        finish(process).await
    }

    /// A container of somebody else.
    pub(crate) async fn foreign(&self, name: &str, labels: Labels) -> String {
        let mut labels: HashMap<_, _> = labels.into_iter().collect();
        labels.insert("encamp-docker-it".to_owned(), self.controller.to_string());
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            labels: Some(labels),
            ..ContainerCreateBody::default()
        };
        let options = query::CreateContainerOptions {
            name: Some(name.to_owned()),
            ..query::CreateContainerOptions::default()
        };
        self.raw.create_container(Some(options), body).await.unwrap().id
    }

    pub(crate) async fn there(&self, name: &str) -> bool {
        let options = None::<query::InspectContainerOptions>;
        self.raw.inspect_container(name, options).await.is_ok()
    }
}

/// Reads everything and waits for the end.
pub(crate) async fn finish(process: Process) -> (String, String, Exit) {
    let Process {
        stdin,
        stdout,
        stderr,
        mut control,
        ..
    } = process;
    drop(stdin);
    let (out, err) = tokio::join!(all(stdout), async {
        match stderr {
            Some(stderr) => all(stderr).await,
            None => String::new(),
        }
    });
    (out, err, control.wait().await.unwrap())
}

pub(crate) async fn all(mut stream: BoxRead) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Imports the image once, whoever comes first.
async fn import(raw: &Docker) {
    if raw.inspect_image(IMAGE).await.is_ok() {
        return;
    }
    let lock = File::create(std::env::temp_dir().join("encamp-docker-it.lock")).unwrap();
    let lock = tokio::task::spawn_blocking(move || {
        lock.lock().unwrap();
        lock
    });
    let _lock = lock.await.unwrap();
    if raw.inspect_image(IMAGE).await.is_ok() {
        return;
    }
    let busybox = std::fs::read("/bin/busybox").expect("busybox is there: apt-get install -y busybox-static");
    let list = std::process::Command::new("/bin/busybox")
        .arg("--list")
        .output()
        .unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, mode, link: Option<&str>, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        match link {
            Some(link) => tar.append_link(&mut header, path, link).unwrap(),
            None => tar.append_data(&mut header, path, bytes).unwrap(),
        }
    };
    for (folder, mode) in [("bin/", 0o755), ("tmp/", 0o1777), ("etc/", 0o755), ("root/", 0o700)] {
        add(folder, tar::EntryType::Directory, mode, None, &[]);
    }
    add("bin/busybox", tar::EntryType::Regular, 0o755, None, &busybox);
    for applet in String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|applet| *applet != "busybox")
    {
        add(
            &format!("bin/{applet}"),
            tar::EntryType::Symlink,
            0o777,
            Some("busybox"),
            &[],
        );
    }
    let users = b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n";
    add("etc/passwd", tar::EntryType::Regular, 0o644, None, users);
    add(
        "etc/group",
        tar::EntryType::Regular,
        0o644,
        None,
        b"root:x:0:\nuser:x:1000:\n",
    );
    let bytes = tar.into_inner().unwrap();
    let (repo, tag) = IMAGE.rsplit_once(':').unwrap();
    let options = query::CreateImageOptions {
        from_src: Some("-".to_owned()),
        repo: Some(repo.to_owned()),
        tag: Some(tag.to_owned()),
        changes: vec!["ENV PATH=/bin".to_owned(), "CMD [\"sh\"]".to_owned()],
        ..query::CreateImageOptions::default()
    };
    let mut stream = raw.create_image(Some(options), Some(bollard::body_full(bytes.into())), None);
    while let Some(line) = stream.next().await {
        line.unwrap();
    }
}

/// Removes whatever carries the controller's name or labels, even where the test failed.
async fn clean(raw: &Docker, controller: &str) {
    let filters = [
        ("name", format!("ec-{controller}-")),
        ("label", format!("encamp.controller={controller}")),
        ("label", format!("encamp-docker-it={controller}")),
    ];
    for (kind, value) in filters {
        let filters = Some(HashMap::from([(kind.to_owned(), vec![value])]));
        let options = query::ListContainersOptions {
            all: true,
            filters: filters.clone(),
            ..Default::default()
        };
        for container in raw.list_containers(Some(options)).await.unwrap_or_default() {
            let options = query::RemoveContainerOptions {
                force: true,
                v: true,
                link: false,
            };
            let _ = raw
                .remove_container(container.id.as_deref().unwrap_or(""), Some(options))
                .await;
        }
        let options = query::ListNetworksOptions {
            filters: filters.clone(),
        };
        for network in raw.list_networks(Some(options)).await.unwrap_or_default() {
            let _ = raw.remove_network(network.id.as_deref().unwrap_or("")).await;
        }
        let options = query::ListVolumesOptions {
            filters: filters.clone(),
        };
        let volumes = raw
            .list_volumes(Some(options))
            .await
            .ok()
            .and_then(|listed| listed.volumes);
        for volume in volumes.unwrap_or_default() {
            let _ = raw
                .remove_volume(&volume.name, None::<query::RemoveVolumeOptions>)
                .await;
        }
        if kind == "label" {
            let options = query::ListImagesOptions {
                filters,
                ..Default::default()
            };
            for image in raw.list_images(Some(options)).await.unwrap_or_default() {
                for tag in &image.repo_tags {
                    let _ = raw.remove_image(tag, None::<query::RemoveImageOptions>, None).await;
                }
            }
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let (raw, controller) = (self.raw.clone(), self.controller.to_string());
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(clean(&raw, &controller));
        });
        let _ = cleaning.join();
    }
}

/// So that a test can make an image of its own with other labels.
pub(crate) fn labelled(labels: Labels) -> ContainerConfig {
    ContainerConfig {
        labels: Some(labels.into_iter().collect()),
        ..ContainerConfig::default()
    }
}
