#![expect(clippy::disallowed_methods, reason = "these tests measure the time that they pause")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::*;

const MINUTE: Duration = Duration::from_mins(1);

async fn connect(world: &World, settings: Value) -> Arc<dyn Provider> {
    let name = InstanceName::new("lab").unwrap();
    let cx = Cx::within(MINUTE);
    kind(world.clone())
        .connect(&cx, name, settings, Ambient::none())
        .await
        .unwrap()
}

fn stamp(object: &str, generation: u32) -> Stamp {
    let labels = [
        (label::CONTROLLER, "abcdef".to_owned()),
        (label::ENVIRONMENT, "0123456789".to_owned()),
        (label::MACHINE, object.to_owned()),
        (label::GENERATION, generation.to_string()),
        (label::PROOF, format!("proof-{object}-{generation}")),
    ];
    let labels = labels.map(|(name, value)| (name.to_owned(), value));
    let key = format!("ec-abcdef-0123456789-{object}-g{generation}-mac");
    let token = format!("token-{object}-{generation}");
    Stamp::new(Key::new(key), Token::new(token), labels.into())
}

fn site() -> Site {
    Site::new("memory:lab")
}

fn target(object: &str) -> Target {
    Target::new(stamp(object, 1), site(), None)
}

fn ticket(verb: Verb, stamp: &Stamp) -> Ticket {
    Ticket::of_committed_intent(stamp.key.clone(), verb, 3)
}

async fn create(provider: &Arc<dyn Provider>, object: &str, table: Value) -> Result<Created> {
    let stamp = stamp(object, 1);
    let ticket = ticket(Verb::Create, &stamp);
    let request = Create::new(stamp, site(), table, Name::new(object).unwrap());
    provider.create(&Cx::within(MINUTE), &ticket, request).await
}

async fn destroy(provider: &Arc<dyn Provider>, object: &str) -> Result<Removal> {
    let target = target(object);
    provider
        .destroy(&Cx::within(MINUTE), &ticket(Verb::Destroy, &target.stamp), target)
        .await
}

async fn listed(provider: &Arc<dyn Provider>) -> usize {
    let prefix = ControllerPrefix::new(&ControllerId::new("abcdef").unwrap());
    let listing = provider.list(&Cx::within(MINUTE), List::new(prefix)).await.unwrap();
    assert!(listing.covers(&site()));
    listing.found.len()
}

async fn phase(provider: &Arc<dyn Provider>, object: &str) -> Phase {
    provider
        .inspect(&Cx::within(MINUTE), target(object))
        .await
        .unwrap()
        .phase
}

async fn output(provider: &Arc<dyn Provider>, object: &str, script: &str) -> (String, String, Exit) {
    let exec = Exec::new(target(object), ["sh", "-c", script]);
    let mut process = provider.exec(&Cx::within(MINUTE), exec).await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout.read_to_string(&mut out).await.unwrap();
    process.stderr.unwrap().read_to_string(&mut err).await.unwrap();
    (out, err, process.control.wait().await.unwrap())
}

fn plain() -> Value {
    json!({ "image": "any", "boot": "0ms" })
}

#[test]
fn the_kind_describes_itself() {
    let kind = kind(World::new(1));
    assert_eq!(kind.info().name.as_str(), "memory");
    assert_eq!(kind.info().table_schema["properties"]["image"]["x-late"], json!(true));
}

