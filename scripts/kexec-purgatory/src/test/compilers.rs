// SPDX-License-Identifier: GPL-2.0-only

//! Builds kernels with compilers that most tests do not use: the oldest Rust and bindgen that the
//! kernel supports, and GCC with GNU ld. They come from a Debian 13 root.
//!
//! The kernels with all options are built by the oldest Rust, one with GCC and GNU ld, one with
//! clang and lld. The group `options` enters other kernels from them and reports their KUnit tests.
//! The group `debug` uses the one that clang builds. The kernels of `boot` are built by clang, lld
//! and the newest Rust. A kernel of the group `long` is built by GCC, GNU ld and the newest Rust.
//!
//! The group `compilers` builds only the overlay's objects, for kernels with
//! `KEXEC_PURGATORY_VERIFY=m`, by GCC and the oldest Rust.

use anyhow::Result;

use super::{Kernels, TreeTest};
use crate::files;
use crate::kernel::Verify;
use crate::kernel::objects::{OF_OVERLAY, Objects};
use crate::kernel::toolchain::Toolchain;

/// The tests of kernels that other groups boot.
pub const TESTS: &[TreeTest] = &[
    ("toolchain/clang-newest", |kernels| {
        check(kernels, Verify::Y)
    }),
    ("toolchain/gcc-oldest", |kernels| {
        check(kernels, Verify::Options)
    }),
    ("toolchain/clang-oldest", |kernels| {
        check(kernels, Verify::OptionsM)
    }),
];

/// The beginning of the names of the cases without a kernel, for the purgatory built by the oldest
/// Rust. No other tests of this group run the engine `avx512-x16`.
pub const BARE: &str = "toolchain/oldest-bare";

/// The tests that GCC and the oldest Rust compile the overlay. They link no kernel, and take three
/// minutes each.
pub const COMPILERS: &[TreeTest] = &[
    ("compilers/gcc-oldest", |kernels| {
        objects(kernels, "compilers-gcc-oldest", &["watch", "options"])
    }),
    // Other tests boot their kernels by ACPI, on machines to which memory can be added.
    ("compilers/without-acpi", |kernels| {
        objects(kernels, "compilers-without-acpi", &["without-acpi"])
    }),
];

/// Builds the overlay's objects with these fragments on top of those of a small kernel.
fn objects(kernels: &mut Kernels, name: &str, fragments: &[&str]) -> Result<()> {
    let tools = Toolchain::GCC_OLDEST;
    let objects = Objects {
        name,
        tree: kernels.tree(),
        arch: "x86_64",
        tools,
        fragments: &[&["base", "rust", "m"], fragments].concat(),
        objects: OF_OVERLAY,
    };
    let folder = objects.build(kernels.layout)?;
    tools.check(&files::read_text(&folder.join(".config"))?)
}

/// Fails unless the kernel of a state was built with the tools of that state.
fn check(kernels: &mut Kernels, verify: Verify) -> Result<()> {
    let config = kernels.get(verify)?.config();
    verify.toolchain().check(&files::read_text(&config)?)
}
