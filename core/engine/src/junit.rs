//! JUnit files of tasks, merged into one with stage, task and machine.

use encamp_core::{Error, ErrorKind, Result};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite, XmlString};

use crate::report::{Outcome, RunReport, TaskReport, Tests};
use crate::secrets::Redactor;

pub(crate) use quick_junit::TestSuite as Suite;

/// The suites of one file, each with where it came from.
#[derive(Debug)]
pub(crate) struct Suites {
    pub(crate) suites: Vec<TestSuite>,
    pub(crate) tests: Tests,
}

/// Reads a JUnit file. Suites get the stage, the task and the machine before their name and as properties.
pub(crate) fn read(text: &str, file: &str, report: &TaskReport) -> Result<Suites> {
    let whole = with_root(text);
    let parsed = Report::deserialize_from_str(&whole)
        .map_err(|e| Error::new(ErrorKind::Invalid, format!("{file} is no JUnit file")).caused_by(e))?;
    let mut tests = Tests::default();
    let suites = parsed.test_suites.into_iter().map(|mut suite| {
        for case in &suite.test_cases {
            tests.total += 1;
            match &case.status {
                TestCaseStatus::NonSuccess { .. } => tests.failed += 1,
                TestCaseStatus::Skipped { .. } => tests.skipped += 1,
                TestCaseStatus::Success { .. } => {}
            }
        }
        suite.name = format!("{} :: {}", place(report), suite.name.as_str()).into();
        suite.add_properties(properties(report));
        suite
    });
    let suites = suites.collect();
    Ok(Suites { suites, tests })
}

/// A file whose root is one suite is as good as one whose root is a list of them.
fn with_root(text: &str) -> String {
    if text.contains("<testsuites") {
        return text.to_owned();
    }
    match text.find("<testsuite") {
        Some(at) => format!(
            "<testsuites tests=\"0\" failures=\"0\" errors=\"0\">{}</testsuites>",
            &text[at..]
        ),
        None => text.to_owned(),
    }
}

fn place(report: &TaskReport) -> String {
    format!("{} · {} · {}", report.stage, report.task, report.machine)
}

fn properties(report: &TaskReport) -> Vec<Property> {
    vec![
        Property::new("encamp.stage", &report.stage),
        Property::new("encamp.task", &report.task),
        Property::new("encamp.machine", &report.machine),
    ]
}

/// The merged file: the suites that tasks wrote, and a suite of encamp's own in which each task is a test.
pub(crate) fn merge(report: &RunReport, suites: Vec<TestSuite>) -> Result<String> {
    let mut merged = Report::new(&report.environment);
    let mut own = TestSuite::new("encamp");
    for task in &report.tasks {
        let mut case = TestCase::new(place(task), status(task));
        case.set_classname("encamp.task")
            .set_time(std::time::Duration::from_millis(task.millis));
        case.add_properties(properties(task));
        own.add_test_case(case);
    }
    for (index, error) in report.errors.iter().enumerate() {
        let name = error.machine().map_or_else(
            || format!("environment {index}"),
            |machine| format!("machine {machine}"),
        );
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(encamp_core::Report(error).to_string());
        let mut case = TestCase::new(name, status);
        case.set_classname("encamp.environment");
        own.add_test_case(case);
    }
    merged.add_test_suites(suites);
    merged.add_test_suite(own);
    merged
        .to_string()
        .map_err(|e| Error::new(ErrorKind::Internal, "junit.xml cannot be written").caused_by(e))
}

/// Takes secrets out of everything that a suite says.
pub(crate) fn redact(suite: &mut TestSuite, redactor: &Redactor) {
    if redactor.is_empty() {
        return;
    }
    let text = |text: &mut XmlString| {
        if let std::borrow::Cow::Owned(redacted) = redactor.redact(text.as_str()) {
            *text = XmlString::new(redacted);
        }
    };
    let own = [&mut suite.system_out, &mut suite.system_err].into_iter().flatten();
    own.chain([&mut suite.name])
        .chain(suite.extra.values_mut())
        .for_each(text);
    suite
        .properties
        .iter_mut()
        .for_each(|property| text(&mut property.value));
    for case in &mut suite.test_cases {
        let said = [&mut case.classname, &mut case.system_out, &mut case.system_err];
        said.into_iter()
            .flatten()
            .chain([&mut case.name])
            .chain(case.extra.values_mut())
            .for_each(text);
        case.properties
            .iter_mut()
            .for_each(|property| text(&mut property.value));
        let (said, runs) = said_of(&mut case.status);
        said.into_iter().flatten().for_each(text);
        for run in runs.into_iter().flatten() {
            let said = [
                &mut run.message,
                &mut run.ty,
                &mut run.stack_trace,
                &mut run.system_out,
                &mut run.system_err,
                &mut run.description,
            ];
            said.into_iter().flatten().for_each(text);
        }
    }
}

