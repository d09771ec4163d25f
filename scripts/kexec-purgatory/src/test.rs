// SPDX-License-Identifier: GPL-2.0-only

//! The groups of tests.

pub mod arm;
mod bare_cases;
mod bench_programs;
mod boot;
mod builds;
mod compilers;
mod copy_loop;
mod crashes;
mod crates;
mod debian_steps;
mod debug;
mod decision_tables;
mod documentation;
mod fault_kinds;
mod filter;
mod group;
mod handover;
mod kconfig;
mod kernels;
mod ktap;
mod lint;
mod mainline;
mod matrix;
mod overlay;
mod pages;
mod patches;
mod purgatory;
mod results;
mod roots;
mod same_registers;
mod samples;
mod selftests;
mod shell;
mod some_mutants;
mod suite;
mod sysfs_abi;
mod tail;
mod variables;

use anyhow::{Result, anyhow};

use self::crashes::contexts;
use self::group::{Group, HostTest, Part, TreeTest, group};
use self::kernels::Kernels;
use self::results::Report;
pub use self::selftests::build as build_selftests;
pub use self::suite::{Suite, list, needs, run};
use crate::root::Rust;
use crate::setup::Needs;

use Needs::{
    Bochs, Compression, Disk, Guest, Kernel, Quilt, Root, RustChecks, Selftests, Shellcheck,
    Source, Sparse, Sphinx, Systemd, Tpm, Uefi,
};
use Part::{Cases, Host, HostTable, Listed, Tree, TreeTable};

/// What a group needs that builds kernels.
const BUILD: &[Needs] = &[Source, Kernel];

/// What a group needs that boots kernels in QEMU.
const BOOT: &[Needs] = &[Source, Kernel, Guest];

