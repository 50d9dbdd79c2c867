//! Canaries through the whole engine: over a real store and simulated infrastructure, from each kind of source.

mod bed;

use std::fs;
use std::time::Duration;

use encamp_core::{Class, Generation, InstanceName, Labels, Report, Secret, Site, Stamp, Token};
use encamp_file::spec::SecretSource;
use tokio::io::AsyncReadExt;

use super::forms::forms;
use super::*;
use crate::RunOptions;
use crate::events::{Event, Events};
use crate::journal::{IntentRow, IntentState, Op, Purpose, SetUp};
use bed::*;

#[tokio::test]
async fn a_run_keeps_and_tells_no_secret() {
    let bed = Bed::new();
    let camp = bed.camp();
    let mut says = vec![
        "echo \"$A\"; echo \"a $B b\" >&2; echo \"$C$A\"".to_owned(),
        "cat /run/encamp/secrets/TOKEN; echo; cat $TOKEN_FILE; echo".to_owned(),
        "echo \"log $C and $A\" > /proc/1/fd/1".to_owned(),
        "echo \"<testsuite name='s'><testcase name='$A'><failure message='m'>$C</failure></testcase></testsuite>\" > r.xml"
            .to_owned(),
    ];
    // What quotes cannot hold in a script is printed by the task on the controller.
    let quotable = forms(&Secret::new(CANARIES[0].to_owned()));
    says.extend(
        quotable
            .iter()
            .filter(|form| !form.contains(['\'', '$']))
            .map(|form| format!("echo 'x{form}y'")),
    );
    says.push("exit 3".to_owned());
    let spec = bed.load(&camp, &described(&says.join("\n")));
    let (told_to, receiver) = events();
    let options = RunOptions {
        out: Some(bed.disk.path().join("out")),
        ..RunOptions::default()
    };
    let report = camp.run(spec, options, told_to).await.unwrap();

    assert_eq!(report.exit_code(), 1, "{report:?}");
    assert_eq!(report.outputs["url"], "http://***@web");
    clean("the report", format!("{report:?}").as_bytes());
    let told = told(receiver);
    assert!(told.len() > 40, "{told:?}");
    let of_files = |event: &Event| matches!(event, Event::TaskOutput { line, .. } if line == "t=***");
    assert!(told.iter().any(of_files), "{told:?}");
    let lines = told
        .iter()
        .filter(|event| matches!(event, Event::TaskOutput { line, .. } if line.contains("***")));
    assert!(lines.count() > 20, "{told:?}");
    clean("an event", serde_json::to_string(&told).unwrap().as_bytes());
    clean("an event", format!("{told:?}").as_bytes());
    // A file that a task wrote is the user's own, and stays as it is.
    let own = "artifacts/test/leak/web/r.xml";
    let out = bed.disk.path().join("out");
    assert!(fs::read_to_string(out.join(own)).unwrap().contains(CANARIES[0]));
    assert!(clean_files(&out, &[own]) >= 5);
    for (file, holds) in [
        ("logs/web.log", "log x*** and ***"),
        ("junit.xml", "***"),
        ("report.json", "***"),
        ("artifacts/test/leak/web/output.log", "***"),
        ("artifacts/test/here/controller/output.log", "***"),
    ] {
        assert!(fs::read_to_string(out.join(file)).unwrap().contains(holds), "{file}");
    }
    assert!(clean_files(&bed.state(), &[]) >= 3);
    assert_eq!(
        fs::read_dir(bed.in_memory()).unwrap().count(),
        0,
        "its folder is gone with it"
    );
}

#[tokio::test]
async fn another_process_redacts_what_a_machine_has_said() {
    let bed = Bed::new();
    let camp = bed.camp();
    let spec = bed.load(&camp, &described("true"));
    let pending = camp.prepare_up(spec, Events::none()).await.unwrap();
    let report = pending.execute().await.unwrap();
    assert!(report.ready, "{report:?}");
    assert_eq!(report.outputs["url"], "http://***@web");
    let row = camp.find("shop").await.unwrap().unwrap();
    assert_eq!(row.outputs["url"], "http://***@web");
    assert!(clean_files(&bed.state(), &[]) >= 3);

    let encamp = bed.encamp();
    let environment = encamp.environment("shop").await.unwrap();
    let machine = environment.machine("web").unwrap();
    let say = format!("echo 'says {}' > /proc/1/fd/1", CANARIES[0]);
    let said = machine
        .spawn(crate::api::Command::new(["sh", "-c", &say]))
        .await
        .unwrap();
    let mut control = said.control;
    assert!(control.wait().await.unwrap().success());
    for follow in [false, true] {
        let mut log = machine.logs(None, follow, None).await.unwrap();
        let mut line = [0; 8];
        tokio::time::timeout(Duration::from_secs(5), log.read_exact(&mut line))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&line, b"says ***");
    }
    let error = machine
        .spawn(crate::api::Command::new([format!("/no/{}", CANARIES[2])]))
        .await;
    if let Err(error) = error {
        clean("an error", format!("{error:?}").as_bytes());
    }
    let disposal = encamp.down("shop", Events::none()).await.unwrap();
    assert!(disposal.is_clean(), "{disposal:?}");
    assert_eq!(
        fs::read_dir(bed.in_memory()).unwrap().count(),
        0,
        "its folder is gone with it"
    );
    assert!(clean_files(&bed.state(), &[]) >= 3);
}

