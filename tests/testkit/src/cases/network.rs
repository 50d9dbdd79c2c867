//! Connections as the machine itself would make them.

use encamp_core::{Capabilities, Dial, ErrorKind, Exec, Exit, Name, Target, Verb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bed::Bed;
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 5] {
    promises!(network {
        a_connection_reaches_what_listens if dials, or "dial",
        a_connection_ends_where_nothing_listens if dials, or "dial",
        a_connection_reaches_a_peer_by_name if dials_names, or "dial, or names in a scope",
        members_find_each_other_by_name_and_alias if names, or "names in a scope, or exec",
        a_listener_accepts_what_the_machine_dials if listens, or "listen and dial",
    })
}

fn dials(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Dial)
}

fn dials_names(capabilities: &Capabilities) -> bool {
    dials(capabilities) && capabilities.scope_names
}

fn names(capabilities: &Capabilities) -> bool {
    capabilities.scope_names && capabilities.offers(Verb::Exec)
}

fn listens(capabilities: &Capabilities) -> bool {
    dials(capabilities) && capabilities.offers(Verb::Listen)
}

async fn members_find_each_other_by_name_and_alias(bed: &Bed) -> Outcome {
    let mut request = bed.request("web-0", bed.factory.plain()).await?;
    request.aliases = vec![Name::new("web").map_err(|error| Stop::Broken(error.to_string()))?];
    bed.raise_request(&bed.stamps.freeze(request)).await?;
    let asker = bed.raise("asker", bed.factory.plain()).await?;
    for name in ["web-0", "web", "asker"] {
        let command = bed.factory.resolves(name);
        let command = command.ok_or_else(|| Stop::NotOffered("no command that looks names up".into()))?;
        bed.eventually(&format!("able to find {name}"), || async {
            let output = bed.run(Exec::new(asker.clone(), command.clone())).await?;
            Ok((output.exit == Exit::Code(0)).then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn echo(bed: &Bed) -> Outcome<Target> {
    let table = bed
        .factory
        .echoes(bed.factory.port())
        .ok_or_else(|| Stop::NotOffered("no table for a machine that listens".into()))?;
    bed.raise("echo", table).await
}

/// A port on which no machine listens.
fn silent(bed: &Bed) -> u16 {
    bed.factory.port() + 1
}

/// Sends a line and waits for it; nothing where the connection ends before.
async fn ping(bed: &Bed, dial: Dial) -> Outcome<Option<()>> {
    let Ok(mut connection) = bed.provider.dial(&bed.cx(), dial).await else {
        return Ok(None);
    };
    let talking = async {
        connection.write_all(b"ping\n").await?;
        connection.flush().await?;
        let mut back = [0; 5];
        connection.read_exact(&mut back).await?;
        std::io::Result::Ok(back)
    };
    let bound = bed.factory.bounds().running;
    match tokio::time::timeout(bound, talking).await {
        Ok(Ok(back)) => {
            ensure!(&back == b"ping\n", "what came back is {back:?}");
            Ok(Some(()))
        }
        Ok(Err(_)) => Ok(None),
        Err(_) => Err(Stop::Broken("nothing came back".into())),
    }
}

async fn a_connection_reaches_what_listens(bed: &Bed) -> Outcome {
    let target = echo(bed).await?;
    // Running is not yet listening.
    bed.eventually("reached", || ping(bed, Dial::new(target.clone(), bed.factory.port())))
        .await?;
    for _ in 0..3 {
        let again = ping(bed, Dial::new(target.clone(), bed.factory.port())).await?;
        ensure!(again.is_some(), "a later connection was not answered");
    }
    Ok(())
}

async fn a_connection_ends_where_nothing_listens(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let answered = ping(bed, Dial::new(target, silent(bed))).await?;
    ensure!(answered.is_none(), "a port on which nothing listens answered");
    Ok(())
}

async fn a_connection_reaches_a_peer_by_name(bed: &Bed) -> Outcome {
    echo(bed).await?;
    let beside = bed.plain().await?;
    let mut dial = Dial::new(beside, bed.factory.port());
    dial.host = Some("echo".into());
    if let Err(error) = bed.provider.dial(&bed.cx(), dial.clone()).await
        && error.kind() == ErrorKind::Unsupported
    {
        return Err(Stop::NotOffered("other hosts cannot be dialled".into()));
    }
    bed.eventually("reached by name", || ping(bed, dial.clone())).await
}

async fn a_listener_accepts_what_the_machine_dials(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let listen = encamp_core::Listen::new(target.clone(), silent(bed));
    let mut listener = bed.provider.listen(&bed.cx(), listen).await?;
    let answering = async {
        let mut connection = listener.accept().await?;
        let mut line = [0; 5];
        connection.read_exact(&mut line).await?;
        connection.write_all(&line).await?;
        connection.flush().await?;
        Ok(())
    };
    let asking = bed.eventually("accepted", || ping(bed, Dial::new(target.clone(), silent(bed))));
    let (answered, asked): (Outcome, _) = tokio::join!(answering, asking);
    answered.and(asked)
}