/// The texts of a status, and the earlier runs that it tells of.
fn said_of(status: &mut TestCaseStatus) -> ([Option<&mut XmlString>; 3], Option<&mut Vec<TestRerun>>) {
    match status {
        TestCaseStatus::Success { flaky_runs } => ([None, None, None], Some(flaky_runs)),
        TestCaseStatus::NonSuccess {
            message,
            ty,
            description,
            reruns,
            ..
        } => (
            [message.as_mut(), ty.as_mut(), description.as_mut()],
            Some(&mut reruns.runs),
        ),
        TestCaseStatus::Skipped {
            message,
            ty,
            description,
        } => ([message.as_mut(), ty.as_mut(), description.as_mut()], None),
    }
}

fn status(task: &TaskReport) -> TestCaseStatus {
    match task.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Skipped | Outcome::Interrupted => TestCaseStatus::skipped(),
        // Allowed to fail: shown, and not counted against the run.
        Outcome::Failed if task.allowed => TestCaseStatus::skipped(),
        Outcome::Failed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let exit = task.exit.as_ref().map(|exit| format!("`{}` {exit}", task.command));
            status.set_message(task.failure.clone().or(exit).unwrap_or_else(|| "it failed".into()));
            status.set_description(task.tail.join("\n"));
            status
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskReport {
        TaskReport {
            stage: "test".into(),
            task: "contract".into(),
            machine: "web-0".into(),
            command: "pytest".into(),
            outcome: Outcome::Passed,
            exit: None,
            failure: None,
            tail: Vec::new(),
            attempts: 1,
            began: None,
            millis: 0,
            tests: Tests::default(),
            files: Vec::new(),
            allowed: false,
        }
    }

    const BARE: &str = r#"<?xml version="1.0"?>
<testsuite name="s" tests="3" failures="1" errors="0" skipped="1">
  <testcase name="a"/><testcase name="b"><failure message="no"/></testcase><testcase name="c"><skipped/></testcase>
</testsuite>"#;

    #[test]
    fn a_file_of_one_suite_is_read() {
        let suites = read(BARE, "r.xml", &task()).unwrap();
        assert_eq!(
            suites.tests,
            Tests {
                total: 3,
                failed: 1,
                skipped: 1
            }
        );
        assert_eq!(suites.suites[0].name.as_str(), "test · contract · web-0 :: s");
    }

    #[test]
    fn no_text_of_a_suite_keeps_a_secret() {
        let text = r#"<testsuites><testsuite name="hunt&amp;r22">
<properties><property name="p" value="hunt&amp;r22"/></properties>
<testcase name="hunt&amp;r22" classname="hunt&amp;r22"><system-out>hunt&amp;r22</system-out></testcase>
<testcase name="b"><failure message="hunt&amp;r22" type="hunt&amp;r22">hunt&amp;r22</failure>
<rerunFailure message="hunt&amp;r22" type="hunt&amp;r22"><stackTrace>hunt&amp;r22</stackTrace><system-err>hunt&amp;r22</system-err></rerunFailure></testcase>
<testcase name="c"><skipped message="hunt&amp;r22"><![CDATA[hunt&r22]]></skipped></testcase>
<testcase name="d"><flakyFailure message="hunt&amp;r22" type="t">hunt&amp;r22</flakyFailure></testcase>
<system-out>hunt&amp;r22</system-out><system-err>hunt&amp;r22</system-err></testsuite></testsuites>"#;
        let redactor = Redactor::of([&encamp_core::Secret::new("hunt&r22".to_owned())]);
        let mut suites = read(text, "r.xml", &task()).unwrap().suites;
        let written = |suites: &[TestSuite]| {
            let mut report = Report::new("r");
            report.add_test_suites(suites.to_vec());
            report.to_string().unwrap()
        };
        assert!(written(&suites).matches("hunt&amp;r22").count() >= 14);
        for suite in &mut suites {
            redact(suite, &redactor);
        }
        assert!(!written(&suites).contains("hunt&amp;r22"), "{}", written(&suites));
    }

    #[test]
    fn what_is_no_junit_is_an_error_that_names_the_file() {
        let error = read("<html/>", "r.xml", &task()).unwrap_err();
        assert!(error.message().contains("r.xml"), "{error}");
    }
}
