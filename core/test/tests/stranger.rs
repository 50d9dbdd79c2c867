//! A crate's tests, as its author writes them: nothing here is of encamp's own but what is told in its documentation.

use std::time::Duration;

use encamp::spec::{Environment, Machine};
use encamp::{Ready, Share, local};
use encamp_test::{Camp, Endpoint};

encamp_test::helper!();

encamp_test::environment!(Shop, "tests/shop.toml");

fn get(endpoint: &Endpoint) -> String {
    let got = std::process::Command::new("busybox")
        .args(["wget", "-q", "-O", "-", &format!("http://{endpoint}/")])
        .output()
        .expect("busybox is there");
    String::from_utf8_lossy(&got.stdout).trim_end().to_owned()
}

#[encamp_test::test]
async fn a_file_has_types(camp: &Camp) -> encamp::Result<()> {
    let shop = Shop::up(camp).await?;
    assert_eq!(get(&shop.db().http().await?), "stock");
    for index in 0..shop.web_len() {
        let said = get(&shop.web(index).http().await?);
        assert_eq!(said, format!("stock of web-{index}"));
    }
    assert!(
        shop.outputs().entry_url().starts_with("http://127.0.0.1:"),
        "{}",
        shop.outputs().entry_url()
    );
    assert!(shop.web(0).exec(["true"]).output().await?.exit.success());
    assert_eq!(shop.machines().count(), 3);
    Ok(())
}

/// Three machines, as a program says them.
fn three() -> Environment {
    let serve = "exec busybox httpd -f -p 127.0.0.1:$ENCAMP_PORT_HTTP";
    let machine = |name: &str| {
        Machine::new(name, "local")
            .table(&local::Table::command(format!("echo -n {name} >index.html; {serve}")))
            .port("http", 80)
            .ready(Ready::tcp("http").within(Duration::from_secs(20)))
    };
    let all = ["one", "two", "three"].into_iter().map(machine);
    all.fold(Environment::new("three"), Environment::machine)
}

#[encamp_test::test(timeout = "2m")]
async fn three_machines_answer(camp: &Camp) -> encamp::Result<()> {
    let env = camp.up(three()).await?;
    for name in ["one", "two", "three"] {
        assert_eq!(get(&env.endpoint(name, "http").await?), name);
    }
    Ok(())
}

#[encamp_test::test]
async fn a_machine_comes_back(camp: &Camp) -> encamp::Result<()> {
    let env = camp.up(three()).await?;
    env.machine("two")?.restart().await?;
    assert_eq!(get(&env.endpoint("two", "http").await?), "two");
    Ok(())
}

/// A test without environments, and one that gives nothing.
#[encamp_test::test]
async fn nothing_is_brought_up_unasked(camp: &Camp) {
    assert!(camp.state_dir().is_absolute());
}

#[encamp_test::test]
#[should_panic(expected = "as it should")]
async fn other_attributes_are_the_harness_s(_: &Camp) {
    panic!("as it should");
}

mod shared {
    use super::*;

    async fn id(camp: &Camp) -> encamp::Result<String> {
        let shop = Shop::shared(camp, Share::Run).await?;
        assert_eq!(get(&shop.db().http().await?), "stock");
        Ok(shop.summary().id.clone())
    }

    #[encamp_test::test]
    async fn the_same_one_is_given_again(camp: &Camp) -> encamp::Result<()> {
        assert_eq!(id(camp).await?, id(camp).await?);
        Ok(())
    }

    #[encamp_test::test]
    async fn and_by_another_test(camp: &Camp) -> encamp::Result<()> {
        id(camp).await.map(drop)
    }
}
