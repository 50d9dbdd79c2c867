//! Three machines with testcontainers: a web server that names a database and a cache, and reaches both.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

use testcontainers::core::wait::HttpWaitStrategy;
use testcontainers::core::{CmdWaitFor, ExecCommand, IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{GenericImage, ImageExt};

#[tokio::test]
async fn the_shop_reaches_what_it_names() -> Result<(), Box<dyn Error>> {
    let db = GenericImage::new("postgres", "15-bookworm")
        .with_wait_for(WaitFor::message_on_stderr("ready to accept connections"))
        .with_env_var("POSTGRES_PASSWORD", "for-this-test-alone")
        .with_network("bridge")
        .start()
        .await?;
    let cache = GenericImage::new("redis", "7-bookworm")
        .with_exposed_port(6379.tcp())
        .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"))
        .with_network("bridge")
        .start()
        .await?;
    let site = format!(
        "server {{ listen 80; location / {{ return 200 '{}:5432 {}:6379'; }} }}",
        db.get_bridge_ip_address().await?,
        cache.get_bridge_ip_address().await?
    );
    let web = GenericImage::new("nginx", "1.22-bookworm")
        .with_exposed_port(80.tcp())
        .with_wait_for(WaitFor::http(
            HttpWaitStrategy::new("/").with_expected_status_code(200u16),
        ))
        .with_copy_to("/etc/nginx/conf.d/shop.conf", site.into_bytes())
        .start()
        .await?;

    let mut answer = db
        .exec(ExecCommand::new(["psql", "-U", "postgres", "-tAc", "SELECT 6 * 7"]))
        .await?;
    assert_eq!(answer.stdout_to_vec().await?, b"42\n");

    let at = format!("{}:{}", cache.get_host().await?, cache.get_host_port_ipv4(6379).await?);
    assert_eq!(ask(&at, "PING\r\nQUIT\r\n")?, "+PONG\r\n+OK\r\n");

    let at = format!("{}:{}", web.get_host().await?, web.get_host_port_ipv4(80).await?);
    let page = ask(&at, "GET / HTTP/1.0\r\n\r\n")?;
    let (_, named) = page.split_once("\r\n\r\n").ok_or("no page")?;
    assert_eq!(named.split(' ').count(), 2, "{named}");
    for other in named.split(' ') {
        let dial = format!("exec 3<>/dev/tcp/{}", other.replace(':', "/"));
        let dialled = ExecCommand::new(["bash", "-c", &dial]).with_cmd_ready_condition(CmdWaitFor::exit());
        assert_eq!(web.exec(dialled).await?.exit_code().await?, Some(0), "{other}");
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
