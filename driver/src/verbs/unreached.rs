//! Sites that could not be listed completely, where that is worth a word each.

use encamp::{Report, Unreached, Value};
use serde_json::json;

use crate::failure::error_json;
use crate::{clean, output};

pub(super) fn tell(all: &[Unreached]) {
    for unreached in all {
        let why = clean::short_ids(&clean::line(&Report(&unreached.error).to_string()));
        let hides = if unreached.may_hide {
            "something of ours may be there"
        } else {
            "nothing of ours is known to be there"
        };
        let place = match &unreached.site {
            Some(site) => format!("{} of `{}`", clean::line(site), unreached.instance),
            None => format!("`{}`", unreached.instance),
        };
        output::tell(&format!("not reached: {place}; {hides}   {why}"));
        if let Some(help) = unreached.error.hint() {
            output::tell(&format!("  help:  {}", clean::line(help)));
        }
    }
}

pub(super) fn json(all: &[Unreached]) -> Value {
    let one = |unreached: &Unreached| {
        json!({
            "site": unreached.site,
            "instance": unreached.instance,
            "error": error_json(&unreached.error),
            "may_hide": unreached.may_hide,
        })
    };
    all.iter().map(one).collect()
}
