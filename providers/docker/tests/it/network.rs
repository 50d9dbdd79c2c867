//! Names, ports and addresses.

use std::time::Duration;

use encamp_core::{Dial, ErrorKind, Exec, Exit, Name, Opened, PortSpec, Publish, Verb};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bed::{Bed, cx, finish};

async fn request_in(bed: &Bed, net: &Opened, name: &str, alias: &str, command: &str) -> encamp_core::Create {
    let mut request = bed.request(name, json!({ "command": command })).await;
    request.scope.insert("net".into(), net.clone());
    request.aliases = vec![Name::new(alias).unwrap()];
    request
}

const SERVE: &str = "mkdir /w; echo served > /w/index.html; exec httpd -f -p 8080 -h /w";

#[tokio::test]
async fn machines_find_each_other_by_name_and_alias() {
    let bed = Bed::new().await;
    let net = bed.open("net", json!({ "subnet": null })).await.unwrap();
    bed.run(request_in(&bed, &net, "web-0", "web", SERVE).await).await;
    let client = bed
        .run(request_in(&bed, &net, "client", "others", "sleep 1000").await)
        .await;
    for url in ["web-0:8080", "web:8080"] {
        let line = format!("for i in $(seq 150); do wget -qO- http://{url}/ && exit; sleep 0.2; done; exit 1");
        assert_eq!(bed.sh(&client, &line).await.0, "served\n", "{url}");
    }
    // It resolves itself.
    assert_eq!(
        bed.sh(&client, "hostname; nslookup client >/dev/null").await,
        ("client\n".into(), String::new(), Exit::Code(0))
    );
}

#[tokio::test]
async fn a_free_port_can_be_dialled_from_here() {
    let bed = Bed::new().await;
    let net = bed.open("net", json!({ "subnet": null })).await.unwrap();
    let mut request = request_in(&bed, &net, "web", "w", SERVE).await;
    let mut inside = PortSpec::new(Name::new("inside").unwrap(), 8081);
    inside.publish = Publish::Inside;
    request.ports = vec![PortSpec::new(Name::new("http").unwrap(), 8080), inside];
    let target = bed.run(request).await;
    let seen = bed.provider.inspect(&cx(), target.clone()).await.unwrap();
    assert_eq!(seen.ports.len(), 1);
    let port = &seen.ports[0];
    assert_eq!((port.port, port.host.as_str()), (8080, "127.0.0.1"));
    let mut answer = String::new();
    for _ in 0..300 {
        if let Ok(mut stream) = TcpStream::connect((port.host.as_str(), port.host_port)).await {
            // The engine takes connections before anything listens inside, and breaks them off.
            let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.is_ok();
            if asked && stream.read_to_string(&mut answer).await.is_ok() && !answer.is_empty() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(answer.ends_with("served\n"), "{answer}");
    // By its own address: what listens answers, what does not is refused although the port was declared.
    let mut stream = bed.provider.dial(&cx(), Dial::new(target.clone(), 8080)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("served\n"), "{answer}");
    let refused = bed
        .provider
        .dial(&cx(), Dial::new(target.clone(), 8081))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let mut elsewhere = Dial::new(target, 80);
    elsewhere.host = Some("example.org".into());
    let refused = bed.provider.dial(&cx(), elsewhere).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_taken_port_is_named_and_leaves_nothing() {
    let bed = Bed::new().await;
    let net = bed.open("net", json!({ "subnet": null })).await.unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let number = taken.local_addr().unwrap().port();
    let mut request = request_in(&bed, &net, "web", "w", "sleep 1000").await;
    let mut port = PortSpec::new(Name::new("http").unwrap(), 80);
    port.publish = Publish::Fixed(number);
    request.ports = vec![port];
    let created = bed.create(request).await.unwrap();
    let error = bed.start("web", &created.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert!(error.message().contains(&number.to_string()), "{error}");
    assert_eq!(
        bed.destroy(&bed.target("web", None)).await.unwrap(),
        encamp_core::Removal::Gone
    );
}

#[tokio::test]
async fn a_peer_in_another_network_is_not_found() {
    let bed = Bed::new().await;
    let net = bed.open("net", json!({ "subnet": "10.213.77.0/24" })).await.unwrap();
    bed.run(request_in(&bed, &net, "web", "w", "sleep 1000").await).await;
    let alone = bed.sleeper("alone").await;
    let lookup = bed.exec(Exec::new(alone, ["nslookup", "web"])).await;
    assert_ne!(finish(lookup).await.2, Exit::Code(0));
    let seen = bed.provider.inspect(&cx(), bed.target("web", None)).await.unwrap();
    assert!(seen.addrs[0].host.starts_with("10.213.77."), "{seen:?}");
    assert!(!bed.provider.capabilities().offers(Verb::Listen));
}
