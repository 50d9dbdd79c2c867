//! What a kind says about itself, and what can be learnt without changing anything.

use encamp_core::{Check, ErrorKind, Level, Resolve};

use crate::bed::{Bed, expect_kind};
use crate::promise::{Outcome, Promise, ensure, promises};

pub(crate) fn promises() -> [Promise; 7] {
    promises!(kind {
        an_invalid_table_is_refused,
        a_good_table_is_not_criticised,
        an_instance_offers_no_more_than_its_kind,
        the_site_is_the_same_for_every_instance,
        a_check_finds_no_error,
        resolving_changes_nothing,
        preparing_again_changes_nothing,
    })
}

async fn an_invalid_table_is_refused(bed: &Bed) -> Outcome {
    let problems = bed.factory.kind().examine(&bed.factory.invalid());
    let missing = problems
        .iter()
        .find(|problem| !problem.pointer.is_empty() && !problem.pointer.starts_with('/'));
    ensure!(missing.is_none(), "a problem's place is no JSON pointer: {missing:?}");
    let resolved = bed
        .provider
        .resolve(&bed.cx(), Resolve::new(bed.factory.invalid()))
        .await;
    match resolved {
        Ok(_) if problems.is_empty() => {
            ensure!(
                false,
                "neither `examine` nor `resolve` has anything against the invalid table"
            );
            Ok(())
        }
        // `examine` has refused it already; what `resolve` makes of it does not matter then.
        Ok(_) => Ok(()),
        refused @ Err(_) => expect_kind(refused, ErrorKind::Invalid, "`resolve` of an invalid table"),
    }
}

async fn a_good_table_is_not_criticised(bed: &Bed) -> Outcome {
    let problems = bed.factory.kind().examine(&bed.factory.plain());
    ensure!(
        problems.is_empty(),
        "`examine` has something against the plain table: {problems:?}"
    );
    Ok(())
}

async fn an_instance_offers_no_more_than_its_kind(bed: &Bed) -> Outcome {
    let kind = bed.factory.kind();
    let info = kind.info();
    for (what, schema) in [("settings", &info.settings_schema), ("table", &info.table_schema)] {
        ensure!(schema.is_object(), "the schema of the {what} is no JSON Schema");
    }
    let more: Vec<_> = bed.capabilities().verbs.difference(&info.most.verbs).collect();
    ensure!(more.is_empty(), "the instance offers {more:?}, which its kind does not");
    Ok(())
}

async fn the_site_is_the_same_for_every_instance(bed: &Bed) -> Outcome {
    let other = bed.factory.connect().await?;
    let (here, there) = (bed.provider.site(), other.site());
    ensure!(
        here == there,
        "two instances of the same infrastructure say {here} and {there}"
    );
    ensure!(!here.as_str().is_empty(), "the site has no name");
    Ok(())
}

async fn a_check_finds_no_error(bed: &Bed) -> Outcome {
    for check in [Check::new(), Check::thorough()] {
        let findings = bed.provider.check(&bed.cx(), check).await?;
        let error = findings.iter().find(|finding| finding.level == Level::Error);
        ensure!(error.is_none(), "`check` finds that it cannot work: {error:?}");
    }
    Ok(())
}

async fn resolving_changes_nothing(bed: &Bed) -> Outcome {
    let resolve = || async { bed.provider.resolve(&bed.cx(), Resolve::new(bed.factory.plain())).await };
    let (first, second) = (resolve().await?, resolve().await?);
    ensure!(!first.is_empty(), "`resolve` answered no candidate");
    ensure!(
        first == second,
        "the same table resolved to {first:?} and then to {second:?}"
    );
    let listing = bed.list().await?;
    ensure!(listing.found.is_empty(), "`resolve` made {:?}", listing.found);
    Ok(())
}

async fn preparing_again_changes_nothing(bed: &Bed) -> Outcome {
    let prepared = bed.candidate(bed.factory.plain()).await?;
    let again = bed.provider.prepare(&bed.cx(), prepared.clone()).await?;
    ensure!(
        prepared == again,
        "a prepared candidate {prepared:?} was prepared into {again:?}"
    );
    Ok(())
}