/// Quick ones come first.
const GROUPS: &[Group] = &[
    group(
        CRATES,
        &[Source, RustChecks],
        &[Listed(crates::names, crates::run)],
    ),
    group("overlay", &[Source], &[HostTable(overlay::TESTS)]),
    group("pages", &[Source], &[HostTable(pages::TESTS)]),
    group(
        "shell",
        &[Source, Shellcheck],
        &[Listed(shell::names, shell::run)],
    ),
    group("samples", &[Systemd], &[Host(samples::names, samples::run)]),
    group(
        "patches",
        &[Source, Kernel, Quilt],
        &[Host(patches::names, patches::run)],
    ),
    group("roots", &[Source, Root], &[HostTable(roots::TESTS)]),
    group(
        "documentation",
        &[Source, Kernel, Sphinx],
        &[TreeTable(documentation::TESTS)],
    ),
    group("config", BUILD, &[Tree(kconfig::names, kconfig::run)]),
    group("ktap", BUILD, &[Tree(ktap::names, ktap::run)]),
    group(
        "bare",
        &[Source, Kernel, Guest, Bochs],
        &[Host(
            || bare_cases::names("bare"),
            |layout, report| bare_cases::run(layout, report, "bare", None),
        )],
    ),
    group(
        "mutants",
        &[Source, Kernel, Guest, Bochs],
        &[Listed(some_mutants::names, some_mutants::run)],
    ),
    group(
        some_mutants::GENERATED,
        &[Source],
        &[Host(
            some_mutants::generated_names,
            some_mutants::run_generated,
        )],
    ),
    group(
        "mainline",
        BUILD,
        &[Tree(
            || mainline::names(mainline::FEW),
            |kernels, report| mainline::run(kernels, report, mainline::FEW),
        )],
    ),
    group(
        "compilers",
        &[Source, Kernel, Root],
        &[TreeTable(compilers::COMPILERS)],
    ),
    group(
        "bench",
        BUILD,
        &[Tree(bench_programs::names, bench_programs::run)],
    ),
    group("boot", BOOT, &[HostTable(boot::TESTS), Cases(boot::cases)]),
    group(
        "machines",
        &[Source, Kernel, Guest, Root, Uefi],
        &[Cases(matrix::few)],
    ),
    group(
        "crashes",
        &[Source, Kernel, Guest, Root],
        &[
            Tree(crashes::names, crashes::run),
            Tree(
                || contexts::names(contexts::few()),
                |kernels, report| contexts::run(kernels, report, &contexts::few()),
            ),
        ],
    ),
    group(
        "faults",
        BOOT,
        &[Tree(fault_kinds::names, fault_kinds::run)],
    ),
    group(
        "registers",
        BOOT,
        &[Tree(same_registers::names, same_registers::run)],
    ),
    group(
        "purgatory",
        BUILD,
        &[Tree(purgatory::names, purgatory::run)],
    ),
    group("tail", BOOT, &[Tree(tail::names, tail::run)]),
    group("copy", BOOT, &[Tree(copy_loop::names, copy_loop::run)]),
    group(
        "selftests",
        &[Source, Kernel, Guest, Selftests],
        &[Tree(selftests::names, selftests::run)],
    ),
    group(
        "lint",
        &[Source, Kernel, Sparse, RustChecks],
        &[Tree(lint::names, lint::run)],
    ),
    group(
        "options",
        &[Source, Kernel, Guest, Root, Tpm],
        &[Cases(boot::options), Tree(handover::names, handover::run)],
    ),
    group(
        "debug",
        &[Source, Kernel, Guest, Root, Selftests],
        &[Tree(debug::names, debug::run)],
    ),
    group(
        "toolchain",
        &[Source, Kernel, Guest, Bochs, Root],
        &[
            TreeTable(compilers::TESTS),
            Host(
                || bare_cases::names(compilers::BARE),
                |layout, report| {
                    bare_cases::run(layout, report, compilers::BARE, Some(Rust::Oldest))
                },
            ),
            Tree(
                || mainline::names(mainline::OTHERS),
                |kernels, report| mainline::run(kernels, report, mainline::OTHERS),
            ),
        ],
    ),
    group(
        "matrix",
        &[Source, Kernel, Guest, Root, Uefi, Compression],
        &[
            Cases(matrix::rows),
            TreeTable(same_registers::IN_BOCHS),
            Tree(
                || contexts::names(contexts::many()),
                |kernels, report| contexts::run(kernels, report, &contexts::many()),
            ),
        ],
    ),
    group(
        "debian",
        &[Source, Guest, Root, Uefi, Disk],
        &[Host(debian_steps::names, debian_steps::run)],
    ),
    group(
        "long",
        &[Source, Kernel, Guest, Root],
        &[
            Tree(crashes::many_names, crashes::run_many),
            Tree(builds::names, builds::run),
            HostTable(bench_programs::STATIC),
        ],
    ),
];

/// Groups that run only if a filter names them: they take longer than all others together, or have
/// what a longer one has too.
const ON_REQUEST: &[&str] = &[
    "compilers",
    "options",
    "toolchain",
    "matrix",
    "debian",
    "debug",
    "long",
    some_mutants::GENERATED,
];

/// The groups of `make matrix`: machines, kernels, checkers, compilers and crashes. A run that was
/// interrupted goes on where it ended.
const MATRIX: &[&str] = &[
    "compilers",
    "options",
    "debug",
    "toolchain",
    "matrix",
    "long",
];

/// The groups that need no root, no kernel, and no package except git, a C compiler and Rust.
const CHECK: &[&str] = &[CRATES, "overlay", "pages", "shell"];

/// A group whose tests have to be built before their names are known.
const CRATES: &str = "crates";

/// The value of a result that several tests share, or an error with the same text: errors cannot be
/// cloned.
fn shared<T>(result: &Result<T>) -> Result<&T> {
    result.as_ref().map_err(|error| anyhow!("{error:#}"))
}

#[cfg(test)]
mod suite_tests;