#[tokio::test(start_paused = true)]
async fn a_machine_boots_runs_and_dies() {
    let provider = connect(&World::new(1), json!({ "held": true })).await;
    let table = json!({ "image": "any", "boot": "200ms", "dies_after": "10s", "exits": 4 });
    assert_eq!(create(&provider, "web", table).await.unwrap().phase, Phase::Held);
    let start = ticket(Verb::Start, &stamp("web", 1));
    provider
        .start(&Cx::within(MINUTE), &start, target("web"))
        .await
        .unwrap();
    assert_eq!(phase(&provider, "web").await, Phase::Starting);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(phase(&provider, "web").await, Phase::Running);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(phase(&provider, "web").await, Phase::Exited(Exit::Code(4)));
    assert_eq!(destroy(&provider, "web").await.unwrap(), Removal::Gone);
    assert_eq!(phase(&provider, "web").await, Phase::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_has_happened_and_an_unheard_call_has_not() {
    for (fault, made) in [("lost_reply", 1), ("unheard", 0)] {
        let world = World::new(1);
        let provider = connect(&world, json!({ "faults": { fault: 1.0 } })).await;
        assert!(create(&provider, "web", plain()).await.unwrap_err().outcome_unknown());
        assert_eq!(world.machines().len(), made, "{fault}");
        world.calm();
        let again = create(&provider, "web", plain()).await.unwrap();
        assert_eq!(again.adopted, made == 1, "{fault}");
        assert_eq!(world.created_total(stamp("web", 1).key.as_str()), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_may_be_told_at_the_deadline_alone() {
    let world = World::new(1);
    let provider = connect(&world, json!({ "faults": { "unheard": 1.0, "hang": 1.0 } })).await;
    let began = tokio::time::Instant::now();
    create(&provider, "web", plain()).await.unwrap_err();
    assert!(began.elapsed() >= MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_late_create_makes_a_second_machine_where_keys_are_not_unique() {
    let world = World::new(1);
    let lookup = json!({ "lookup": { "request_life": "30s", "visibility": "5s" } });
    let settings = json!({ "machines": lookup, "faults": { "late": 1.0 } });
    let provider = connect(&world, settings).await;
    assert!(create(&provider, "web", plain()).await.unwrap_err().outcome_unknown());
    assert_eq!(world.machines().len(), 0);
    world.calm();
    // Too early: the bounds have not passed.
    create(&provider, "web", plain()).await.unwrap();
    world.rest().await;
    assert_eq!(world.machines().len(), 2);
    assert_eq!(world.doubles().len(), 1);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(listed(&provider).await, 2);
    destroy(&provider, "web").await.unwrap();
    assert_eq!(world.machines().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_burnt_token_makes_nothing() {
    let world = World::new(1);
    let settings = json!({ "machines": { "replay_for": "20h" }, "faults": { "late": 1.0 } });
    let provider = connect(&world, settings).await;
    assert!(create(&provider, "web", plain()).await.unwrap_err().outcome_unknown());
    world.calm();
    create(&provider, "web", plain()).await.unwrap();
    destroy(&provider, "web").await.unwrap();
    world.rest().await;
    assert_eq!(world.machines().len(), 0);
    let answer = create(&provider, "web", plain()).await.unwrap();
    assert_eq!((answer.phase, answer.adopted), (Phase::Gone, true));
}

#[tokio::test(start_paused = true)]
async fn what_happens_depends_on_the_seed_alone() {
    async fn history(seed: u64, backwards: bool) -> Vec<(String, What)> {
        let world = World::new(seed);
        let faults = json!({ "lost_reply": 0.3, "refused": 0.3, "slow": 0.5, "slowness": "1s" });
        let provider = connect(&world, json!({ "faults": faults })).await;
        let mut objects = ["a", "b", "c", "d"];
        if backwards {
            objects.reverse();
        }
        let creates = objects.map(|object| {
            let provider = Arc::clone(&provider);
            tokio::spawn(async move { create(&provider, object, plain()).await.is_ok() })
        });
        for create in creates {
            create.await.unwrap();
        }
        let mut history: Vec<_> = world
            .history()
            .into_iter()
            .map(|entry| (entry.key, entry.what))
            .collect();
        history.sort_by(|left, right| left.0.cmp(&right.0));
        history
    }
    assert_eq!(history(5, false).await, history(5, true).await);
    assert_ne!(history(5, false).await, history(6, false).await);
}

#[tokio::test(start_paused = true)]
async fn listings_say_what_they_do_not_cover() {
    let world = World::new(1);
    let provider = connect(
        &world,
        json!({ "sites": ["lab", "far"], "faults": { "partial_list": 1.0 } }),
    )
    .await;
    let prefix = ControllerPrefix::new(&ControllerId::new("abcdef").unwrap());
    let listing = provider
        .list(&Cx::within(MINUTE), List::new(prefix.clone()))
        .await
        .unwrap();
    assert!(!listing.covers(&site()));
    world.calm();
    world.cut_off(&Site::new("memory:far"));
    let listing = provider.list(&Cx::within(MINUTE), List::new(prefix)).await.unwrap();
    assert!(listing.covers(&site()));
    assert!(!listing.covers(&Site::new("memory:far")));
}

#[tokio::test(start_paused = true)]
async fn foreign_things_are_seen_and_left_alone() {
    let world = World::new(1);
    let provider = connect(&world, Value::Null).await;
    let ours = stamp("web", 1);
    world.add_foreign(&site(), Foreign::with_copied_labels(&ours, "someone-elses"));
    world.add_foreign(&site(), Foreign::of_other_controller(&ours));
    world.add_foreign(&site(), Foreign::with_wrong_proof(&ours));
    world.add_foreign(&site(), Foreign::with_our_prefix(&ours));
    assert_eq!(listed(&provider).await, 3);
    assert_eq!(
        create(&provider, "web", plain()).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(destroy(&provider, "web").await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(world.harmed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn room_is_limited() {
    let provider = connect(&World::new(1), json!({ "capacity": 1 })).await;
    create(&provider, "a", plain()).await.unwrap();
    assert_eq!(
        create(&provider, "b", plain()).await.unwrap_err().kind(),
        ErrorKind::Capacity
    );
    let provider = connect(&World::new(1), json!({ "quota": 0 })).await;
    assert_eq!(
        create(&provider, "a", plain()).await.unwrap_err().kind(),
        ErrorKind::Quota
    );
}

#[tokio::test(start_paused = true)]
async fn a_machine_ends_at_its_expiry_unless_it_is_renewed() {
    let world = World::new(1);
    let provider = connect(&world, json!({ "self_expiry": true })).await;
    let stamp = stamp("web", 1);
    let mut request = Create::new(stamp.clone(), site(), plain(), Name::new("web").unwrap());
    request.expires = Some(world.now().plus(MINUTE));
    let create = ticket(Verb::Create, &stamp);
    provider.create(&Cx::within(MINUTE), &create, request).await.unwrap();
    let renew = Renew::new(target("web"), world.now().plus(MINUTE * 3));
    provider
        .renew(&Cx::within(MINUTE), &ticket(Verb::Renew, &stamp), renew)
        .await
        .unwrap();
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(world.machines().len(), 1);
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(world.machines().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_small_shell_runs() {
    let provider = connect(&World::new(1), Value::Null).await;
    create(&provider, "web", plain()).await.unwrap();
    for (script, out, err, code) in [
        ("echo a; echo b >&2; exit 7", "a\n", "b\n", 7),
        ("false || echo no && echo yes", "no\nyes\n", "", 0),
        ("X=1; echo \"$X\" '$X' $Y.", "1 $X .\n", "", 0),
        (
            "mkdir -p /srv/a && cd /srv/a && echo x > f && cat f && pwd",
            "x\n/srv/a\n",
            "",
            0,
        ),
        ("head -c 200000 /dev/zero | wc -c", "200000\n", "", 0),
        ("(echo in; exit 3); echo $?", "in\n3\n", "", 0),
        ("! false && ! grep -q x /nowhere && echo yes", "yes\n", "", 0),
        ("nothing", "", "nothing: not found\n", 127),
        ("echo a >> /tmp/x 2>&1; echo b >> /tmp/x; cat < /tmp/x", "a\nb\n", "", 0),
        ("sleep 30 & wait; echo after", "after\n", "", 0),
    ] {
        let got = output(&provider, "web", script).await;
        assert_eq!(got, (out.to_owned(), err.to_owned(), Exit::Code(code)), "{script}");
    }
    let (_, _, exit) = output(&provider, "web", "kill -TERM $$; echo never").await;
    assert_eq!(exit, Exit::Signal("TERM".into()));
}

#[tokio::test(start_paused = true)]
async fn death_ends_commands_and_logs() {
    let world = World::new(1);
    let provider = connect(&world, Value::Null).await;
    create(
        &provider,
        "web",
        json!({ "image": "any", "boot": "0ms", "says": ["hello"] }),
    )
    .await
    .unwrap();
    let follow = {
        let mut logs = Logs::new(target("web"));
        logs.follow = true;
        logs
    };
    let mut log = provider.logs(&Cx::within(MINUTE), follow).await.unwrap();
    let (_, _, exit) = output(&provider, "web", "echo more > /proc/1/fd/1; die 9").await;
    assert_eq!(exit, Exit::Signal("KILL".into()));
    let mut said = String::new();
    log.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "hello\nmore\n");
    assert_eq!(phase(&provider, "web").await, Phase::Exited(Exit::Code(9)));
}

#[tokio::test(start_paused = true)]
async fn a_paused_machine_neither_speaks_nor_ends() {
    let provider = connect(&World::new(1), Value::Null).await;
    let table = json!({
        "image": "any", "boot": "0ms", "says": ["tick"], "repeats": "1s", "dies_after": "5s", "exits": 3,
        "health": { "after": "2s" },
    });
    create(&provider, "web", table).await.unwrap();
    let cx = Cx::within(MINUTE);
    let health = async || provider.inspect(&cx, target("web")).await.unwrap().health;
    assert_eq!(health().await, Some(Health::Starting));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(health().await, Some(Health::Healthy));
    let stamp = stamp("web", 1);
    let pause = ticket(Verb::Pause, &stamp);
    provider.pause(&cx, &pause, target("web")).await.unwrap();
    tokio::time::sleep(MINUTE / 2).await;
    assert_eq!(phase(&provider, "web").await, Phase::Paused);
    let mut said = String::new();
    let mut log = provider.logs(&cx, Logs::new(target("web"))).await.unwrap();
    log.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "tick\n".repeat(3));
    let start = ticket(Verb::Start, &stamp);
    provider.start(&cx, &start, target("web")).await.unwrap();
    assert_eq!(phase(&provider, "web").await, Phase::Exited(Exit::Code(3)));
    let refused = provider.pause(&cx, &pause, target("web")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_loses_the_outcome() {
    let provider = connect(&World::new(1), json!({ "faults": { "broken_link": 1.0 } })).await;
    create(&provider, "web", plain()).await.unwrap();
    let (_, _, exit) = output(&provider, "web", "sleep 60").await;
    assert!(matches!(exit, Exit::Lost(_)), "{exit:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_reach_what_listens() {
    let provider = connect(&World::new(1), Value::Null).await;
    create(
        &provider,
        "web",
        json!({ "image": "any", "boot": "0ms", "listens": [80] }),
    )
    .await
    .unwrap();
    create(&provider, "db", plain()).await.unwrap();
    let cx = Cx::within(MINUTE);
    let mut dial = Dial::new(target("db"), 80);
    assert_eq!(
        provider.dial(&cx, dial.clone()).await.map(|_| ()).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    dial.host = Some("web".into());
    let mut echo = provider.dial(&cx, dial).await.unwrap();
    echo.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    echo.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");

    let mut listener = provider.listen(&cx, Listen::new(target("db"), 9)).await.unwrap();
    let mut near = provider.dial(&cx, Dial::new(target("db"), 9)).await.unwrap();
    let mut far = listener.accept().await.unwrap();
    near.write_all(b"x").await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'x');
}

#[tokio::test(start_paused = true)]
async fn volumes_outlive_machines_and_are_closed_after_them() {
    let provider = connect(&World::new(1), Value::Null).await;
    let cx = Cx::within(MINUTE);
    let table = json!({ "image": "any", "boot": "0ms", "volumes": { "data": "/data" } });
    let candidate = provider
        .resolve(&cx, Resolve::new(table.clone()))
        .await
        .unwrap()
        .remove(0);
    let item = candidate.scope[0].clone();
    let volume = stamp("volume-data", 1);
    let opened = {
        let open = OpenScope::new(volume.clone(), site(), item.clone());
        provider
            .open_scope(&cx, &ticket(Verb::OpenScope, &volume), open)
            .await
            .unwrap()
    };
    assert!(create(&provider, "web", table.clone()).await.is_err());
    for (generation, script, said) in [(1, "echo kept > /data/x", ""), (2, "cat /data/x", "kept\n")] {
        let stamp = stamp("web", generation);
        let mut request = Create::new(stamp.clone(), site(), table.clone(), Name::new("web").unwrap());
        request.scope.insert(item.name.clone(), opened.clone());
        provider
            .create(&cx, &ticket(Verb::Create, &stamp), request)
            .await
            .unwrap();
        let target = Target::new(stamp.clone(), site(), None);
        let mut process = provider
            .exec(&cx, Exec::new(target.clone(), ["sh", "-c", script]))
            .await
            .unwrap();
        let mut out = String::new();
        process.stdout.read_to_string(&mut out).await.unwrap();
        assert_eq!(out, said);
        let close = Target::new(volume.clone(), site(), Some(opened.id.clone()));
        let close_ticket = ticket(Verb::CloseScope, &volume);
        assert!(provider.close_scope(&cx, &close_ticket, close.clone()).await.is_err());
        provider
            .destroy(&cx, &ticket(Verb::Destroy, &stamp), target)
            .await
            .unwrap();
        if generation == 2 {
            assert_eq!(
                provider.close_scope(&cx, &close_ticket, close).await.unwrap(),
                Removal::Gone
            );
        }
    }
    assert_eq!(listed(&provider).await, 0);
}
