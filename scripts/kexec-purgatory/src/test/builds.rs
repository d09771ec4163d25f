// SPDX-License-Identifier: GPL-2.0-only

//! Kernels that are built and not booted: with other ways to compile and link all of it.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Result, bail};

use super::{Kernels, Report};
use crate::command::logged;
use crate::kernel::{self, config};
use crate::layout::Layout;
use crate::progress::Step;

/// How a kernel is configured and built.
struct Build {
    name: &'static str,
    /// Targets that make the configuration, before the fragments.
    configure: &'static [&'static str],
    fragments: &'static [&'static str],
    /// More of make's command line.
    arguments: &'static [&'static str],
}

const BUILDS: &[Build] = &[
    Build {
        name: "long/build/lto-cfi",
        configure: &["tinyconfig"],
        fragments: &["base", "rust", "y", "lto-cfi"],
        arguments: &[],
    },
    Build {
        name: "long/build/x86-64-v3",
        configure: &["tinyconfig"],
        fragments: &["base", "rust", "y"],
        arguments: &[
            "KCFLAGS=-march=x86-64-v3",
            "KRUSTFLAGS=-Ctarget-cpu=x86-64-v3",
        ],
    },
    Build {
        name: "long/build/no-crash-dump",
        configure: &["tinyconfig"],
        fragments: &["base", "rust", "y", "no-crash-dump"],
        arguments: &[],
    },
    Build {
        name: "long/build/defconfig",
        configure: &["defconfig", "rust.config"],
        fragments: &["kexec_file", "y"],
        arguments: &[],
    },
];

pub fn names() -> Vec<String> {
    BUILDS.iter().map(|build| build.name.to_owned()).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    for build in BUILDS {
        report.test(build.name, || build.run(kernels.layout, kernels.tree()));
    }
    Ok(())
}

impl Build {
    /// Builds the kernel in a folder of its own, which goes when it was built: it is large.
    fn run(&self, layout: &Layout, tree: &Path) -> Result<()> {
        let name = self.name.replace('/', "-");
        let output = layout.build.join(&name);
        let log = layout.log(&name)?;
        let mut step = Step::start(self.name);
        let make = || {
            kernel::make(layout, tree, &output, "x86_64").map(|mut make| {
                make.args(self.arguments);
                make
            })
        };

        fs::create_dir_all(&output)?;
        logged(make()?.args(self.configure), &log, &mut step)?;
        let wanted = config::read(layout, self.fragments)?;
        let file = output.join(".config");
        config::append(&file, &wanted)?;
        logged(make()?.arg("olddefconfig"), &log, &mut step)?;
        let missing = config::missing(&wanted, &fs::read_to_string(&file)?);
        if !missing.is_empty() {
            bail!("not as asked: {}", missing.join(", "));
        }
        logged(
            make()?
                .arg(format!("-j{}", thread::available_parallelism()?))
                .args(["bzImage", "modules"]),
            &log,
            &mut step,
        )?;
        fs::remove_dir_all(&output)?;
        step.done();
        Ok(())
    }
}
