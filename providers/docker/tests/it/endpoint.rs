//! The ways to a daemon: TLS, plain TCP, contexts; before the real daemon stands a proxy that speaks as a far one would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Ambient, Check, CopyIn, ErrorKind, Exec, Exit, Name, PortSpec, Publish, Resolve, Verb};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::bed::{Bed, IMAGE, connect, connect_in, cx, finish};

const SOCKET: &str = "/var/run/docker.sock";

/// `ca.pem`, `cert.pem` and `key.pem` of a client, `server.pem` and `server-key.pem` of a server.
struct Certificates(TempDir);

fn openssl(folder: &Path, arguments: &str) {
    let command = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .expect("openssl is there: apt-get install -y openssl");
    assert!(
        command.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&command.stderr)
    );
}

impl Certificates {
    /// A server certificate for `names`, `IP:127.0.0.1,DNS:localhost`.
    fn of(names: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let at = folder.path();
        std::fs::write(at.join("ext"), format!("subjectAltName={names}\n")).unwrap();
        openssl(
            at,
            &format!("req -x509 {new_key} -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=ca"),
        );
        for (cert, key) in [("server.pem", "server-key.pem"), ("cert.pem", "key.pem")] {
            openssl(at, &format!("req {new_key} -keyout {key} -out request -subj /CN=one"));
            openssl(
                at,
                &format!(
                    "x509 -req -in request -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out {cert} -days 2 -extfile ext"
                ),
            );
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn acceptor(&self) -> TlsAcceptor {
        let chain = |name| {
            CertificateDer::pem_file_iter(self.file(name))
                .unwrap()
                .map(Result::unwrap)
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(chain("ca.pem"));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                chain("server.pem").collect(),
                PrivateKeyDer::from_pem_file(self.file("server-key.pem")).unwrap(),
            );
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// A listener that hands every connection on to the daemon; it ends with the test.
struct Proxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    async fn plain(address: &str) -> Self {
        Self::start(address, None).await
    }

    async fn secure(certificates: &Certificates) -> Self {
        Self::start("127.0.0.1", Some(certificates.acceptor())).await
    }

    async fn start(address: &str, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut daemon = UnixStream::connect(SOCKET).await.unwrap();
                    match acceptor {
                        None => drop(copy_bidirectional(&mut stream, &mut daemon).await),
                        Some(acceptor) => {
                            if let Ok(mut stream) = acceptor.accept(stream).await {
                                drop(copy_bidirectional(&mut stream, &mut daemon).await);
                            }
                        }
                    }
                });
            }
        });
        Self { address, task }
    }

    fn host(&self) -> String {
        format!("tcp://{}", self.address)
    }

    fn settings(&self, certificates: &Certificates) -> Value {
        json!({
            "host": self.host(),
            "tls": {
                "ca": certificates.file("ca.pem"),
                "cert": certificates.file("cert.pem"),
                "key": certificates.file("key.pem"),
            },
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ambient(variables: &[(&str, &str)], home: Option<&Path>) -> Ambient {
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Ambient::new(variables, home.map(Path::to_owned))
}

#[tokio::test]
async fn machines_live_behind_tls() {
    let certificates = Certificates::of("IP:127.0.0.1,DNS:localhost");
    let proxy = Proxy::secure(&certificates).await;
    let bed = Bed::with(proxy.settings(&certificates)).await;
    let direct = Bed::new().await;
    assert_eq!(
        bed.provider.site(),
        direct.provider.site(),
        "the way makes no other engine of it"
    );
    assert!(
        !bed.provider.capabilities().mounts,
        "what answers over TCP sees no folders"
    );
    let web = bed.sleeper("web").await;
    // Input, output and their ends go over an upgraded connection.
    let mut exec = Exec::new(web.clone(), ["sh", "-c", "cat; echo end >&2; exit 3"]);
    exec.stdin = true;
    let mut process = bed.exec(exec).await;
    let mut stdin = process.stdin.take().unwrap();
    let sent = "0123456789".repeat(20_000);
    let writing = async {
        stdin.write_all(sent.as_bytes()).await.unwrap();
        stdin.shutdown().await.unwrap();
    };
    let ((), (out, err, exit)) = tokio::join!(writing, finish(process));
    assert_eq!((out.len(), err.as_str(), exit), (sent.len(), "end\n", Exit::Code(3)));
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    tar.append_data(&mut header, "file", &b"in\n"[..]).unwrap();
    let bytes = std::io::Cursor::new(tar.into_inner().unwrap());
    bed.provider
        .copy_in(&cx(), CopyIn::new(web.clone(), "/tmp"), Box::pin(bytes))
        .await
        .unwrap();
    assert_eq!(bed.sh(&web, "cat /tmp/file").await.0, "in\n");
}

#[tokio::test]
async fn variables_and_contexts_lead_through_tls() {
    let certificates = Certificates::of("IP:127.0.0.1");
    let proxy = Proxy::secure(&certificates).await;
    let folder = certificates.0.path().to_str().unwrap();
    let host = proxy.host();
    let variables = [
        ("DOCKER_HOST", host.as_str()),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", folder),
    ];
    connect_in(json!({}), ambient(&variables, None)).await.unwrap();

    let home = tempfile::tempdir().unwrap();
    // A context's folders are named after the hash of its name.
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(b"lab"));
    let contexts = home.path().join(".docker/contexts");
    let meta = contexts.join("meta").join(&digest);
    let tls = contexts.join("tls").join(&digest).join("docker");
    std::fs::create_dir_all(&meta).unwrap();
    std::fs::create_dir_all(&tls).unwrap();
    let body = json!({ "Name": "lab", "Endpoints": { "docker": { "Host": host, "SkipTLSVerify": false } } });
    std::fs::write(meta.join("meta.json"), body.to_string()).unwrap();
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(certificates.file(file), tls.join(file)).unwrap();
    }
    let of_home = |variables: &[(&str, &str)]| ambient(variables, Some(home.path()));
    connect_in(json!({}), of_home(&[("DOCKER_CONTEXT", "lab")]))
        .await
        .unwrap();
    connect_in(json!({ "context": "lab" }), of_home(&[])).await.unwrap();
    std::fs::write(home.path().join(".docker/config.json"), r#"{"currentContext":"lab"}"#).unwrap();
    connect_in(json!({}), of_home(&[])).await.unwrap();
    // The proof that it was the context: without its certificate the proxy takes nobody.
    std::fs::remove_file(tls.join("cert.pem")).unwrap();
    std::fs::remove_file(tls.join("key.pem")).unwrap();
    let error = connect_in(json!({}), of_home(&[])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let origin = error.context().find(|(key, _)| *key == "chosen by").unwrap().1;
    assert!(origin.contains("`lab`") && origin.contains("config.json"), "{error:?}");
}

#[tokio::test]
async fn who_cannot_prove_its_name_is_not_spoken_to() {
    let certificates = Certificates::of("IP:127.0.0.1");
    let strangers = Certificates::of("IP:127.0.0.1");
    let proxy = Proxy::secure(&certificates).await;
    let mut settings = proxy.settings(&certificates);
    settings["tls"]["ca"] = json!(strangers.file("ca.pem"));
    let error = connect(settings.clone()).await.unwrap_err();
    let chain = encamp_core::Report(&error).to_string();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        chain.contains("certificate") && chain.contains(&proxy.host()),
        "{chain}"
    );
    assert!(
        error
            .context()
            .any(|(key, value)| key == "chosen by" && value.contains("settings")),
        "{error:?}"
    );
    settings["tls"]["verify"] = json!(false);
    connect(settings).await.unwrap();

    let elsewhere = Certificates::of("DNS:elsewhere");
    let proxy = Proxy::secure(&elsewhere).await;
    let error = connect(proxy.settings(&elsewhere)).await.unwrap_err();
    let chain = encamp_core::Report(&error).to_string();
    assert!(chain.contains("not valid for name"), "{chain}");
}

#[tokio::test]
async fn a_connection_without_tls_to_tls_says_so() {
    let certificates = Certificates::of("IP:127.0.0.1");
    let proxy = Proxy::secure(&certificates).await;
    let error = connect(json!({ "host": proxy.host() })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let mut half = proxy.settings(&certificates);
    half["tls"]["key"] = Value::Null;
    assert_eq!(connect(half).await.unwrap_err().kind(), ErrorKind::Invalid);
    let mut absent = proxy.settings(&certificates);
    absent["tls"]["ca"] = json!("/nowhere/ca.pem");
    let error = connect(absent).await.unwrap_err();
    assert!(error.message().contains("/nowhere/ca.pem"), "{error:?}");
}

const SERVE: &str = "mkdir /w; echo served > /w/index.html; exec httpd -f -p 8080 -h /w";

async fn fetched(host: &str, port: u16) -> String {
    for _ in 0..300 {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect((host, port)).await {
            // The engine takes connections before anything listens inside, and breaks them off.
            let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.is_ok();
            if asked && stream.read_to_string(&mut answer).await.is_ok() && !answer.is_empty() {
                return answer;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing answers at {host}:{port}");
}

#[tokio::test]
async fn a_plain_address_of_this_host_publishes_on_its_loopback() {
    let proxy = Proxy::plain("127.0.0.1").await;
    let host = proxy.host();
    let provider = connect_in(json!({}), ambient(&[("DOCKER_HOST", &host)], None))
        .await
        .unwrap();
    let bed = Bed::around(provider).await;
    let mut request = bed.request("web", json!({ "command": SERVE })).await;
    request.ports = vec![PortSpec::new(Name::new("http").unwrap(), 8080)];
    let web = bed.run(request).await;
    let seen = bed.provider.inspect(&cx(), web).await.unwrap();
    let published = &seen.ports[0];
    assert_eq!(published.host, "127.0.0.1");
    assert!(fetched(&published.host, published.host_port).await.contains("served"));
}

/// The daemon by an address that is no loopback is one of another host, as far as anybody can tell.
#[tokio::test]
async fn of_a_daemon_elsewhere_only_what_can_be_dialled_is_an_endpoint() {
    let here = Bed::new().await;
    // The daemon's own network does not always say which address it has here.
    let opened = here.open("net", json!({ "subnet": null })).await.unwrap();
    let inspecting = here
        .raw
        .inspect_network(&opened.id, None::<bollard::query_parameters::InspectNetworkOptions>);
    let ipam = inspecting.await.unwrap().ipam.unwrap();
    let address = ipam.config.unwrap().remove(0).gateway.unwrap();
    let proxy = Proxy::plain(&address).await;
    let far = connect(json!({ "host": proxy.host() })).await.unwrap();
    assert!(!far.capabilities().mounts && !far.capabilities().offers(Verb::Dial));
    assert!(far.capabilities().scope_names);
    let findings = far.check(&cx(), Check::new()).await.unwrap();
    assert!(
        findings
            .iter()
            .any(|finding| finding.help.as_deref().unwrap_or("").contains("publish_address")),
        "{findings:?}"
    );
    let table = json!({ "image": IMAGE, "command": SERVE });
    let candidate = far.resolve(&cx(), Resolve::new(table)).await.unwrap().remove(0);
    assert!(
        candidate
            .summary
            .iter()
            .any(|(key, said)| key == "ports" && said.contains("another host")),
        "{:?}",
        candidate.summary
    );
    let bed = Bed::around(far).await;
    let mut request = bed.request("web", json!({ "command": SERVE })).await;
    request.ports = vec![PortSpec::new(Name::new("http").unwrap(), 8080)];
    let web = bed.run(request.clone()).await;
    assert_eq!(bed.provider.inspect(&cx(), web).await.unwrap().ports, []);
    request.ports[0].publish = Publish::Fixed(1);
    request.stamp = bed.stamp("fixed");
    request.name = Name::new("fixed").unwrap();
    let error = bed.create(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);

    let open = json!({ "host": proxy.host(), "publish_address": address });
    let bed = Bed::with(open).await;
    let mut request = bed.request("web", json!({ "command": SERVE })).await;
    request.ports = vec![PortSpec::new(Name::new("http").unwrap(), 8080)];
    let web = bed.run(request).await;
    let seen = bed.provider.inspect(&cx(), web).await.unwrap();
    assert_eq!(seen.ports[0].host, address);
    assert!(fetched(&address, seen.ports[0].host_port).await.contains("served"));
}
