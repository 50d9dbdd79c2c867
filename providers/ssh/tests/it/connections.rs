//! What a host is asked goes over the connection that commands have.

use std::time::Duration;

use encamp_core::Exit;

use crate::bed::{Bed, cx, target, text};

const LONG: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_one_connection_for_claims_and_commands() {
    let bed = Bed::new(2).await;
    for host in [0, 1] {
        let request = bed.request(&format!("web{host}"), host, LONG);
        bed.create(&request).await.unwrap();
        let machine = target(&request);
        for _ in 0..2 {
            assert_eq!(
                bed.run(&machine, "echo in").await.unwrap(),
                (Exit::Code(0), "in\n".to_owned())
            );
            bed.provider.inspect(&cx(), machine.clone()).await.unwrap();
        }
        bed.destroy(&machine).await.unwrap();
    }
    let log = text(&bed.lab.at("sshd.log"));
    assert_eq!(log.matches("Accepted publickey").count(), 2, "{log}");
}
