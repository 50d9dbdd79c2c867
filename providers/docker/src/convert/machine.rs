//! A frozen request as the engine takes it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, Mount, MountType, MountVolumeOptions,
    NetworkingConfig, PortBinding, PortMap, ResourcesUlimits,
};
use encamp_core::{Create, Error, ErrorKind, PortSpec, Protocol, Publish, Result, Value, fill_late};

use super::{Body, GRACE_LABEL, NETWORK_ITEM, REQUEST_LABEL, request_hash};
use crate::table::{self, HealthCheck, Span, Table, Volume, VolumeSource};

/// The most processes of a hardened machine that says nothing else.
const HARDENED_PIDS: i64 = 1024;

/// Whether and where ports can be published so that the controller dials them.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    /// The engine's host is this one.
    pub(crate) local: bool,
    /// The name of the engine's host, where its address says it.
    pub(crate) host: Option<String>,
    /// The engine sees the folders of this host.
    pub(crate) shares_files: bool,
    /// The address of the engine's host.
    pub(crate) publish_address: IpAddr,
}

impl Reach {
    /// Whether the controller can dial what is published: not where that is the loopback of another host.
    pub(crate) fn publishes(&self) -> bool {
        self.local || !self.publish_address.is_loopback()
    }

    /// Where the controller dials a port that is bound to an address of the engine's host.
    pub(crate) fn dialled(&self, bound: &str) -> Option<String> {
        let address = match bound {
            "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            bound => bound.parse::<IpAddr>().ok()?,
        };
        match (self.local, address) {
            (true, address) if !address.is_unspecified() => Some(address.to_string()),
            (true, IpAddr::V4(_)) => Some(Ipv4Addr::LOCALHOST.to_string()),
            (true, IpAddr::V6(_)) => Some(Ipv6Addr::LOCALHOST.to_string()),
            (false, address) if address.is_unspecified() => self.host.clone(),
            (false, address) => Some(address.to_string()).filter(|_| !address.is_loopback()),
        }
    }
}

/// The request for one container.
pub(crate) fn container(create: &Create, reach: &Reach) -> Result<ContainerCreateBody> {
    let body = Body::read(&create.body)?;
    let mut filled = body.table;
    let missing = fill_late(&mut filled, &create.late);
    if let Some(pointer) = missing.first() {
        return Err(Error::new(ErrorKind::Invalid, "a late value was not given").with("place", pointer));
    }
    let table = table::read(&filled)?;
    let image = body.image_id.ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            "the candidate was not prepared: its image is not resolved",
        )
    })?;
    let mut labels: HashMap<_, _> = create.stamp.labels.clone().into_iter().collect();
    labels.insert(REQUEST_LABEL.to_owned(), request_hash(create)?);
    // Written even where there is none, because an image that was made of a machine hands its labels on.
    let grace = table.stop_grace.map(|grace| grace.to_string()).unwrap_or_default();
    labels.insert(GRACE_LABEL.to_owned(), grace);
    if let Some(port) = create.ports.iter().find(|port| is_out_of_reach(port, reach)) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("port `{}` would be published on {} of another host, where nothing here can dial it", port.name, reach.publish_address),
        )
        .next_step("say in the settings of this provider on which address ports are published: `publish_address = \"…\"`; or drop `publish`"));
    }
    let exposed = create.ports.iter().map(port_key).collect::<Vec<_>>();
    Ok(ContainerCreateBody {
        hostname: Some(table.hostname.clone().unwrap_or_else(|| create.name.to_string())),
        user: table.user.clone(),
        exposed_ports: (!exposed.is_empty()).then_some(exposed),
        env: Some(
            create
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        cmd: table.command.as_ref().map(table::Line::to_argv),
        entrypoint: table.entrypoint.as_ref().map(table::Line::to_argv),
        image: Some(image),
        working_dir: table.workdir.clone(),
        labels: Some(labels),
        healthcheck: table.healthcheck.as_ref().map(health_config),
        stop_signal: table.stop_signal.clone(),
        stop_timeout: table.stop_grace.map(|grace| signed(grace.seconds_up())),
        host_config: Some(host_config(create, &table, reach)?),
        networking_config: network_of(create).map(|network| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network, endpoint(create))])),
        }),
        ..ContainerCreateBody::default()
    })
}

