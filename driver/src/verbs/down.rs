//! `encamp down`: takes an environment down, and believes only complete listings.

use serde_json::json;

use super::left;
use crate::arguments::OfEnvironment;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Of;
use crate::{output, place};

pub(super) async fn down(cx: &Context, args: &OfEnvironment) -> Result<Exit, Failure> {
    let environment = place::environment(cx, args).await?;
    let shared: Vec<String> = environment.items().map(|(name, ..)| name.to_owned()).collect();
    let mut follow = cx.follow(Of::Down)?;
    let events = follow.events();
    let done = follow
        .until(cx.encamp.down(environment.name(), events), left::interrupted)
        .await;
    follow.shown.finish();
    let Some(disposal) = done.transpose()? else {
        let existing = follow.shown.board.existing().join(", ");
        output::tell(&format!(
            "{}   left: {existing} · encamp gc ends it",
            environment.name()
        ));
        return Ok(Exit::Left);
    };
    if cx.json {
        output::json(&json!({ "disposal": disposal }));
    } else {
        left::tell(&disposal, &shared);
    }
    Ok(if disposal.is_clean() { Exit::Well } else { Exit::Left })
}
