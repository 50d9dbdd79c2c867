//! Both stores keep the same rules.

use std::sync::Arc;
use std::time::Duration;

use encamp_core::{Class, EnvId, Generation, InstanceName, Key, Labels, Site, Stamp, Time, Token, Value};
use proptest::prelude::*;

use super::*;
use crate::clock::Lease;

fn at(seconds: i64) -> Time {
    Time::from_unix_millis(seconds * 1000)
}

fn environment(id: &str, name: &str) -> EnvironmentRow {
    EnvironmentRow {
        id: EnvId::new(id).unwrap(),
        name: name.into(),
        purpose: Purpose::Up,
        file: None,
        wanted: Wanted::Present,
        keep: false,
        created: at(0),
        lease: Lease {
            ends: at(3600),
            boot: None,
        },
        epoch: 0,
        holder: None,
        disposed: None,
        by: "anna".into(),
        numbers: encamp_file::text::Numbers::new(),
        outputs: std::collections::BTreeMap::new(),
        machines: 1,
        recovered: false,
        given: encamp_file::spec::Given::default(),
        took: Vec::new(),
    }
}

fn intent(environment: &str, object: &str, generation: u32) -> IntentRow {
    let key = Key::new(format!("{environment}-{object}-{generation}"));
    IntentRow {
        environment: EnvId::new(environment).unwrap(),
        class: Class::Machine,
        object: object.into(),
        generation: Generation(generation),
        instance: InstanceName::new("sim").unwrap(),
        site: Site::new("s"),
        state: IntentState::Planned,
        stamp: Stamp::new(key, Token::new("t"), Labels::new()),
        request: "{}".into(),
        id: None,
        unsettled: false,
        epoch: 0,
        last_sent: None,
        evidence: None,
        spec: "s".into(),
        bound: String::new(),
        failure: None,
        updated: at(0),
        addrs: Vec::new(),
        ports: Vec::new(),
        data: Value::Null,
        stopped: false,
        set_up: super::SetUp::default(),
        parts: std::collections::BTreeMap::new(),
        services: std::collections::BTreeMap::new(),
    }
}

const IDS: [&str; 2] = ["0123456789", "abcdefghjk"];

fn epoch(id: &str, number: u64) -> Epoch {
    Epoch {
        environment: EnvId::new(id).unwrap(),
        number,
    }
}

fn holder() -> Holder {
    Holder {
        pid: 1,
        verb: "up".into(),
        since: at(0),
    }
}

fn stores() -> (tempfile::TempDir, Vec<Arc<dyn Journal>>) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&folder.path().join("store.db")).unwrap();
    (folder, vec![Arc::new(Memory::default()), Arc::new(sqlite)])
}

