//! A provider that says no more than where its machines are.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::layers::{Options as Layers, stack};
use encamp_core::{
    Access, AccessForm, Capabilities, CopyOut, Create, Created, Cx, Dial, EnvId, Error, ErrorKind, Identity,
    InstanceName, Keeps, Labels, List, Listing, Observed, Phase, Provider, PublicKey, Removal, Result, Settle, Site,
    SshAccess, Target, Ticket, Verb, label,
};
use encamp_remote::{EnvironmentKeys, KeyFolder, derive};
use tokio::io::AsyncReadExt;

use crate::bed::{Bed, cases, command, cx, done, finish, remote, shell};

const ENVIRONMENT: &str = "0123456789";

cases!(an_environments_own_key_is_let_in);

#[derive(Debug)]
struct Lab {
    capabilities: Capabilities,
    site: Site,
    access: Mutex<Access>,
    looks: AtomicU32,
}

impl Lab {
    fn new(form: AccessForm, access: Access) -> Arc<Self> {
        let mut capabilities = Capabilities::new(Keeps::KeyOnly, Settle::Replay { token_life: None });
        capabilities.access = form;
        Arc::new(Self {
            capabilities,
            site: Site::new("ssh:lab"),
            access: Mutex::new(access),
            looks: AtomicU32::new(0),
        })
    }
}

#[async_trait]
impl Provider for Lab {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn site(&self) -> &Site {
        &self.site
    }

    async fn inspect(&self, _: &Cx, _: Target) -> Result<Observed> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        Ok(Observed::new(Phase::Running, "x", self.access.lock().unwrap().clone()))
    }

    async fn list(&self, _: &Cx, _: List) -> Result<Listing> {
        Err(Error::unsupported(Verb::List))
    }

    async fn create(&self, _: &Cx, _: &Ticket, _: Create) -> Result<Created> {
        Err(Error::unsupported(Verb::Create))
    }

    async fn destroy(&self, _: &Cx, _: &Ticket, _: Target) -> Result<Removal> {
        Err(Error::unsupported(Verb::Destroy))
    }
}

fn target() -> Target {
    let mut target = crate::bed::target();
    let labels = [(label::ENVIRONMENT, ENVIRONMENT), (label::MACHINE, "web")];
    target.stamp.labels = labels
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect::<Labels>();
    target
}

