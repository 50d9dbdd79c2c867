//! Three machines with encamp: a web server that names a database and a cache, and reaches both.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

use encamp::spec::{Environment, Machine, Step};
use encamp::{Ready, docker};
use encamp_test::Camp;

encamp_test::helper!();

#[encamp_test::test]
async fn the_shop_reaches_what_it_names(camp: &Camp) -> Result<(), Box<dyn Error>> {
    let db = Machine::new("db", "docker")
        .table(&docker::Table::image("postgres:15-bookworm"))
        .env("POSTGRES_PASSWORD", "for-this-test-alone")
        .port("pg", 5432)
        .ready(Ready::run("pg_isready -h 127.0.0.1"));
    let cache = Machine::new("cache", "docker")
        .table(&docker::Table::image("redis:7-bookworm"))
        .port("redis", 6379)
        .ready(Ready::log("Ready to accept connections"));
    let web = Machine::new("web", "docker")
        .table(&docker::Table::image("nginx:1.22-bookworm"))
        .port("http", 80)
        .step(Step::template("tests/shop.conf.j2", "/etc/nginx/conf.d/shop.conf"))
        .ready(Ready::http("http", "/"));
    let env = camp
        .up(Environment::new("shop").machine(db).machine(cache).machine(web))
        .await?;

    let answer = env
        .machine("db")?
        .exec(["psql", "-U", "postgres", "-tAc", "SELECT 6 * 7"])
        .output()
        .await?;
    assert_eq!(answer.stdout, b"42\n");

    let at = env.endpoint("cache", "redis").await?.to_string();
    assert_eq!(ask(&at, "PING\r\nQUIT\r\n")?, "+PONG\r\n+OK\r\n");

    let at = env.endpoint("web", "http").await?.to_string();
    let page = ask(&at, "GET / HTTP/1.0\r\n\r\n")?;
    let (_, named) = page.split_once("\r\n\r\n").ok_or("no page")?;
    assert_eq!(named.split(' ').count(), 2, "{named}");
    for other in named.split(' ') {
        let dial = format!("exec 3<>/dev/tcp/{}", other.replace(':', "/"));
        let dialled = env.machine("web")?.exec(["bash", "-c", &dial]).output().await?;
        assert!(dialled.exit.success(), "{dialled}");
    }
    Ok(())
}

/// What a server says to that until it closes.
fn ask(at: &str, question: &str) -> std::io::Result<String> {
    let mut server = TcpStream::connect(at)?;
    server.write_all(question.as_bytes())?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    Ok(answer)
}
