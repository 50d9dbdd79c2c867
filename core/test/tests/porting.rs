//! The test that `docs/testcontainers.md` shows.

use std::io::{Read, Write};
use std::net::TcpStream;

use encamp::spec::{Environment, Machine};
use encamp::{Ready, docker};
use encamp_test::Camp;

encamp_test::helper!();

#[encamp_test::test]
async fn redis_answers(camp: &Camp) -> Result<(), Box<dyn std::error::Error>> {
    let redis = Machine::new("redis", "docker")
        .table(&docker::Table::image("redis:7-bookworm"))
        .port("redis", 6379)
        .ready(Ready::log("Ready to accept connections"));
    let env = camp.up(Environment::new("cache").machine(redis)).await?;

    let at = env.endpoint("redis", "redis").await?;
    assert_eq!(ping(&at.to_string())?, "+PONG\r\n");
    Ok(())
}

fn ping(at: &str) -> std::io::Result<String> {
    let mut redis = TcpStream::connect(at)?;
    redis.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    redis.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What the page shows is what runs.
#[test]
fn the_page_shows_the_test_above() {
    let (page, this) = (
        include_str!("../../../docs/testcontainers.md"),
        include_str!("porting.rs"),
    );
    let shown = this.split("\n\n").skip(2).take(5).collect::<Vec<_>>().join("\n\n");
    assert!(
        shown.contains("async fn redis_answers") && page.contains(&shown),
        "{shown}"
    );
}