/// What a machine was made with is in its request as a marker, and what its probe said is in nothing.
#[tokio::test]
async fn a_machine_that_is_not_ready_gives_nothing_away() {
    let bed = Bed::new();
    let camp = bed.camp();
    let text = described("true").replace(
        "ready = [{ run = \"echo $A\" }]",
        "ready = [{ run = \"echo $A; cat $TOKEN_FILE; false\", within = \"1s\" }]",
    );
    let spec = bed.load(&camp, &text);
    let (told_to, receiver) = events();
    let pending = camp.prepare_up(spec, told_to).await.unwrap();
    let report = pending.execute().await.unwrap();
    assert!(!report.ready && format!("{report:?}").contains("***"), "{report:?}");
    clean("the report", format!("{report:?}").as_bytes());
    clean("an event", format!("{:?}", told(receiver)).as_bytes());
    let row = camp.find("shop").await.unwrap().unwrap();
    let rows = camp.journal.intents(&row.id).await.unwrap();
    let web = rows.iter().find(|row| row.object == "web").unwrap();
    let frozen: encamp_core::Create = serde_json::from_str(&web.request).unwrap();
    assert_eq!(
        frozen.env["A"],
        *mark([&name("by-variable")])[&name("by-variable")].reveal()
    );
    assert!(clean_files(&bed.state(), &[]) >= 3);
}

#[tokio::test]
async fn the_journal_keeps_no_secret_of_a_failure() {
    let bed = Bed::new();
    let camp = bed.camp();
    let spec = bed.load(&camp, &described("true"));
    let in_hand = resolve(&camp, &spec, &Events::none()).await.unwrap();
    let session = camp
        .found(&spec, Purpose::Up, "up", Events::none())
        .await
        .unwrap()
        .holding(in_hand);
    let row = IntentRow {
        environment: session.row.id.clone(),
        class: Class::Machine,
        object: "web".into(),
        generation: Generation(1),
        instance: InstanceName::new("sim").unwrap(),
        site: Site::new("memory:sim"),
        state: IntentState::Planned,
        stamp: Stamp::new(encamp_core::Key::new("k"), Token::new("t"), Labels::new()),
        request: String::new(),
        id: None,
        unsettled: false,
        epoch: session.epoch.number,
        last_sent: None,
        evidence: None,
        spec: String::new(),
        bound: String::new(),
        failure: None,
        updated: camp.clock.now(),
        addrs: Vec::new(),
        ports: Vec::new(),
        data: encamp_core::Value::Null,
        stopped: false,
        set_up: SetUp::default(),
        parts: std::collections::BTreeMap::new(),
        services: std::collections::BTreeMap::new(),
        expires: None,
    };
    let (epoch, intent) = (session.epoch.clone(), row.reference());
    let files = [("TOKEN".to_owned(), Secret::new(CANARIES[0].to_owned()))].into();
    let at = camp
        .secret_folder
        .put(&session.row.id, "web", Generation(1), &files)
        .unwrap();
    let row = Box::new(row);
    session
        .record(Op::Plan {
            epoch: epoch.clone(),
            row,
        })
        .await
        .unwrap();
    let failure = format!("it said {}", CANARIES[0]);
    session
        .record(Op::Fail {
            epoch: epoch.clone(),
            intent: intent.clone(),
            failure,
        })
        .await
        .unwrap();
    assert!(at.exists());
    let evidence = format!("refused: {}", CANARIES[2]);
    session
        .record(Op::Bury {
            epoch,
            intent,
            evidence,
        })
        .await
        .unwrap();
    assert!(!at.exists(), "what is proved to be gone needs no secrets");
    let rows = camp.journal.intents(&session.row.id).await.unwrap();
    assert_eq!(rows[0].failure.as_deref(), Some("it said ***"));
    assert_eq!(rows[0].evidence.as_deref(), Some("refused: ***"));
    clean_files(&bed.state(), &[]);
}

