// SPDX-License-Identifier: GPL-2.0-only

//! Builds and boots kernels that are compiled and linked in other ways.

use std::path::Path;
use std::{fs, iter, thread};

use anyhow::{Context, Result, bail, ensure};

use super::boot::case::Target;
use super::{Kernels, Report, debug};
use crate::command::logged;
use crate::device_tree::MODEL;
use crate::guest::{Extra, Loader, Plan, Purpose};
use crate::kernel::{self, Built, config};
use crate::kexec;
use crate::layout::Layout;
use crate::progress::Step;

/// How a kernel is configured and built.
struct Build {
    name: &'static str,
    /// Targets that make the configuration, before the fragments.
    configure: &'static [&'static str],
    fragments: &'static [&'static str],
    /// Added to make's command line.
    arguments: &'static [&'static str],
    /// The purposes that it supports.
    purposes: &'static [Purpose],
    /// Whether it enters itself, on a machine with a device tree that the next kernel must get.
    device_tree: bool,
}

const ENTER: &[Purpose] = &[Purpose::Enter];
const BOTH: &[Purpose] = &[Purpose::Enter, Purpose::Crash];

const BUILDS: &[Build] = &[
    Build {
        name: "long/build/lto-cfi",
        configure: &["tinyconfig"],
        fragments: &["base", "rust", "y", "lto-cfi"],
        arguments: &[],
        purposes: BOTH,
        device_tree: false,
    },
    Build {
        name: "long/build/checks",
        configure: &["tinyconfig"],
        fragments: &["base", "rust", "y", "checks"],
        arguments: &[],
        purposes: BOTH,
        device_tree: false,
    },
    Build {
        name: "long/build/autofdo",
        configure: &["tinyconfig"],
        fragments: &["base", "rust", "y", "autofdo"],
        arguments: &[],
        purposes: BOTH,
        device_tree: false,
    },
    Build {
        name: "long/build/x86-64-v3",
        configure: &["tinyconfig"],
        fragments: &["base", "rust", "y"],
        arguments: &[
            "KCFLAGS=-march=x86-64-v3",
            "KRUSTFLAGS=-Ctarget-cpu=x86-64-v3",
        ],
        purposes: BOTH,
        device_tree: false,
    },
    Build {
        name: "long/build/device-tree",
        configure: &["tinyconfig"],
        fragments: &["base", "rust", "y", "device-tree"],
        arguments: &[],
        purposes: ENTER,
        device_tree: true,
    },
    Build {
        name: "long/build/no-crash-dump",
        configure: &["tinyconfig"],
        fragments: &["base", "rust", "y", "no-crash-dump"],
        arguments: &[],
        purposes: ENTER,
        device_tree: false,
    },
    Build {
        name: "long/build/defconfig",
        configure: &["defconfig", "rust.config"],
        fragments: &["kexec_file", "y"],
        arguments: &[],
        purposes: BOTH,
        device_tree: false,
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
    /// The name of the build, and one for each purpose.
    fn names(&self) -> Vec<String> {
        let boots = self.purposes.iter().map(|&purpose| self.boot_name(purpose));
        iter::once(self.name.to_owned()).chain(boots).collect()
    }

    fn boot_name(&self, purpose: Purpose) -> String {
        format!("{}-{}", self.name.replace("build", "boot"), purpose.name())
    }

    /// Makes it enter the next kernel for each purpose.
    fn boot(&self, kernels: &mut Kernels, kernel: &Built, report: &mut Report) {
        for &purpose in self.purposes {
            let name = self.boot_name(purpose);
            report.test(&name, || self.boot_once(kernels, kernel, purpose, &name));
        }
    }

    fn boot_once(
        &self,
        kernels: &mut Kernels,
        kernel: &Built,
        purpose: Purpose,
        name: &str,
    ) -> Result<()> {
        let mut plan = Plan::new(purpose);
        let mut target = Target::Distribution;
        if self.device_tree {
            plan.loader = Loader::Debug;
            plan.extra = Some(Extra::DeviceTree);
            plan.hardware.device_tree = true;
            target = Target::Own;
        }
        let next = kernels.target(target, kernel)?;
        let name = name.replace('/', "-");
        let kexec = kexec::run(kernels.layout, &name, kernel, &next, &plan)?;
        let log = &kexec.log;
        kexec.check(true).with_context(|| log.tail())?;
        debug::are_quiet(log, purpose, target == Target::Own)?;
        if self.device_tree {
            let found = log.after("guest: device tree of ");
            ensure!(
                found == Some(MODEL),
                "the next kernel has the device tree of {found:?}"
            );
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
        let kernel = Built::in_place(&output)?.kept(layout, &name, &output)?;
        fs::remove_dir_all(&output)?;
        step.done();
        Ok(kernel)
    }
}
