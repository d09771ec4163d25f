// SPDX-License-Identifier: GPL-2.0-only

//! Builds and boots kernels that are compiled and linked in other ways.

use std::path::Path;
use std::{fs, iter};

use anyhow::Result;

use super::boot::case::{Case, boot};
use super::boot::one;
use super::{Kernels, Report};
use crate::command::logged;
use crate::kernel::toolchain::Toolchain;
use crate::kernel::{Built, Verify, config, start_config};
use crate::layout::Layout;
use crate::progress::Step;

/// How a kernel is configured, built and booted.
struct Build {
    name: &'static str,
    tools: Toolchain,
    /// Targets that make the configuration, before the fragments.
    configure: &'static [&'static str],
    fragments: &'static [&'static str],
    /// Added to make's command line.
    arguments: &'static [&'static str],
    /// What it enters, in one boot each.
    cases: &'static [Case],
}

/// A normal image.
const fn enter(name: &'static str) -> Case {
    Case::enter(name, Verify::Y).debug().quiet()
}

/// A crash image.
const fn crash(name: &'static str) -> Case {
    Case::crash(name, Verify::Y).debug().quiet()
}

/// With the function tracer, which is on until machine_kexec().
const fn traced(case: Case) -> Case {
    case.arguments("ftrace=function")
        .logs("Starting tracer 'function'")
}

/// A kernel that starts from the smallest configuration.
const fn small(name: &'static str, fragments: &'static [&'static str]) -> Build {
    Build {
        name,
        tools: Toolchain::Machine,
        configure: &["tinyconfig"],
        fragments,
        arguments: &[],
        cases: &[],
    }
}

/// One kernel has several options where they do not exclude each other, because a build takes up to
/// a quarter of an hour.
const BUILDS: &[Build] = &[
    Build {
        arguments: &[
            "KCFLAGS=-march=x86-64-v3",
            "KRUSTFLAGS=-Ctarget-cpu=x86-64-v3",
        ],
        cases: &[
            enter("long/boot/optimized-normal"),
            crash("long/boot/optimized-crash"),
        ],
        ..small("long/build/optimized", &["base", "rust", "y", "optimized"])
    },
    Build {
        tools: Toolchain::GCC_NEWEST,
        cases: &[
            traced(enter("long/boot/gcc-checks-normal")),
            traced(crash("long/boot/gcc-checks-crash")).kunit_reported(),
        ],
        ..small("long/build/gcc-checks", &["base", "rust", "y", "checks"])
    },
    Build {
        cases: &[enter("long/boot/no-crash-dump-normal").device_tree()],
        ..small(
            "long/build/no-crash-dump",
            &["base", "rust", "y", "device-tree", "no-crash-dump"],
        )
    },
    Build {
        configure: &["defconfig", "rust.config"],
        cases: &[
            enter("long/boot/defconfig-normal"),
            crash("long/boot/defconfig-crash"),
        ],
        ..small("long/build/defconfig", &["kexec_file", "y"])
    },
];

pub fn names() -> Vec<String> {
    BUILDS.iter().flat_map(Build::names).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    for build in BUILDS {
        if !report.wants_any(&build.names()) {
            continue;
        }
        match build.run(kernels.layout, kernels.tree()) {
            Ok(kernel) => {
                report.record(build.name, Ok(()));
                for case in build.cases {
                    if report.wants_any(&case.names()) {
                        let next = kernels.target(case.target, &kernel);
                        let ran = next.and_then(|next| boot(kernels.layout, case, &kernel, &next));
                        one(kernels, report, case, ran);
                    }
                }
            }
            Err(error) => report.fail(build.name, &error),
        }
    }
    Ok(())
}

impl Build {
    /// The names of the build and of what its boots report.
    fn names(&self) -> Vec<String> {
        let boots = self.cases.iter().flat_map(Case::names);
        iter::once(self.name.to_owned()).chain(boots).collect()
    }

    /// Builds the kernel in its own directory, which is large and is removed after the build.
    fn run(&self, layout: &Layout, tree: &Path) -> Result<Built> {
        let name = self.name.replace('/', "-");
        let output = layout.build.join(&name);
        let log = layout.log(&name)?;
        let mut step = Step::start(self.name);
        let make = || {
            let mut make = self.tools.make(layout, tree, &output, "x86_64")?;
            make.args(self.arguments);
            Ok(make)
        };

        fs::create_dir_all(&output)?;
        let wanted = config::read(layout, self.fragments)?;
        start_config(self.configure, &wanted, &output, &make, &log, &mut step)?;
        let file = output.join(".config");
        config::check(&wanted, &file)?;
        self.tools.check(&fs::read_to_string(&file)?)?;
        logged(make()?.args(["bzImage", "modules"]), &log, &mut step)?;
        let kernel = Built::in_place(&output)?.kept(layout, &name, &output)?;
        fs::remove_dir_all(&output)?;
        step.done();
        Ok(kernel)
    }
}
