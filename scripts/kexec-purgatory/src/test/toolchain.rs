// SPDX-License-Identifier: GPL-2.0-only

//! Builds kernels with compilers that most tests do not use: the oldest Rust and bindgen that the
//! kernel supports, and GCC with GNU ld. They come from a Debian 13 root.
//!
//! The kernels with all options are built by the oldest Rust, one with GCC and GNU ld, one with
//! clang and lld. The group `options` enters other kernels from them and reports their KUnit tests.
//! The group `debug` uses the one that clang builds. The kernels of `boot` are built by clang, lld
//! and the newest Rust. A kernel of the group `long` is built by GCC, GNU ld and the newest Rust.
//!
//! The group `compilers` builds only the overlay's objects, for a kernel with
//! `KEXEC_PURGATORY_VERIFY=m`, by GCC and the oldest Rust.

use std::fs;

use anyhow::{Context, Result};

use super::{Kernels, Report, bare};
use crate::kernel::objects::{OF_OVERLAY, Objects};
use crate::kernel::toolchain::Toolchain;
use crate::kernel::{Built, Verify};
use crate::root::Rust;

/// Kernels that other groups boot, and the tools that they must be built with.
const BOOTED: &[(&str, Verify)] = &[
    ("toolchain/clang-newest", Verify::Y),
    ("toolchain/gcc-oldest", Verify::Options),
    ("toolchain/clang-oldest", Verify::OptionsM),
];

/// The beginning of the names of the cases without a kernel, for the purgatory built by the oldest
/// Rust. No other tests of this group run the engine `avx512-x16`.
const BARE: &str = "toolchain/oldest-bare";

/// The name of the test that GCC and the oldest Rust compile the overlay. It links no kernel, and
/// takes three minutes.
const OBJECTS: &str = "compilers/gcc-oldest";

pub fn few_names() -> Vec<String> {
    vec![OBJECTS.to_owned()]
}

pub fn run_few(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let tools = Toolchain::GCC_OLDEST;
    report.test(OBJECTS, || {
        let objects = Objects {
            name: &OBJECTS.replace('/', "-"),
            tree: kernels.tree(),
            arch: "x86_64",
            tools,
            // Warnings are errors with these options.
            fragments: &["base", "rust", "m", "watch", "options"],
            objects: OF_OVERLAY,
        };
        let folder = objects.build(kernels.layout)?;
        tools.check(&fs::read_to_string(folder.join(".config"))?)
    });
    Ok(())
}

pub fn names() -> Vec<String> {
    let booted = BOOTED.iter().map(|(name, _)| (*name).to_owned());
    let bare = bare::names_in(BARE);
    booted.chain(bare).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    for &(name, verify) in BOOTED {
        report.test(name, || check(&kernels.get(verify)?, verify.toolchain()));
    }
    if report.wants_any(&bare::names_in(BARE)) {
        bare::run_built_by(kernels.layout, report, BARE, Rust::Oldest)?;
    }
    Ok(())
}

/// Fails unless a kernel was built with these tools.
fn check(kernel: &Built, tools: Toolchain) -> Result<()> {
    let config = kernel.config();
    let text =
        fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
    tools.check(&text)
}