async fn taken(journal: &dyn Journal, id: &str, name: &str) -> Epoch {
    assert_eq!(
        journal
            .apply(Op::Found(Box::new(environment(id, name))), at(1))
            .await
            .unwrap(),
        Answer::Done
    );
    let take = Op::Take {
        environment: EnvId::new(id).unwrap(),
        holder: holder(),
    };
    match journal.apply(take, at(1)).await.unwrap() {
        Answer::Taken(epoch, _) => epoch,
        answer => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_name_lives_once() {
    let (_folder, stores) = stores();
    for journal in stores {
        let epoch = taken(&*journal, IDS[0], "shop").await;
        let second = Op::Found(Box::new(environment(IDS[1], "shop")));
        assert!(matches!(
            journal.apply(second.clone(), at(2)).await.unwrap(),
            Answer::Refused(Refusal::NameTaken(_))
        ));
        journal.apply(Op::Dispose(epoch), at(3)).await.unwrap();
        assert_eq!(journal.apply(second, at(4)).await.unwrap(), Answer::Done);
    }
}

#[tokio::test]
async fn an_older_tenure_may_send_nothing() {
    let (_folder, stores) = stores();
    for journal in stores {
        let old = taken(&*journal, IDS[0], "shop").await;
        let row = intent(IDS[0], "web", 1);
        let plan = Op::Plan {
            epoch: old.clone(),
            row: Box::new(row.clone()),
        };
        assert_eq!(journal.apply(plan, at(2)).await.unwrap(), Answer::Done);
        let take = Op::Take {
            environment: old.environment.clone(),
            holder: holder(),
        };
        journal.apply(take, at(3)).await.unwrap();
        for op in [
            Op::Send {
                epoch: old.clone(),
                intent: row.reference(),
            },
            Op::Doom {
                epoch: old.clone(),
                intent: row.reference(),
            },
            Op::SendDestroy {
                epoch: old.clone(),
                intent: row.reference(),
            },
            Op::Dispose(old.clone()),
        ] {
            assert_eq!(
                journal.apply(op, at(4)).await.unwrap(),
                Answer::Refused(Refusal::Fenced { newer: 2 })
            );
        }
    }
}

#[tokio::test]
async fn who_is_not_wanted_yields_and_destroys_only() {
    let (_folder, stores) = stores();
    for journal in stores {
        let epoch = taken(&*journal, IDS[0], "shop").await;
        let row = intent(IDS[0], "web", 1);
        journal
            .apply(
                Op::Plan {
                    epoch: epoch.clone(),
                    row: Box::new(row.clone()),
                },
                at(2),
            )
            .await
            .unwrap();
        journal
            .apply(Op::WantGone(epoch.environment.clone()), at(3))
            .await
            .unwrap();
        let send = Op::Send {
            epoch: epoch.clone(),
            intent: row.reference(),
        };
        assert_eq!(
            journal.apply(send, at(4)).await.unwrap(),
            Answer::Refused(Refusal::Yield)
        );
        let plan = Op::Plan {
            epoch: epoch.clone(),
            row: Box::new(intent(IDS[0], "db", 1)),
        };
        assert_eq!(
            journal.apply(plan, at(4)).await.unwrap(),
            Answer::Refused(Refusal::Yield)
        );
        let doom = Op::Doom {
            epoch: epoch.clone(),
            intent: row.reference(),
        };
        assert_eq!(journal.apply(doom, at(4)).await.unwrap(), Answer::Done);
    }
}

#[tokio::test]
async fn one_generation_lives_at_a_time() {
    let (_folder, stores) = stores();
    for journal in stores {
        let epoch = taken(&*journal, IDS[0], "shop").await;
        let first = intent(IDS[0], "web", 1);
        let plan = |generation| Op::Plan {
            epoch: epoch.clone(),
            row: Box::new(intent(IDS[0], "web", generation)),
        };
        journal.apply(plan(1), at(2)).await.unwrap();
        let refused = journal.apply(plan(2), at(3)).await.unwrap();
        assert_eq!(refused, Answer::Refused(Refusal::State(Some(IntentState::Planned))));
        let bury = Op::Bury {
            epoch: epoch.clone(),
            intent: first.reference(),
            evidence: "never sent".into(),
        };
        journal.apply(bury, at(4)).await.unwrap();
        assert!(
            matches!(journal.apply(plan(1), at(5)).await.unwrap(), Answer::Refused(_)),
            "a generation is used once"
        );
        assert_eq!(journal.apply(plan(2), at(5)).await.unwrap(), Answer::Done);
    }
}

#[tokio::test]
async fn what_is_written_outlives_the_process_and_a_newer_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    {
        let journal = Sqlite::open(&path).unwrap();
        taken(&journal, IDS[0], "shop").await;
    }
    let again = Sqlite::open(&path).unwrap();
    assert_eq!(again.environments().await.unwrap().len(), 1);
    drop(again);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(error.message().contains("newer encamp"), "{error}");
}

/// An operation out of two numbers, on two environments with two machines.
fn op(choice: u8, number: u8) -> Op {
    let id = IDS[usize::from(number & 1)];
    let object = if number & 2 == 0 { "web" } else { "db" };
    let generation = u32::from(number >> 2 & 1) + 1;
    let row = intent(id, object, generation);
    let (intent, epoch) = (row.reference(), epoch(id, u64::from(number >> 3 & 1) + 1));
    match choice % 16 {
        0 => Op::Found(Box::new(environment(id, if number & 4 == 0 { "shop" } else { "lab" }))),
        1 => Op::Take {
            environment: epoch.environment,
            holder: holder(),
        },
        2 => Op::Plan {
            epoch,
            row: Box::new(row),
        },
        3 => Op::Send { epoch, intent },
        4 => Op::Lose { epoch, intent },
        5 => Op::See {
            epoch,
            intent,
            id: "i".into(),
            data: Value::Null,
        },
        6 => Op::Ready {
            epoch,
            intent,
            addrs: Vec::new(),
            ports: Vec::new(),
        },
        7 => Op::Fail {
            epoch,
            intent,
            failure: "no".into(),
        },
        8 => Op::Doom { epoch, intent },
        9 => Op::SendDestroy { epoch, intent },
        10 => Op::Settle {
            epoch,
            intent,
            id: None,
        },
        11 => Op::Bury {
            epoch,
            intent,
            evidence: "e".into(),
        },
        12 => Op::WantGone(epoch.environment),
        13 => Op::Dispose(epoch),
        14 => Op::Touch {
            epoch,
            intent,
            stopped: Some(true),
        },
        _ => Op::Release(epoch),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_twins_answer_and_keep_the_same(ops in prop::collection::vec((0u8..16, 0u8..16), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (_folder, stores) = stores();
            for (second, (choice, number)) in ops.iter().enumerate() {
                let now = at(i64::try_from(second).unwrap());
                let memory = stores[0].apply(op(*choice, *number), now).await.unwrap();
                let sqlite = stores[1].apply(op(*choice, *number), now).await.unwrap();
                prop_assert_eq!(memory, sqlite);
            }
            prop_assert_eq!(stores[0].environments().await.unwrap(), stores[1].environments().await.unwrap());
            for id in IDS {
                let id = EnvId::new(id).unwrap();
                prop_assert_eq!(stores[0].intents(&id).await.unwrap(), stores[1].intents(&id).await.unwrap());
            }
            Ok(())
        })?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_connections_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8u32 {
        let journal = Arc::new(Sqlite::open(&path).unwrap());
        tasks.spawn(async move {
            for round in 0..25 {
                let id = format!("{:010}", writer * 1000 + round);
                let name = format!("w{writer}-{round}");
                let epoch = taken(&*journal, &id, &name).await;
                journal.apply(Op::Dispose(epoch), at(9)).await.unwrap();
            }
        });
    }
    let all = tokio::time::timeout(Duration::from_mins(1), tasks.join_all()).await;
    assert!(all.is_ok(), "a writer waits for ever");
    assert_eq!(Sqlite::open(&path).unwrap().environments().await.unwrap().len(), 200);
}
