//! `encamp explain`: what a code means, at length.

use serde_json::json;

use crate::arguments::Explain;
use crate::codes;
use crate::exit::Exit;
use crate::explanations::{self, Explanation};
use crate::failure::{Failure, Refusal};
use crate::{clean, output, words};

/// As wide as people read.
const WIDTH: usize = 88;

pub(crate) fn explain(args: &Explain, json: bool) -> Result<Exit, Failure> {
    let Some(code) = &args.code else {
        list(json);
        return Ok(Exit::Well);
    };
    let Some(found) = explanations::of(code) else {
        let refusal = Refusal::new(codes::NO_SUCH, format!("no code is called `{}`", clean::line(code)));
        return Err(refusal.help("encamp explain lists them").into());
    };
    if json {
        output::json(&to_json(&found));
    } else {
        output::result(&format!("{}   {}\n", found.code, found.title));
        for line in words::wrap(found.text, WIDTH) {
            output::result(&line);
        }
    }
    Ok(Exit::Well)
}

fn list(json: bool) {
    if json {
        let all: Vec<_> = explanations::all().map(|explanation| to_json(&explanation)).collect();
        output::json(&json!({ "codes": all }));
        return;
    }
    for explanation in explanations::all() {
        output::result(&format!("{}   {}", explanation.code, explanation.title));
    }
}

fn to_json(explanation: &Explanation) -> encamp::Value {
    json!({ "code": explanation.code, "title": explanation.title, "text": explanation.text })
}
