//! Handles and the runtimes around them.

use std::time::Duration;

use encamp::Encamp;
use tokio::runtime::{Builder, Runtime};

use crate::bed::{Bed, ended, pair};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_handle_outlives_the_runtime_that_made_it() {
    let bed = Bed::new(false);
    let (camp, guard): (Encamp, _) = {
        let first = runtime();
        let camp = bed.open();
        let guard = first.block_on(camp.up(pair(&bed.nap))).expect("it is up");
        (camp, guard)
    };
    let output = runtime().block_on(async {
        let machine = guard.machine("web").expect("a machine");
        machine.exec(["cat"]).stdin("said").output().await
    });
    let output = output.expect("it runs");
    assert!(output.exit.success(), "{output}");
    assert_eq!(output.text(), "said");
    drop(camp);
    // Neither in a runtime nor with the object that made it.
    drop(guard);
    bed.is_empty_within(Duration::ZERO);
}

#[test]
fn a_guard_is_dropped_within_a_current_thread_runtime() {
    let bed = Bed::new(false);
    runtime().block_on(async {
        let guard = bed.open().up(pair(&bed.nap)).await.expect("it is up");
        drop(guard);
        bed.is_empty_within(Duration::ZERO);
    });
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed() {
    let bed = Bed::new(false);
    let guard = bed.open().up(pair(&bed.nap)).await.expect("it is up");
    let machine = guard.machine("db").expect("a machine");
    let line = format!("echo begun; exec sleep 17{}", bed.nap);
    let long = machine.exec(["sh", "-c", &line]).timeout(Duration::from_millis(200));
    let error = long.output().await.expect_err("it takes too long");
    assert!(
        encamp::Report(&error).to_string().contains("did not end within 200ms"),
        "{error:?}"
    );
    crate::bed::until(
        crate::bed::WITHIN,
        "the command is gone",
        || bed.at_work().len() == 2,
        String::new,
    );
    let failed = machine
        .exec(["sh", "-c", "echo seen; echo too >&2; exit 3"])
        .output()
        .await
        .expect("it runs");
    assert_eq!(
        failed.to_string(),
        "db: `sh -c echo seen; echo too >&2; exit 3` exited 3\n  seen\n  too"
    );
    let error = failed.checked().expect_err("it did not end well");
    assert!(
        error
            .context()
            .any(|(key, value)| key == "last lines" && value == "seen\ntoo"),
        "{error:?}"
    );
}

/// In a process of its own, whose descriptors and threads are nobody else's.
#[test]
fn handles_cost_nothing_that_stays() {
    let bed = Bed::new(false);
    assert!(ended(&mut bed.child("handles")).success());
    bed.is_empty_within(Duration::ZERO);
}

#[tokio::test]
async fn an_endpoint_is_dialled_from_here() {
    let bed = Bed::new(false);
    let camp = bed.open();
    let serve = "echo -n here >index.html; exec busybox httpd -f -p 127.0.0.1:$ENCAMP_PORT_HTTP";
    let web = encamp::spec::Machine::new("web", "local")
        .table(&encamp::local::Table::command(serve))
        .port("http", 80)
        .ready(encamp::Ready::tcp("http"));
    let guard = camp
        .up(encamp::spec::Environment::new("one").machine(web))
        .await
        .expect("it is up");
    let endpoint = guard.endpoint("web", "http").await.expect("an endpoint");
    let answer = std::process::Command::new("busybox")
        .args(["wget", "-q", "-O", "-", &format!("http://{endpoint}/")])
        .output()
        .expect("busybox is there");
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "here");
    let error = guard.endpoint("web", "https").await.expect_err("there is none");
    assert!(encamp::Report(&error).to_string().contains("http"), "{error:?}");
}
