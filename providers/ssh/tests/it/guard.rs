//! Commands of a claim that is over do nothing.

use std::time::Duration;

use encamp_core::{ErrorKind, Exit, Phase, Renew, Ticket, Verb};

use crate::bed::{Bed, cx, finished, lives, now, stamp, target, text, until};

const LONG: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_paused_is_refused_by_the_host() {
    let first = Bed::new(1).await;
    let old = first.request("old", 0, LONG);
    first.create(&old).await.unwrap();
    let paused = target(&old);
    let left = first.host(0).join("left");
    assert_eq!(first.run(&paused, "pwd").await.unwrap().0, Exit::Code(0));
    // What it has started meanwhile, apart from its command.
    let nap = format!("18{}.5", std::process::id());
    first
        .run(&paused, &format!("setsid sleep {nap} >/dev/null 2>&1 &"))
        .await
        .unwrap();
    until(Duration::from_secs(15), "it sleeps", || lives(&nap)).await;
    // Its lease is over, and another takes the host.
    let renew = Renew::new(paused.clone(), now());
    let ticket = Ticket::of_committed_intent(old.stamp.key.clone(), Verb::Renew, 1);
    first.provider.renew(&cx(), &ticket, renew).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let second = first.again().await;
    let new = second.request("new", 0, LONG);
    second.create(&new).await.unwrap();
    assert!(!lives(&nap), "what the one before has started lives on");
    // The first one knows nothing of it, and believes what it saw before.
    let refused = first.run(&paused, &format!("touch {}", left.display())).await;
    let told = match refused {
        Err(error) => format!("{error:?}"),
        Ok((exit, said)) => format!("{exit:?} {said}"),
    };
    assert!(told.contains("claim 2 stands"), "{told}");
    assert!(!left.exists(), "its command ran");
    assert_eq!(
        second.run(&target(&new), "echo mine").await.unwrap(),
        (Exit::Code(0), "mine\n".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_given_back_as_it_was() {
    let bed = Bed::with(1, serde_json::json!({ "reset": "echo was-reset >>\"$0.done\"" })).await;
    let mut request = bed.request("web", 0, LONG);
    request.env.insert("GREETING".to_owned(), "it's me".to_owned());
    bed.create(&request).await.unwrap();
    let machine = target(&request);
    let (exit, said) = bed.run(&machine, "echo \"$GREETING\" | tee mine; pwd").await.unwrap();
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(said, format!("it's me\n{}\n", bed.host(0).join("work").display()));
    let nap = format!("18{}.7", std::process::id());
    // Without the variable it is found by its control group, and without that by its variable.
    bed.run(
        &machine,
        &format!("env -i setsid sleep {nap} >/dev/null 2>&1 & sleep 0.2"),
    )
    .await
    .unwrap();
    let running = bed
        .provider
        .exec(&cx(), encamp_core::Exec::new(machine.clone(), ["sleep", "1000"]))
        .await
        .unwrap();
    bed.destroy(&machine).await.unwrap();
    assert!(!lives(&nap));
    let (exit, _) = finished(running).await.unwrap();
    assert!(!exit.success(), "{exit:?}");
    assert!(!bed.host(0).join("work").exists());
    assert_eq!(text(&bed.host(0).join("reset.done")), "was-reset\n");
    assert!(bed.keys().await.is_empty());
    let observed = bed.provider.inspect(&cx(), machine.clone()).await.unwrap();
    assert_eq!(observed.phase, Phase::Gone);
    assert_eq!(bed.run(&machine, "true").await.unwrap_err().kind(), ErrorKind::NotFound);
    // A request that was under way all the time comes too late.
    let late = bed.create(&request).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict, "{late:?}");
    bed.destroy(&machine).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reset_is_out_of_use() {
    let bed = Bed::with(1, serde_json::json!({ "reset": "echo no such disk; exit 3" })).await;
    let request = bed.request("web", 0, LONG);
    bed.create(&request).await.unwrap();
    bed.destroy(&target(&request)).await.unwrap();
    assert!(bed.keys().await.is_empty());
    let mut next = bed.request("next", 0, LONG);
    next.stamp = stamp("next");
    let error = bed.create(&next).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Capacity);
    let why = error.context().find(|(key, _)| *key == "why").unwrap_or_default().1;
    assert_eq!(why, "its reset exited 3: no such disk", "{error:?}");
    let none = bed.resolve(serde_json::json!({})).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Capacity, "{none:?}");
    std::fs::remove_file(bed.host(0).join("quarantine")).unwrap();
    std::fs::remove_file(bed.host(0).join("reset")).unwrap();
    bed.create(&next).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_control_groups_processes_are_known_by_their_variable() {
    let bed = Bed::without_groups().await;
    let request = bed.request("web", 0, LONG);
    bed.create(&request).await.unwrap();
    let nap = format!("19{}.3", std::process::id());
    let line = format!("[ -z \"$(grep cgroup2 /proc/mounts)\" ] || exit 9; setsid sleep {nap} >/dev/null 2>&1 &");
    let (exit, _) = bed.run(&target(&request), &line).await.unwrap();
    assert_eq!(exit, Exit::Code(0));
    until(Duration::from_secs(15), "it sleeps", || lives(&nap)).await;
    bed.destroy(&target(&request)).await.unwrap();
    assert!(!lives(&nap));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_below_its_own_go_with_a_claim() {
    let bed = Bed::new(1).await;
    let request = bed.request("m", 0, LONG);
    bed.create(&request).await.unwrap();
    let machine = target(&request);
    let nap = format!("18{}.3", std::process::id());
    let line = format!(
        "own=$(grep ^0:: /proc/self/cgroup | cut -d: -f3)
         while read -r _ at type _; do [ \"$type\" != cgroup2 ] || break; done </proc/mounts
         mkdir -p \"$at$own/below/it\" || exit
         env -i sh -c 'echo $$ >\"$0/cgroup.procs\"; exec setsid sleep {nap}' \"$at$own/below/it\" >/dev/null 2>&1 &"
    );
    let (exit, _) = bed.run(&machine, &line).await.unwrap();
    assert_eq!(exit, Exit::Code(0));
    until(Duration::from_secs(15), "it sleeps", || lives(&nap)).await;
    let (_, own) = bed
        .run(&machine, "grep ^0:: /proc/self/cgroup | cut -d: -f3")
        .await
        .unwrap();
    bed.destroy(&machine).await.unwrap();
    assert!(!lives(&nap), "what is below its own group lives on");
    let left = std::fs::read_to_string("/proc/mounts").unwrap();
    let at = left.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let at = at
        .and_then(|line| line.split(' ').nth(1))
        .expect("a tree of control groups");
    assert!(!std::path::Path::new(&format!("{at}{}", own.trim())).exists(), "{own}");
}