fn host_config(create: &Create, table: &Table, reach: &Reach) -> Result<HostConfig> {
    let of_table = table.volumes.iter().map(|volume| mount(create, volume));
    let of_engine = create.mounts.iter().map(|folder| of_controller(folder, reach));
    let mounts = of_table.chain(of_engine).collect::<Result<Vec<_>>>()?;
    let mut cap_drop = table.cap_drop.clone();
    if table.hardened && !cap_drop.iter().any(|cap| cap == "ALL") {
        cap_drop.push("ALL".to_owned());
    }
    let pids = table.pids.map(i64::from).or(table.hardened.then_some(HARDENED_PIDS));
    Ok(HostConfig {
        memory: table.memory.map(|size| signed(size.0)),
        shm_size: table.shm_size.map(|size| signed(size.0)),
        nano_cpus: table.cpus.map(nano),
        pids_limit: pids,
        ulimits: some_list(table.ulimits.iter().map(|(name, limit)| ResourcesUlimits {
            name: Some(name.clone()),
            soft: Some(limit.soft),
            hard: Some(limit.hard),
        })),
        init: table.init,
        cap_add: some_list(table.cap_add.iter().cloned()),
        cap_drop: some_list(cap_drop),
        security_opt: table.hardened.then(|| vec!["no-new-privileges".to_owned()]),
        sysctls: (!table.sysctls.is_empty()).then(|| table.sysctls.clone().into_iter().collect()),
        readonly_rootfs: table.hardened.then_some(true),
        tmpfs: Some(tmpfs_of(table)).filter(|folders| !folders.is_empty()),
        mounts: some_list(mounts),
        network_mode: network_of(create),
        port_bindings: port_bindings(&create.ports, reach),
        ..HostConfig::default()
    })
}

fn health_config(check: &HealthCheck) -> HealthConfig {
    let nanos = |span: Option<Span>| span.map(|span| i64::try_from(span.0.as_nanos()).unwrap_or(i64::MAX));
    HealthConfig {
        test: Some(check.to_argv()),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        retries: check.retries.map(i64::from),
        start_period: nanos(check.start_period),
        ..HealthConfig::default()
    }
}

/// Folders in memory: those of the table, and of a hardened machine those that programs expect to write to.
fn tmpfs_of(table: &Table) -> HashMap<String, String> {
    let mut folders: HashMap<_, _> = table.tmpfs.iter().map(|folder| tmpfs(folder)).collect();
    if table.hardened {
        for folder in ["/tmp", "/run"] {
            if table.volumes.iter().all(|volume| volume.path != folder) {
                folders.entry(folder.to_owned()).or_default();
            }
        }
    }
    folders
}

fn some_list<T>(items: impl IntoIterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<_> = items.into_iter().collect();
    (!items.is_empty()).then_some(items)
}

/// The engine's numbers are signed; none of ours comes near the edge.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the table was checked: finite and more than 0"
)]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

/// `/run:size=64m` → `/run`, `size=64m`.
fn tmpfs(folder: &str) -> (String, String) {
    let (path, options) = folder.split_once(':').unwrap_or((folder, ""));
    (path.to_owned(), options.to_owned())
}

/// The network by its id: a second network of the same name would make the name ambiguous.
fn network_of(create: &Create) -> Option<String> {
    create.scope.get(NETWORK_ITEM).map(|opened| opened.id.clone())
}

fn endpoint(create: &Create) -> EndpointSettings {
    let names = std::iter::once(&create.name).chain(&create.aliases);
    EndpointSettings {
        aliases: Some(names.map(ToString::to_string).collect()),
        ..EndpointSettings::default()
    }
}

fn mount(create: &Create, volume: &Volume) -> Result<Mount> {
    let (typ, source, volume_options) = match &volume.source {
        VolumeSource::Bind(folder) => (MountType::BIND, folder.clone(), None),
        VolumeSource::Named { name, .. } => {
            let opened = volume.scope_name().and_then(|item| create.scope.get(&item));
            let opened = opened.ok_or_else(|| {
                Error::new(
                    ErrorKind::Invalid,
                    format!("the volume `{name}` is not open in this scope"),
                )
            })?;
            let name = opened.data.get("volume").and_then(Value::as_str).unwrap_or(&opened.id);
            let labels = opened.data.get("labels").cloned().map(serde_json::from_value);
            let labels = labels.and_then(std::result::Result::ok);
            let options = MountVolumeOptions {
                labels,
                ..MountVolumeOptions::default()
            };
            (MountType::VOLUME, name.to_owned(), Some(options))
        }
    };
    Ok(Mount {
        typ: Some(typ),
        source: Some(source),
        target: Some(volume.path.clone()),
        read_only: Some(volume.read_only),
        volume_options,
        ..Mount::default()
    })
}

/// The settings have no say in these: they are the caller's own, and no file asks for them.
fn of_controller(folder: &encamp_core::Mount, reach: &Reach) -> Result<Mount> {
    let invalid = |why| {
        let error = Error::new(ErrorKind::Invalid, why);
        error.with("folder", folder.from.display()).with("at", &folder.to)
    };
    if !reach.shares_files {
        return Err(invalid("the engine does not see the folders of this host"));
    }
    let source = folder.from.to_str().filter(|_| folder.from.is_absolute());
    let source = source.ok_or_else(|| invalid("a folder to mount must be an absolute path in Unicode"))?;
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_owned()),
        target: Some(folder.to.clone()),
        read_only: Some(folder.read_only),
        ..Mount::default()
    })
}

