//! A plan in which nothing changes: the store and the provider are read, and that is all.

use encamp::memory::{self, World};
use encamp::{Encamp, Events};

use crate::scale::clock;
use crate::{Failure, camp};

/// How often it is planned.
const ROUNDS: usize = 5;

/// Prints how long it takes to see that nothing changes.
pub(crate) async fn print(machines: usize) -> Result<(), Failure> {
    let state = tempfile::tempdir()?;
    let world = World::new(1);
    let settings = serde_json::json!({ "network": true, "limits": { "changes": 64, "reads": 64 } });
    let encamp = Encamp::builder()
        .state_dir(state.path())
        .kind(memory::kind(world))
        .instance("sim", "memory", settings)
        .open()?;
    let describe = || camp::describe(&encamp, "sim", machines, "memory.image = \"any\"");
    let up = encamp.prepare_up(describe()?, Events::none()).await?.execute().await?;
    if !up.ready {
        return Err(format!("not ready: {:?}", up.errors.first()).into());
    }
    for _ in 0..ROUNDS {
        let began = clock();
        let environment = describe()?;
        let read = began.elapsed();
        let preview = encamp.preview(environment, Events::none()).await?;
        let all = began.elapsed();
        if !preview.plan.is_empty() || preview.plan.steps.len() != machines {
            return Err(format!("something changes: {:?}", preview.plan.steps.first()).into());
        }
        println!("{machines} machines, no change: {all:.0?}, of which reading the file {read:.0?}");
    }
    encamp.down("bench", Events::none()).await?;
    Ok(())
}
