// SPDX-License-Identifier: GPL-2.0-only

//! Builds and boots kernels that are compiled and linked in other ways.

use std::path::Path;
use std::{fs, iter};

use anyhow::{Context, Result, ensure};

use super::boot::case::Target;
use super::boot::case::kexec_check::{is, purgatory_spoke};
use super::boot::report_kunit;
use super::{Kernels, Report, debug};
use crate::command::logged;
use crate::device_tree::MODEL;
use crate::guest::{Extra, KUNIT, Loader, Plan, Purpose};
use crate::kernel::toolchain::Toolchain;
use crate::kernel::{Built, Verify, config, start_config};
use crate::kexec::{self, Kexec};
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
    /// The purposes that it supports.
    purposes: &'static [Purpose],
    /// Added to the first kernel's command line.
    boots_with: &'static str,
    /// A line that the log of each boot must have.
    logs: Option<&'static str>,
    /// Whether the boot that crashes reports the KUnit tests.
    kunit: bool,
    /// Whether it enters itself, on a machine with a device tree that the next kernel must get.
    device_tree: bool,
}

const ENTER: &[Purpose] = &[Purpose::Enter];
const BOTH: &[Purpose] = &[Purpose::Enter, Purpose::Crash];

/// A kernel that starts from the smallest configuration and supports both purposes.
const fn small(name: &'static str, fragments: &'static [&'static str]) -> Build {
    Build {
        name,
        tools: Toolchain::Machine,
        configure: &["tinyconfig"],
        fragments,
        arguments: &[],
        purposes: BOTH,
        boots_with: "",
        logs: None,
        kunit: false,
        device_tree: false,
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
        ..small("long/build/optimized", &["base", "rust", "y", "optimized"])
    },
    // The function tracer is on until machine_kexec().
    Build {
        tools: Toolchain::GCC_NEWEST,
        boots_with: "ftrace=function",
        logs: Some("Starting tracer 'function'"),
        kunit: true,
        ..small("long/build/gcc-checks", &["base", "rust", "y", "checks"])
    },
    Build {
        purposes: ENTER,
        device_tree: true,
        ..small(
            "long/build/no-crash-dump",
            &["base", "rust", "y", "device-tree", "no-crash-dump"],
        )
    },
    Build {
        configure: &["defconfig", "rust.config"],
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
                build.boot(kernels, &kernel, report);
            }
            Err(error) => report.fail(build.name, &error),
        }
    }
    Ok(())
}

impl Build {
    /// The names of the build, of one boot for each purpose, and of the KUnit tests.
    fn names(&self) -> Vec<String> {
        let purposes = self.purposes.iter().map(|purpose| purpose.name());
        let kunit = self.kunit.then_some("kunit/");
        let boots = purposes.chain(kunit).map(|part| self.boot_name(part));
        iter::once(self.name.to_owned()).chain(boots).collect()
    }

    /// The name of what a boot reports. `part` is the name of its purpose, or "kunit".
    fn boot_name(&self, part: &str) -> String {
        format!("{}-{part}", self.name.replace("build", "boot"))
    }

    /// Makes it enter the next kernel for each purpose.
    fn boot(&self, kernels: &mut Kernels, kernel: &Built, report: &mut Report) {
        for &purpose in self.purposes {
            let name = self.boot_name(purpose.name());
            // Some KUnit tests need memory for a crash kernel.
            let kunit = self.kunit && purpose == Purpose::Crash;
            let mut names = vec![name.clone()];
            names.extend(kunit.then(|| self.boot_name("kunit/")));
            if !report.wants_any(&names) {
                continue;
            }
            match self.boot_once(kernels, kernel, purpose, kunit, &name) {
                Ok(kexec) => {
                    report.record(&name, self.check(&kexec).with_context(|| kexec.log.tail()));
                    if kunit {
                        let name = self.boot_name("kunit");
                        report_kunit(kernels, report, &name, Verify::Y, &kexec.log);
                    }
                }
                Err(error) => report.fail(&name, &error),
            }
        }
    }

    fn boot_once(
        &self,
        kernels: &mut Kernels,
        kernel: &Built,
        purpose: Purpose,
        kunit: bool,
        name: &str,
    ) -> Result<Kexec> {
        let mut plan = Plan::new(purpose);
        let mut target = Target::Distribution;
        let arguments = match kunit {
            true => [self.boots_with, KUNIT].join(" "),
            false => self.boots_with.to_owned(),
        };
        plan.loader = Loader::Debug;
        plan.arguments = &arguments;
        if self.device_tree {
            plan.extra = Some(Extra::DeviceTree);
            plan.hardware.device_tree = true;
            target = Target::Own;
        }
        let next = kernels.target(target, kernel)?;
        let name = name.replace('/', "-");
        kexec::run(kernels.layout, &name, kernel, &next, &plan)
    }

    /// Checks that the purgatory verified the image, and that it was entered.
    fn check(&self, kexec: &Kexec) -> Result<()> {
        let log = &kexec.log;
        kexec.check(true)?;
        purgatory_spoke(kexec, true)?;
        debug::are_quiet(log, kexec.purpose, self.device_tree)?;
        if let Some(line) = self.logs {
            ensure!(
                log.lines().any(|found| found == line),
                "the log has no line {line:?}"
            );
        }
        if self.device_tree {
            let found = log.after("guest: device tree of ");
            is("the next kernel's device tree", found, MODEL)?;
        }
        Ok(())
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