fn port_key(port: &PortSpec) -> String {
    format!("{}/{}", port.port, port.protocol.as_str())
}

/// A port that was asked for by its number, and could be dialled by nobody here.
fn is_out_of_reach(port: &PortSpec, reach: &Reach) -> bool {
    port.protocol == Protocol::Tcp && matches!(port.publish, Publish::Fixed(_)) && !reach.publishes()
}

/// Free ports are for the controller, so they make sense only where it can dial them.
fn port_bindings(ports: &[PortSpec], reach: &Reach) -> Option<PortMap> {
    let mut bindings = PortMap::new();
    for port in ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
        let host_port = match port.publish {
            Publish::Free if reach.publishes() => String::new(),
            Publish::Fixed(number) => number.to_string(),
            Publish::Free | Publish::Inside => continue,
        };
        let binding = PortBinding {
            host_ip: Some(reach.publish_address.to_string()),
            host_port: Some(host_port),
        };
        bindings
            .entry(port_key(port))
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    (!bindings.is_empty()).then_some(bindings)
}

#[cfg(test)]
mod tests {
    use encamp_core::{Key, Labels, Name, Opened, Site, Stamp, Token, late_marker};
    use serde_json::json;

    use super::*;

    const LOCAL: Reach = Reach {
        local: true,
        host: None,
        shares_files: true,
        publish_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };

    fn create(table: &Value) -> Create {
        let labels = Labels::from([("encamp.machine".to_owned(), "db".to_owned())]);
        let stamp = Stamp::new(Key::new("ec-x"), Token::new("t"), labels);
        let body = json!({ "table": table, "image_id": "sha256:aa" });
        Create::new(stamp, Site::new("docker:x"), body, Name::new("db").unwrap())
    }

    #[test]
    fn a_machine_is_its_name_on_its_network() {
        let mut create = create(&json!({ "image": "a" }));
        create.aliases = vec![Name::new("web").unwrap()];
        create.env.insert("A".into(), "b=c".into());
        create
            .scope
            .insert("net".into(), Opened::new("n1", json!({ "network": "ec-net" })));
        let body = container(&create, &LOCAL).unwrap();
        assert_eq!(body.hostname.as_deref(), Some("db"));
        assert_eq!(body.image.as_deref(), Some("sha256:aa"));
        assert_eq!(body.env, Some(vec!["A=b=c".to_owned()]));
        assert_eq!(body.host_config.unwrap().network_mode.as_deref(), Some("n1"));
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(endpoints["n1"].aliases, Some(vec!["db".to_owned(), "web".to_owned()]));
        let labels = body.labels.unwrap();
        assert_eq!(labels["encamp.machine"], "db");
        assert_eq!(labels[REQUEST_LABEL].len(), 64);
        assert_eq!(labels[GRACE_LABEL], "");
    }

    #[test]
    fn ports_are_published_where_the_controller_can_dial_them() {
        let port = |name: &str, number, publish, protocol| {
            let mut port = PortSpec::new(Name::new(name).unwrap(), number);
            port.publish = publish;
            port.protocol = protocol;
            port
        };
        let ports = [
            port("a", 80, Publish::Free, Protocol::Tcp),
            port("b", 81, Publish::Fixed(8081), Protocol::Tcp),
            port("c", 82, Publish::Inside, Protocol::Tcp),
            port("d", 83, Publish::Free, Protocol::Udp),
        ];
        let bindings = port_bindings(&ports, &LOCAL).unwrap();
        let mut keys: Vec<_> = bindings.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["80/tcp", "81/tcp"]);
        let free = &bindings["80/tcp"].as_ref().unwrap()[0];
        assert_eq!(free.host_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(free.host_port.as_deref(), Some(""));
    }

    #[test]
    fn of_another_host_only_what_can_be_dialled_is_published() {
        let far = Reach {
            local: false,
            host: Some("lab".into()),
            ..LOCAL
        };
        let mut create = create(&json!({ "image": "a" }));
        create.ports = vec![PortSpec::new(Name::new("a").unwrap(), 80)];
        let bindings = |create: &Create, reach: &Reach| {
            let body = container(create, reach).unwrap();
            body.host_config.unwrap().port_bindings.unwrap_or_default()
        };
        assert!(bindings(&create, &far).is_empty());
        let open = Reach {
            publish_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            ..far.clone()
        };
        assert_eq!(bindings(&create, &open).len(), 1);
        create.ports[0].publish = Publish::Fixed(8080);
        let error = container(&create, &far).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.hint().unwrap().contains("publish_address"));
        assert_eq!(bindings(&create, &open).len(), 1);

