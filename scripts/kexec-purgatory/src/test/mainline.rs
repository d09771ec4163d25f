// SPDX-License-Identifier: GPL-2.0-only

//! Without the Rust purgatory, the objects of the grafted tree must equal, byte for byte, those of
//! the released kernel with the fixes at the head of the series. Every run of the tests compares
//! those of x86; the group `toolchain` compares those of GCC and of other architectures.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use super::{Kernels, Report};
use crate::command::{command, output};
use crate::fetch;
use crate::graft;
use crate::kernel::objects::Objects;
use crate::kernel::toolchain::Toolchain;
use crate::layout::Layout;

/// An architecture, and its objects that a patch touches or that include a header that a patch
/// touches.
pub struct Case {
    name: &'static str,
    arch: &'static str,
    tools: Toolchain,
    fragments: &'static [&'static str],
    objects: &'static [&'static str],
}

const X86_64: &[&str] = &[
    "kernel/kexec.o",
    "kernel/kexec_core.o",
    "kernel/kexec_file.o",
    "arch/x86/kernel/crash.o",
    "arch/x86/kernel/kexec-bzimage64.o",
    "arch/x86/kernel/machine_kexec_64.o",
    "arch/x86/kernel/relocate_kernel_64.o",
    "arch/x86/purgatory/purgatory.ro",
];

const I386: &[&str] = &[
    "kernel/kexec.o",
    "kernel/kexec_core.o",
    "arch/x86/kernel/machine_kexec_32.o",
    "arch/x86/kernel/relocate_kernel_32.o",
];

/// Of any other architecture.
const GENERIC: &[&str] = &["kernel/kexec_core.o", "kernel/kexec_file.o"];

/// The cases of the group `mainline`.
pub const FEW: &[Case] = &[
    case("mainline/x86_64", "x86_64", &["base", "norust"], X86_64),
    case("mainline/i386", "i386", &["kexec"], I386),
];

/// The cases of the group `toolchain`.
pub const OTHERS: &[Case] = &[
    Case {
        tools: Toolchain::GCC_OLDEST,
        ..case(
            "toolchain/mainline-gcc",
            "x86_64",
            &["base", "norust"],
            X86_64,
        )
    },
    case(
        "toolchain/mainline-riscv",
        "riscv",
        &["kexec_file"],
        GENERIC,
    ),
    case("toolchain/mainline-s390", "s390", &["kexec_file"], GENERIC),
];

const fn case(
    name: &'static str,
    arch: &'static str,
    fragments: &'static [&'static str],
    objects: &'static [&'static str],
) -> Case {
    Case {
        name,
        arch,
        tools: Toolchain::Machine,
        fragments,
        objects,
    }
}

/// The names of these cases.
pub fn names(cases: &[Case]) -> Vec<String> {
    cases.iter().map(|case| case.name.to_owned()).collect()
}

/// Runs those of `cases` that are selected.
pub fn run(kernels: &mut Kernels, report: &mut Report, cases: &[Case]) -> Result<()> {
    if !report.wants_any(&names(cases)) {
        return Ok(());
    }
    let layout = kernels.layout;
    // The kernel tree as it was fetched, with the fixes.
    let mended = fetch::pristine_tree(layout)?;
    graft::mend(layout, &mended)?;
    for case in cases {
        report.test(case.name, || compare(layout, case, &mended, kernels.tree()));
    }
    Ok(())
}

fn compare(layout: &Layout, case: &Case, mended: &Path, grafted: &Path) -> Result<()> {
    // A build of few objects spends most of its time in steps that use one processor.
    let (before, after) = thread::scope(|scope| {
        let before = scope.spawn(|| build(layout, case, mended, "mended"));
        let after = build(layout, case, grafted, "grafted");
        (before.join(), after)
    });
    let before = before.map_err(|_| anyhow!("the build panicked"))??;
    let after = after?;

    for object in case.objects {
        let (before, after) = (
            stripped(&before.join(object))?,
            stripped(&after.join(object))?,
        );

        ensure!(!before.is_empty(), "{object} is empty");
        ensure!(before == after, "{object} differs");
    }
    Ok(())
}

/// An object without its local symbols: an initcall's name contains a line number.
fn stripped(object: &Path) -> Result<Vec<u8>> {
    let to = object.with_extension("stripped");

    output(
        command("llvm-objcopy-19")
            .arg("--strip-unneeded")
            .args([object, &to]),
    )?;
    fs::read(&to).with_context(|| format!("no {}", to.display()))
}

/// Builds the objects of a case. Returns the build directory.
fn build(layout: &Layout, case: &Case, tree: &Path, which: &str) -> Result<PathBuf> {
    Objects {
        name: &format!("{}-{which}", case.name.replace('/', "-")),
        tree,
        arch: case.arch,
        tools: case.tools,
        fragments: case.fragments,
        objects: case.objects,
    }
    .build(layout)
}
