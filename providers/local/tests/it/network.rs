//! Ports of this host.

use std::net::TcpListener;

use encamp_core::{ErrorKind, Name, Phase, PortSpec, Published};
use libtest_mimic::Trial;
use serde_json::json;

use crate::bed::{Bed, cx, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("network::a_taken_port_is_told_before_anything_starts", taken),
        trial("network::a_declared_port_is_dialled_where_it_is", declared),
    ]
}

fn with_port(mut request: encamp_core::Create, port: u16) -> encamp_core::Create {
    request.ports.push(PortSpec::new(Name::new("http").unwrap(), port));
    request
}

async fn taken() {
    let bed = Bed::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let request = with_port(bed.request("web", json!({})).await, port);
    bed.create(request).await.unwrap();
    let error = bed.start("web").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let address = format!("127.0.0.1:{port}");
    assert!(
        error.context().any(|(key, value)| key == "address" && value == address),
        "{error:?}"
    );
    assert_eq!(bed.phase("web").await, Phase::Held);
    drop(listener);
    bed.start("web").await.unwrap();
    bed.destroy("web").await;
}

async fn declared() {
    let bed = Bed::new().await;
    let request = with_port(bed.request("web", json!({})).await, 7997);
    bed.raise_request(request).await;
    let observed = bed.provider.inspect(&cx(), bed.target("web")).await.unwrap();
    assert_eq!(observed.ports, [Published::new(7997, "127.0.0.1", 7997)]);
    assert!(observed.addrs.iter().all(|addr| addr.host == "127.0.0.1"));
    bed.destroy("web").await;
}