        let dialled = [
            ("0.0.0.0", Some("lab")),
            ("127.0.0.1", None),
            ("10.0.0.5", Some("10.0.0.5")),
            ("", Some("lab")),
        ];
        for (bound, host) in dialled {
            assert_eq!(far.dialled(bound).as_deref(), host, "{bound}");
        }
        for (bound, host) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "::1"),
            ("", "127.0.0.1"),
            ("10.0.0.5", "10.0.0.5"),
        ] {
            assert_eq!(LOCAL.dialled(bound).as_deref(), Some(host), "{bound}");
        }
    }

    #[test]
    fn late_leaves_must_be_there() {
        let mut create = create(&json!({ "image": "a", "command": ["x", late_marker("m")] }));
        assert_eq!(container(&create, &LOCAL).unwrap_err().kind(), ErrorKind::Invalid);
        create.late.insert("/command/1".into(), json!(["y", "z"]));
        let body = container(&create, &LOCAL).unwrap();
        assert_eq!(body.cmd, Some(vec!["x".to_owned(), "y".to_owned(), "z".to_owned()]));
    }

    #[test]
    fn limits_and_mounts_are_mapped() {
        let mut create = create(&json!({
            "image": "a", "memory": "64MiB", "cpus": 0.5, "pids": 8, "init": true, "hardened": true,
            "stop_grace": "1500ms", "tmpfs": ["/run:size=1m", "/t"], "ulimits": { "nofile": 9 },
            "volumes": ["data:/d:ro"], "entrypoint": "run", "sysctls": { "net.core.somaxconn": "9" },
        }));
        assert_eq!(container(&create, &LOCAL).unwrap_err().kind(), ErrorKind::Invalid);
        create
            .scope
            .insert("vol-data".into(), Opened::new("ec-v", json!({ "volume": "ec-v" })));
        let body = container(&create, &LOCAL).unwrap();
        assert_eq!(body.stop_timeout, Some(2));
        assert_eq!(body.labels.unwrap()[GRACE_LABEL], "1500ms");
        assert_eq!(body.entrypoint.unwrap(), ["sh", "-c", "run"]);
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.memory, host.nano_cpus, host.pids_limit),
            (Some(64 << 20), Some(500_000_000), Some(8))
        );
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        let tmpfs = host.tmpfs.unwrap();
        assert_eq!(
            (tmpfs["/run"].as_str(), tmpfs["/tmp"].as_str(), tmpfs.len()),
            ("size=1m", "", 3)
        );
        assert_eq!(host.readonly_rootfs, Some(true));
        let mount = &host.mounts.unwrap()[0];
        assert_eq!((mount.source.as_deref(), mount.read_only), (Some("ec-v"), Some(true)));
    }

    #[test]
    fn folders_of_the_controller_are_mounted_where_the_engine_sees_them() {
        let mut create = create(&json!({ "image": "a" }));
        create
            .mounts
            .push(encamp_core::Mount::read_only("/run/x", "/run/encamp/secrets"));
        let mounts = container(&create, &LOCAL).unwrap().host_config.unwrap().mounts.unwrap();
        let mount = &mounts[0];
        assert_eq!((mount.typ, mount.read_only), (Some(MountType::BIND), Some(true)));
        assert_eq!(mount.target.as_deref(), Some("/run/encamp/secrets"));
        let far = Reach {
            shares_files: false,
            ..LOCAL
        };
        assert_eq!(container(&create, &far).unwrap_err().kind(), ErrorKind::Invalid);
        create.mounts[0].from = "relative".into();
        assert_eq!(container(&create, &LOCAL).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_health_check_stands_beside_the_images_own() {
        let health = |check: Value| {
            let create = create(&json!({ "image": "a", "healthcheck": check }));
            container(&create, &LOCAL).unwrap().healthcheck.unwrap()
        };
        let whole = health(json!({ "test": "probe", "interval": "1s", "timeout": "500ms", "retries": 2 }));
        assert_eq!(whole.test.unwrap(), ["CMD-SHELL", "probe"]);
        assert_eq!(
            (whole.interval, whole.timeout, whole.retries, whole.start_period),
            (Some(1_000_000_000), Some(500_000_000), Some(2), None)
        );
        assert_eq!(health(json!({ "test": ["a", "b"] })).test.unwrap(), ["CMD", "a", "b"]);
        assert_eq!(health(json!({ "interval": "1s" })).test.unwrap(), Vec::<String>::new());
        let create = create(&json!({ "image": "a" }));
        assert!(container(&create, &LOCAL).unwrap().healthcheck.is_none());
    }

    #[test]
    fn an_unprepared_candidate_is_refused() {
        let mut create = create(&json!({ "image": "a" }));
        create.body["image_id"] = Value::Null;
        assert_eq!(container(&create, &LOCAL).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
