// SPDX-License-Identifier: GPL-2.0-only

//! Builds a few objects of a kernel, in a separate directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::config;
use super::start_config;
use super::toolchain::Toolchain;
use crate::command::logged;
use crate::layout::Layout;
use crate::progress::Step;

/// The overlay's directories with objects, and what its patches touch. `rust/` is built with every
/// object.
pub const OF_OVERLAY: &[&str] = &[
    "arch/x86/kexec/",
    "arch/x86/purgatory/rust/",
    "samples/rust/",
    "arch/x86/kernel/crash.o",
    "arch/x86/kernel/kexec-bzimage64.o",
    "arch/x86/kernel/machine_kexec_64.o",
    "arch/x86/kernel/relocate_kernel_64.o",
    "kernel/kexec.o",
    "kernel/kexec_core.o",
    "kernel/kexec_file.o",
];

/// What objects are built from, and where.
pub struct Objects<'a> {
    /// The name of the directory in `build/` and of the log.
    pub name: &'a str,
    pub tree: &'a Path,
    pub arch: &'a str,
    pub tools: Toolchain,
    /// The fragments that make the configuration, on top of tinyconfig.
    pub fragments: &'a [&'a str],
    /// Paths in the build directory.
    pub objects: &'a [&'a str],
}

impl Objects<'_> {
    /// Builds the objects. Returns the build directory.
    pub fn build(&self, layout: &Layout) -> Result<PathBuf> {
        let output = layout.build.join(self.name);
        let mut step = Step::start(format!("build objects of {}", self.name));
        let log = layout.log(self.name)?;
        let wanted = config::read(layout, self.fragments)?;
        let make = || self.tools.make(layout, self.tree, &output, self.arch);

        fs::create_dir_all(&output)?;
        start_config(&["tinyconfig"], &wanted, &output, &make, &log, &mut step)?;
        config::check(&wanted, &output.join(".config"))?;
        logged(
            make()?.args(self.objects.iter().map(|object| target(object))),
            &log,
            &mut step,
        )?;
        step.done();
        Ok(output)
    }
}

/// The make target that gives an object: kbuild links a program only with all of its directory.
fn target(object: &str) -> &str {
    match object.rsplit_once('/') {
        Some((_, file)) if file.ends_with(".ro") => object.trim_end_matches(file),
        _ => object,
    }
}
