// SPDX-License-Identifier: GPL-2.0-only

//! Tests of the results.

use std::fs;

use super::*;

fn report(planned: Option<usize>) -> Report {
    Report::start(Filter::new(None, [].into_iter()), None, planned)
}

#[test]
fn a_run_is_good_if_all_passed_and_some_did() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("test/junit.xml");
    let good = |run: &dyn Fn(&mut Report)| {
        let mut report = report(Some(2));
        run(&mut report);
        report.finish(&junit)
    };
    let some = good(&|report| {
        report.record("a", Ok(()));
        report.skip("b", "no CPU");
    });
    assert_eq!(some, Some(true));
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(
        xml.contains(r#"tests="2" skipped="1" errors="0" failures="0""#),
        "{xml}"
    );
    // A test that fails, fewer tests than planned, and none that ran.
    let broken = good(&|report| {
        report.record("a", Ok(()));
        report.record("b", Err(anyhow!("broken")));
    });
    assert_eq!(broken, Some(false));
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(xml.contains("broken"), "{xml}");
    assert_eq!(good(&|report| report.record("a", Ok(()))), Some(false));
    let none = good(&|report| {
        report.skip("a", "no CPU");
        report.skip("b", "no CPU");
    });
    assert_eq!(none, None);
}

#[test]
fn parts_that_are_skipped_are_not_planned() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml");
    let mut report = report(Some(1));
    report.record("a", Ok(()));
    report.skip_part("a/part", "no CPU");
    assert_eq!(report.finish(&junit), Some(true));
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(xml.contains(r#"skipped="1""#), "{xml}");
}

#[test]
fn a_junit_file_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut report = report(None);
    report.record("a", Ok(()));
    fs::write(folder.path().join("file"), "").unwrap();
    let junit = folder.path().join("file/junit.xml");
    assert_eq!(report.finish(&junit), Some(false));
}

#[test]
fn what_has_passed_before_is_not_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let record = || Passed::in_file(folder.path().join("passed"), "key");
    let names = ["a/1", "a/2", "a/kunit/"].map(str::to_owned);

    let mut first = report(None);
    first.resume(record(), &names);
    first.record("a/1", Ok(()));
    assert!(first.ran(&names).is_none());
    assert_eq!(record().names(), ["a/1"]);

    let mut second = report(None);
    second.resume(record(), &names);
    assert!(second.has("a/1") && !second.wants("a/1") && second.wants("a/2"));
    assert_eq!(
        second.results,
        [("a/1".to_owned(), "passed before".to_owned())]
    );
    second.fail("a/2", &anyhow!("broken"));
    second.ran(&names).unwrap().forget().unwrap();
    assert!(record().names().is_empty());
}

#[test]
fn tests_below_a_folder_run_again_unless_all_passed() {
    let names = ["a/kunit/".to_owned()];
    let kept = |run: &dyn Fn(&mut Report)| {
        let folder = tempfile::tempdir().unwrap();
        let record = || Passed::in_file(folder.path().join("passed"), "key");
        let mut report = report(None);
        report.resume(record(), &names);
        report.record("a/kunit/b", Ok(()));
        run(&mut report);
        report.ran_below("a/kunit");
        record().names().contains(&names[0])
    };
    assert!(kept(&|_| ()));
    assert!(!kept(&|report| report.fail("a/kunit/c", &anyhow!("broken"))));
    assert!(!kept(&|report| report.fail("a/kunit", &anyhow!("no plan"))));
}

#[test]
fn the_table_has_a_row_for_many_tests_that_passed() {
    let mut report = report(None);
    for name in [
        "a/crash/1",
        "a/crash/2",
        "a/m-kunit/b/c",
        "a/m-kunit/b/d",
        "a/e",
    ] {
        report.record(name, Ok(()));
    }
    report.fail("a/crash/3", &anyhow!("broken"));
    report.skip("a/f", "no CPU");
    let table = report.table();
    let rows: Vec<Vec<String>> = table
        .row_iter()
        .map(|row| row.cell_iter().map(|cell| cell.content()).collect())
        .collect();
    assert_eq!(
        rows,
        [
            ["a/crash", "2", "passed"],
            ["a/crash/3", "1", "failed"],
            ["a/e", "1", "passed"],
            ["a/f", "1", "SKIP no CPU"],
            ["a/m-kunit", "2", "passed"],
        ]
    );
}
