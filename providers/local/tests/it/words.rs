//! What a machine's command says is kept, and can be read.

use std::io::Write;
use std::time::Duration;

use encamp_core::{BoxRead, Logs, Phase};
use libtest_mimic::Trial;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::bed::{Bed, cx, is_root, text, trial, until};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("words::all_of_them_or_the_last_are_read", read),
        trial("words::what_a_crash_tore_hides_nothing", torn),
        trial("words::nobody_follows_for_a_reader_that_is_gone", followed),
        trial("words::a_machine_that_cannot_be_looked_at_ends_no_words", unseen),
    ];
    if is_root() {
        trials.push(trial("words::what_found_no_room_hides_nothing", full));
    }
    trials
}

async fn read() {
    let bed = Bed::new().await;
    bed.raise("web", json!({ "command": "seq 300000; sleep 600" })).await;
    let numbers: Vec<String> = (1..=300_000).map(|number| number.to_string()).collect();
    let whole = numbers.join("\n") + "\n";
    until_said(&bed, |said| said.len() == whole.len()).await;
    assert!(bed.said("web").await == whole, "what was said is not what is read");
    for (tail, last) in [(0, ""), (1, "300000\n"), (2, "299999\n300000\n"), (u32::MAX, &*whole)] {
        let mut logs = Logs::new(bed.target("web"));
        logs.tail = Some(tail);
        let said = text(bed.provider.logs(&cx(), logs).await.unwrap()).await;
        assert!(said == last, "the last {tail}: {}", said.len());
    }
    bed.destroy("web").await;
}

/// A machine that says one word, and who follows it, after that word.
async fn followed_after_a_word(bed: &Bed) -> BoxRead {
    bed.raise("web", json!({ "command": "echo said; while :; do sleep 1; done" }))
        .await;
    let mut logs = Logs::new(bed.target("web"));
    logs.follow = true;
    let mut stream = bed.provider.logs(&cx(), logs).await.unwrap();
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"said\n");
    stream
}

async fn followed() {
    let bed = Bed::new().await;
    let stream = followed_after_a_word(&bed).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    drop(stream);
    until("the end of who followed", || tasks() < before).await;
    assert_eq!(bed.phase("web").await, Phase::Running);
    bed.destroy("web").await;
}

async fn unseen() {
    let bed = Bed::new().await;
    let mut stream = followed_after_a_word(&bed).await;
    let (lock, aside) = (bed.folder("web").join("lock"), bed.folder("web").join("aside"));
    std::fs::hard_link(&lock, &aside).unwrap();
    // It leads to itself, and there is no moment at which nothing is there.
    let looped = bed.folder("web").join("looped");
    std::os::unix::fs::symlink(&lock, &looped).unwrap();
    std::fs::rename(&looped, &lock).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    let expected = rustix::io::Errno::LOOP.raw_os_error();
    assert_eq!(error.raw_os_error(), Some(expected), "{error:?}");
    std::fs::rename(&aside, &lock).unwrap();
    bed.destroy("web").await;
}

async fn torn() {
    let bed = Bed::new().await;
    bed.raise("web", json!({ "command": "echo said; while :; do sleep 1; done" }))
        .await;
    until_said(&bed, |said| said == "said\n").await;
    bed.stop("web", Duration::ZERO).await;
    let log = std::fs::OpenOptions::new()
        .append(true)
        .open(bed.folder("web").join("log/main"));
    log.unwrap().write_all(b"1700000000000 500\nhalf of i").unwrap();
    bed.start("web").await.unwrap();
    until_said(&bed, |said| said == "said\nsaid\n").await;
    bed.destroy("web").await;
}

async fn full() {
    let bed = Bed::on_small_disk().await;
    let command = "echo first; while test -e /srv/one; do sleep 0.05; done; head -c 100000 /dev/zero | tr '\\0' x; \
                   while test -e /srv/two; do sleep 0.05; done; echo last; while :; do sleep 1; done";
    bed.create(bed.request("web", json!({ "command": command })).await)
        .await
        .unwrap();
    for file in ["one", "two"] {
        bed.copy_in("web", "/srv", file, b"").await.unwrap();
    }
    bed.start("web").await.unwrap();
    until_said(&bed, |said| said == "first\n").await;
    let filler = bed.fill();
    // Less than there is to be said.
    filler.set_len(filler.metadata().unwrap().len() - (20 << 10)).unwrap();
    bed.run("web", "rm /srv/one").await;
    until_said(&bed, |said| said.contains('x')).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    filler.set_len(0).unwrap();
    bed.run("web", "rm /srv/two").await;
    until_said(&bed, |said| said.ends_with("last\n")).await;
    bed.destroy("web").await;
}

async fn until_said(bed: &Bed, enough: impl Fn(&str) -> bool + Send + Sync) {
    for _ in 0..300 {
        if enough(&bed.said("web").await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = bed.said("web").await;
    panic!("it said {:?}", said.get(said.len().saturating_sub(200)..));
}