#[tokio::test]
async fn what_is_missing_is_named_at_once() {
    let bed = Bed::new();
    let camp = bed.camp();
    let spec = bed.load(
        &camp,
        r#"name = "shop"
[secrets]
unset = { variable = "NOT_THERE" }
absent = { file = "not-there" }
empty = { file = "empty" }
failing = { command = "printf said-out; echo 'said-err said-out' >&2; exit 7" }
fine = { file = "token" }
using = { command = ["sh", "-c", "cat token >&2; exit 1"] }
[machines.web]
provider = "sim"
memory.image = "any"
[[stages]]
name = "test"
[[stages.tasks]]
name = "t"
on = "web"
env = { A = "{{ secret('unset') }}{{ secret('absent') }}{{ secret('empty') }}{{ secret('failing') }}{{ secret('using') }}{{ secret('fine') }}" }
run = "true"
"#,
    );
    bed.write("empty", "\n");
    let (told_to, receiver) = events();
    let error = camp.prepare_up(spec, told_to).await.unwrap_err();
    let facts: Vec<(&str, &str)> = error.context().collect();
    let not_there = format!(
        "the file {} is not there: put it there",
        bed.disk.path().join("not-there").display()
    );
    assert_eq!(
        facts,
        [
            ("absent", not_there.as_str()),
            ("empty", "it is empty"),
            ("failing", "its command ended with 7: said-err ***"),
            ("unset", "the variable NOT_THERE is not set: export NOT_THERE=…"),
            ("using", "its command ended with 1: ***"),
        ]
    );
    assert!(
        error.message().contains("`absent`, `empty`, `failing`"),
        "{}",
        Report(&error)
    );
    assert!(camp.find("shop").await.unwrap().is_none(), "nothing was started");
    assert!(bed.world.machines().is_empty() && told(receiver).is_empty());
}

#[tokio::test]
async fn what_is_odd_is_noted() {
    let bed = Bed::new();
    let camp = bed.camp();
    bed.write("short", "abc");
    bed.write("open", "hunter22\n\n");
    let open = bed.disk.path().join("open");
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let mut spec = bed.load(&camp, &described("true"));
    spec.secrets
        .insert(name("by-variable"), SecretSource::File("short".into()));
    spec.secrets.insert(name("by-file"), SecretSource::File(open.clone()));
    let (told_to, receiver) = events();
    let in_hand = resolve(&camp, &spec, &told_to).await.unwrap();
    assert_eq!(
        in_hand.values()[&name("by-file")].reveal(),
        "hunter22\n",
        "one line end goes"
    );
    assert_eq!(in_hand.values()[&name("by-command")].reveal(), CANARIES[2]);
    assert_eq!(in_hand.redactor().redact("abc hunter22"), "abc ***");
    let mut notes: Vec<String> = told(receiver)
        .into_iter()
        .filter_map(|event| match event {
            Event::Note { text } => Some(text),
            _ => None,
        })
        .collect();
    notes.sort();
    let everybody = format!(
        "{} holds a secret, and everybody can read it: chmod o-r {0}",
        open.display()
    );
    assert_eq!(
        notes,
        [
            everybody.as_str(),
            "the secret `by-variable` has less than 4 characters: it is used, and not redacted in output and reports"
        ]
    );
}

#[tokio::test]
async fn what_a_dead_command_left_in_memory_goes() {
    let bed = Bed::new();
    let camp = bed.camp();
    let spec = bed.load(&camp, &described("true"));
    let files = [("TOKEN".to_owned(), Secret::new("hunter22".to_owned()))].into();
    let unknown = EnvId::new("0123456789").unwrap();
    let put = |id: &EnvId| camp.secret_folder.put(id, "web", Generation(1), &files).unwrap();
    let left = put(&unknown);
    let pending = camp.prepare_up(spec, Events::none()).await.unwrap();
    assert!(!left.exists(), "a changing command tidies");
    assert!(pending.execute().await.unwrap().ready);
    let living = put(&camp.find("shop").await.unwrap().unwrap().id);
    let left = put(&unknown);
    camp.gc(&Events::none()).await.unwrap();
    assert!(
        !left.exists() && living.exists(),
        "a sweep as well, and what lives keeps its own"
    );
}
