// SPDX-License-Identifier: GPL-2.0-only

//! Which groups run for a filter, and what is documented of them.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::filter::Filter;
use super::suite::{all_ran, new_filter, none_of, planned};
use super::*;
use crate::arguments::Arguments;
use crate::layout::Layout;

/// All groups except [`CRATES`], whose test names are known only after a build.
fn groups() -> impl Iterator<Item = &'static Group> {
    GROUPS.iter().filter(|group| group.name != CRATES)
}

/// The layout of this checkout. Creates nothing.
fn layout() -> Layout {
    let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Layout {
        build: overlay.join("build"),
        cache: overlay.join("build"),
        kdir: None,
        series: None,
        overlay,
    }
}

#[test]
fn a_filter_without_tests_is_told_the_groups_it_can_name() {
    let filter = new_filter(Some("nothing".to_owned()));
    let text = none_of(&filter, Suite::Check).to_string();
    assert!(!text.contains("boot"), "{text}");
    assert!(
        text.ends_with("groups are: crates, overlay, pages, shell"),
        "{text}"
    );
}

/// The groups that a filter selects.
fn wanted(text: &str) -> Vec<&'static str> {
    let filter = new_filter(Some(text.to_owned()));
    groups()
        .filter(|group| {
            let names = group.wanted(&layout(), &filter, Suite::Test);
            !names.unwrap().is_empty()
        })
        .map(|group| group.name)
        .collect()
}

#[test]
fn groups_run_for_the_names_of_their_tests() {
    for (text, expected) in [
        ("added-lines", "patches"),
        ("html", "documentation"),
        ("prompt", "config"),
        ("engine/avx512", "bare"),
        ("magic-unchecked", "mutants"),
        ("x86_64", "mainline"),
        ("programs", "bench"),
        ("y-normal", "boot"),
        ("crashes/5", "crashes"),
        ("y-shani-x4", "boot"),
        ("y-kunit/rust_kexec_decision", "boot"),
        ("clean load", "faults"),
        ("registers/verified", "registers"),
        ("stack-bound", "purgatory"),
        ("own-nokaslr", "tail"),
        ("as-mainline", "selftests"),
        ("test_kexec_sysfs/", "selftests"),
    ] {
        assert_eq!(wanted(text), [expected], "{text}");
    }
    assert_eq!(
        wanted("scalar"),
        [
            "bare",
            "mutants",
            "boot",
            "faults",
            "registers",
            "purgatory"
        ]
    );
}

#[test]
fn a_group_that_is_named_runs_alone() {
    for group in groups() {
        assert_eq!(wanted(group.name), [group.name]);
    }
    assert_eq!(wanted("purgatory/stack"), ["purgatory"]);
    assert_eq!(wanted("debug/modinfo"), ["debug"]);
    assert_eq!(wanted("long/build/optimized"), ["long"]);
}

#[test]
fn nothing_runs_for_what_no_name_has() {
    for text in ["no such test", "boot/y-normale", "boot-y", "optimized"] {
        assert!(wanted(text).is_empty(), "{text}");
    }
}

#[test]
fn only_what_the_selected_tests_need_is_installed() {
    let needs = |text: &str| needs(&layout(), Suite::Test, Some(text.to_owned()));
    assert_eq!(needs("overlay"), [Source]);
    assert_eq!(needs("crates/tool"), [Source, RustChecks]);
    // The names of the crates' tests are not known.
    assert_eq!(needs("no such test"), [Source, RustChecks]);
    assert_eq!(needs("html"), [Source, RustChecks, Kernel, Sphinx]);
    assert!(!needs("debian").contains(&Bochs));
    assert!(!needs("").contains(&Disk));
    assert!(needs("").contains(&Uefi));
    let needs = super::needs(&layout(), Suite::Matrix, None);
    assert!(needs.contains(&Tpm) && !needs.contains(&Sphinx));
}

#[test]
fn nothing_is_installed_that_changes_how_this_machine_reboots() {
    for needs in GROUPS.iter().flat_map(|group| group.needs) {
        for package in ["kexec-tools", "kdump-tools"] {
            assert!(!needs.packages().contains(&package), "{needs:?}: {package}");
        }
    }
}

#[test]
fn groups_on_request_are_documented() {
    let read = |file| fs::read_to_string(layout().overlay.join(file)).unwrap();
    let (last, others) = ON_REQUEST.split_last().unwrap();
    let others = others.join(", ");
    let readme = read("README.md");
    let text = readme.replace('`', "");
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(
        words
            .join(" ")
            .contains(&format!("The groups {others} and {last} are not part of"))
    );
    for name in ON_REQUEST {
        assert!(readme.contains(&format!("`FILTER={name}` ")), "{name}");
    }
    let help: String = read("Makefile")
        .lines()
        .filter_map(|line| line.strip_prefix("\t@echo '")?.strip_suffix('\''))
        .flat_map(str::split_whitespace)
        .flat_map(|word| [word, " "])
        .collect();
    assert!(help.contains(&format!("FILTER={others} or {last} those")));
    assert!(
        read("scripts/kexec-purgatory/src/arguments.rs")
            .contains(&format!("{others} and {last} only"))
    );
    let arguments = Arguments::command();
    let test = arguments.find_subcommand("test").unwrap();
    let times = test.get_after_help().unwrap().to_string();
    for name in ON_REQUEST {
        assert!(times.contains(&format!("{name} ")), "{name}: {times}");
    }
}

#[test]
fn a_plan_needs_all_names() {
    let known = vec!["a/b".to_owned(), "a/c".to_owned()];
    let below = vec!["b/c/".to_owned()];
    assert_eq!(planned([Some(&known), Some(&known)].into_iter()), Some(4));
    assert_eq!(planned([Some(&known), Some(&below)].into_iter()), None);
    assert_eq!(planned([Some(&known), None].into_iter()), None);
}

#[test]
fn a_test_that_was_not_run_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut report = Report::start(Filter::new(None, [].into_iter()), None, None);
    report.record("a/b", Ok(()));
    report.skip("a/e", "no CPU");
    assert!(report.has("a/e") && !report.has("a/d"));
    all_ran(&["a/b".to_owned(), "a/c/".to_owned()], &mut report);
    assert!(!report.has("a/c/"));
    all_ran(&["a/d".to_owned()], &mut report);
    assert!(report.has("a/d"));
    let junit = folder.path().join("junit.xml");
    assert_eq!(report.finish(&junit), Some(false));
}

#[test]
fn names_begin_with_that_of_the_group() {
    for group in groups() {
        for name in group.names(&layout()).unwrap() {
            let rest = name.strip_prefix(group.name).unwrap_or(&name);
            assert!(rest.is_empty() || rest.starts_with('/'), "{name}");
        }
    }
}