/// A machine that is reached with the environment's own key, and where that is.
fn machine(bed: &Bed) -> (SshAccess, Arc<KeyFolder>) {
    let keys = bed.path("keys");
    std::fs::create_dir_all(keys.join(ENVIRONMENT)).unwrap();
    std::fs::copy(bed.path("user"), keys.join(ENVIRONMENT).join("login")).unwrap();
    let mut access = bed.access();
    access.identity = Identity::Environment;
    (access, Arc::new(KeyFolder::new(keys)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verbs_are_supplied_and_said() {
    let bed = Bed::new();
    let (access, keys) = machine(&bed);
    let lab = Lab::new(AccessForm::Ssh, Access::Ssh(Box::new(access)));
    let provider = derive(
        Arc::<Lab>::clone(&lab),
        Arc::new(remote(encamp_remote::Client::ByIdentity)),
        keys,
    );
    let provider = stack(provider, Layers::new(InstanceName::new("lab").unwrap()));
    let offered = &provider.capabilities().verbs;
    assert_eq!(
        offered,
        &BTreeSet::from([Verb::Exec, Verb::CopyIn, Verb::CopyOut, Verb::Dial, Verb::Listen])
    );
    for turn in 0..3 {
        let mut exec = shell(&format!("echo {turn}; exit 3"));
        exec.target = target();
        let process = provider.exec(&cx(), exec).await.unwrap();
        assert_eq!(finish(process).await, done(3, &format!("{turn}\n"), ""));
    }
    assert_eq!(
        lab.looks.load(Ordering::Relaxed),
        1,
        "what was seen is believed for a while"
    );
    let mut tar = provider
        .copy_out(&cx(), CopyOut::new(target(), "/etc/hostname"))
        .await
        .unwrap();
    let mut bytes = Vec::new();
    tar.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"hostname\0"));
    let error = provider
        .logs(&cx(), encamp_core::Logs::new(target()))
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "logs stay the provider's");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_lines_need_no_place_among_commands() {
    // As many commands as there are connections: all places are taken.
    let bed = Bed::with("MaxSessions 1");
    let (access, keys) = machine(&bed);
    let lab = Lab::new(AccessForm::Ssh, Access::Ssh(Box::new(access)));
    let provider = derive(lab, Arc::new(remote(encamp_remote::Client::ByIdentity)), keys);
    let mut processes = Vec::new();
    let sleeps = || {
        let mut exec = shell("sleep 60");
        exec.target = target();
        exec
    };
    for _ in 0..8 {
        processes.push(provider.exec(&cx(), sleeps()).await.unwrap());
    }
    // That there is none is known by one command more.
    let more = Cx::within(Duration::from_secs(2));
    assert!(provider.exec(&more, sleeps()).await.is_err());
    let within = Cx::within(Duration::from_secs(30));
    let copied = provider.copy_out(&within, CopyOut::new(target(), "/etc/hostname"));
    let mut bytes = Vec::new();
    copied.await.unwrap().read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"hostname\0"));
    let to = Dial::new(target(), bed.port);
    drop(provider.dial(&within, to).await.unwrap());
    for mut process in processes {
        process.control.signal(encamp_core::Signal::Kill).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_moved_is_looked_at_again() {
    let (before, after) = (Bed::new(), Bed::new());
    let (access, keys) = machine(&before);
    let key = keys.private_key(&EnvId::new(ENVIRONMENT).unwrap()).unwrap();
    let lab = Lab::new(AccessForm::Ssh, Access::Ssh(Box::new(access.clone())));
    let remote = Arc::new(remote(encamp_remote::Client::ByIdentity));
    let provider = derive(Arc::<Lab>::clone(&lab), Arc::clone(&remote), keys);
    let runs = || async {
        let mut exec = shell("echo $XDG_RUNTIME_DIR");
        exec.target = target();
        provider.exec(&Cx::within(Duration::from_secs(10)), exec).await
    };
    assert!(
        finish(runs().await.unwrap())
            .await
            .out
            .contains(before.path("run").to_str().unwrap())
    );
    std::fs::copy(before.path("user.pub"), after.path("authorized")).unwrap();
    let mut moved = after.access();
    moved.identity = Identity::Environment;
    *lab.access.lock().unwrap() = Access::Ssh(Box::new(moved));
    let _before = before.stopped();
    // Until then it is still taken for the way there.
    for _ in 0..400 {
        if remote.reach(&cx(), &access, Some(key.clone())).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        finish(runs().await.unwrap())
            .await
            .out
            .contains(after.path("run").to_str().unwrap())
    );
    assert_eq!(lab.looks.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_a_way_is_not_there_yet() {
    let bed = Bed::new();
    let (_, keys) = machine(&bed);
    let lab = Lab::new(AccessForm::Ssh, Access::None);
    let provider = derive(lab, Arc::new(remote(encamp_remote::Client::ByIdentity)), keys);
    let mut exec = command(&["true"]);
    exec.target = target();
    let error = provider.exec(&cx(), exec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.machine(), Some("web"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_provider_is_left_as_it_is() {
    let bed = Bed::new();
    let (_, keys) = machine(&bed);
    let lab: Arc<dyn Provider> = Lab::new(AccessForm::Native, Access::Native);
    let provider = derive(
        Arc::clone(&lab),
        Arc::new(remote(encamp_remote::Client::ByIdentity)),
        keys,
    );
    assert!(Arc::ptr_eq(&lab, &provider));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_without_a_key_is_told() {
    let bed = Bed::new();
    let (access, keys) = machine(&bed);
    std::fs::remove_file(bed.path("keys").join(ENVIRONMENT).join("login")).unwrap();
    let lab = Lab::new(AccessForm::Ssh, Access::Ssh(Box::new(access)));
    let provider = derive(lab, Arc::new(remote(encamp_remote::Client::ByIdentity)), keys);
    let mut exec = command(&["true"]);
    exec.target = target();
    let error = provider.exec(&cx(), exec).await.unwrap_err();
    assert!(error.message().contains(ENVIRONMENT), "{error:?}");
}

async fn an_environments_own_key_is_let_in(client: encamp_remote::Client) {
    let bed = Bed::new();
    let (access, _) = machine(&bed);
    let keys = KeyFolder::new(bed.path("own keys"));
    let environment = EnvId::new(ENVIRONMENT).unwrap();
    let PublicKey(public) = keys.public_key(&environment).unwrap();
    let lab = Lab::new(AccessForm::Ssh, Access::Ssh(Box::new(access)));
    let provider = derive(lab, Arc::new(remote(client)), Arc::new(keys.clone()));
    let runs = || async {
        let mut exec = shell("exit 3");
        exec.target = target();
        provider.exec(&cx(), exec).await
    };
    // Nobody has let it in yet.
    let error = runs().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    std::fs::write(bed.path("authorized"), format!("{public}\n")).unwrap();
    assert_eq!(finish(runs().await.unwrap()).await, done(3, "", ""));
    keys.forget(&environment).unwrap();
}
