//! What a hardened machine may not do, and what it still may.

use encamp_core::{ErrorKind, Exit, Mount, Resolve};
use serde_json::json;

use crate::bed::{Bed, IMAGE, connect, cx};

#[tokio::test]
async fn a_hardened_machine_writes_to_memory_alone() {
    let bed = Bed::new().await;
    let table = json!({ "command": ["sleep", "1000"], "hardened": true });
    let web = bed.machine("web", table).await;
    let (_, err, exit) = bed.sh(&web, "echo x > /etc/x").await;
    assert!(err.contains("Read-only file system"), "{err}");
    assert_ne!(exit, Exit::Code(0));
    assert_eq!(
        bed.sh(&web, "echo x > /tmp/x && echo y > /run/y && cat /tmp/x /run/y")
            .await
            .0,
        "x\ny\n"
    );
}

#[tokio::test]
async fn a_hardened_machine_has_no_capability_but_those_it_is_given() {
    let bed = Bed::new().await;
    let effective = "sed -n 's/^CapEff:[^0-9a-f]*//p; s/^NoNewPrivs:[^0-9]*//p' /proc/1/status";
    let table = |caps: &[&str]| json!({ "command": ["sleep", "1000"], "hardened": true, "cap_add": caps });
    let none = bed.machine("none", table(&[])).await;
    assert_eq!(bed.sh(&none, effective).await.0, "0000000000000000\n1\n");
    // One of the engine's own default needs no permission; NET_BIND_SERVICE is the tenth bit.
    let one = bed.machine("one", table(&["NET_BIND_SERVICE"])).await;
    assert_eq!(bed.sh(&one, effective).await.0, "0000000000000400\n1\n");
    let plain = bed.sleeper("plain").await;
    assert!(bed.sh(&plain, effective).await.0.ends_with("\n0\n"));
    let refused = bed
        .provider
        .resolve(
            &cx(),
            Resolve::new(json!({ "image": IMAGE, "hardened": true, "cap_add": ["NET_BIND_SERVICE", "SYS_ADMIN"] })),
        )
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthorized);
    assert!(refused.message().contains("SYS_ADMIN"), "{refused}");
    let allowed = connect(json!({ "allow": ["privileges"] })).await.unwrap();
    let table = json!({ "image": IMAGE, "cap_add": ["SYS_ADMIN"] });
    allowed.resolve(&cx(), Resolve::new(table)).await.unwrap();
}

#[tokio::test]
async fn a_hardened_machine_has_a_bound_of_processes() {
    let bed = Bed::new().await;
    let limit = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max";
    for (name, more, said) in [("default", json!({}), "1024\n"), ("own", json!({ "pids": 40 }), "40\n")] {
        let mut table = json!({ "command": ["sleep", "1000"], "hardened": true });
        table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let machine = bed.machine(name, table).await;
        assert_eq!(bed.sh(&machine, limit).await.0, said);
    }
}

/// Where secrets go: below a folder that is memory in a hardened machine.
#[tokio::test]
async fn a_hardened_machine_reads_what_the_engine_mounts() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("TOKEN"), "hidden").unwrap();
    let table = json!({ "command": ["sleep", "1000"], "hardened": true });
    let mut request = bed.request("web", table).await;
    request.mounts = vec![Mount::read_only(folder.path(), "/run/encamp/secrets")];
    let web = bed.run(request.clone()).await;
    let line = "cat /run/encamp/secrets/TOKEN && ! echo x > /run/encamp/secrets/TOKEN";
    assert_eq!(bed.sh(&web, line).await.0, "hidden");
    // The same request once more finds its machine, also when the folder is gone by now; another one is refused.
    folder.close().unwrap();
    assert!(bed.create(request.clone()).await.unwrap().adopted);
    request.stamp = bed.stamp("late");
    request.name = encamp_core::Name::new("late").unwrap();
    assert_eq!(bed.create(request).await.unwrap_err().kind(), ErrorKind::Invalid);
}
