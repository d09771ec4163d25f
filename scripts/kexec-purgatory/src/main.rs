// SPDX-License-Identifier: GPL-2.0-only

//! Builds, boots and tests the kexec purgatory overlay.

// The static program only measures; it does not use the rest.
#![cfg_attr(feature = "standalone", allow(dead_code, unused_imports))]

#[expect(dead_code, reason = "shared with the purgatory")]
#[path = "../../../arch/x86/purgatory/rust/abi.rs"]
mod abi;
mod apt;
mod arguments;
mod bare;
mod bench;
mod bochs;
mod bzimage;
mod command;
mod debian;
mod device_tree;
#[expect(dead_code, reason = "shared with the purgatory")]
#[path = "../../../arch/x86/purgatory/rust/digest/engines.rs"]
mod engines;
mod exit;
mod expected;
mod faults;
mod fetch;
mod figures;
mod files;
mod fuzz;
mod graft;
mod guest;
mod hardware;
mod initramfs;
mod kernel;
mod kexec;
mod layout;
mod machine;
mod mutants;
mod parallel;
mod params;
mod passed;
mod pristine;
mod processors;
mod progress;
mod qemu;
mod registers;
mod root;
mod run;
mod same_code;
mod series;
mod setup;
mod space;
mod stack;
mod supported;
mod table_cells;
mod test;
mod vendor;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::arguments::{Action, Arguments};
use crate::bench::processor::SIZES;
use crate::debian::packages::Build;
use crate::layout::{Layout, lock};
use crate::test::Suite;

fn main() -> ExitCode {
    #[cfg(feature = "standalone")]
    let result = bench::standalone::run().map(|()| true);
    #[cfg(not(feature = "standalone"))]
    let result = run(Arguments::parse());

    if let Err(error) = &result {
        eprintln!("error: {error:#}");
    }
    ExitCode::from(exit::code(&result))
}

/// Runs a command. Returns whether everything that it checked passed.
fn run(arguments: Arguments) -> Result<bool> {
    let layout = Layout::find(arguments.kdir, arguments.series)?;
    let action = arguments.command;
    // Takes no lock: it reads nothing that another run changes.
    if let Action::Test {
        filter, list: true, ..
    } = action
    {
        return test::list(&layout, filter);
    }
    let _lock = lock(&layout.build)?;
    if let Some(disk) = action.disk(&layout) {
        space::check(&[&layout.build, &layout.cache], disk)?;
    }
    setup::install(&layout, &action.needs(&layout))?;
    match action {
        Action::Graft => {
            let tree = graft::kernel_tree(&layout)?;
            graft::graft(&layout, &tree)?;
        }
        Action::Ungraft => {
            let tree = match &layout.kdir {
                Some(dir) => dir.clone(),
                None => fetch::kernel_tree_path(&layout)?,
            };
            let tree = tree
                .canonicalize()
                .with_context(|| format!("cannot use {}", tree.display()))?;
            graft::ungraft(&tree)?;
        }
        Action::Kernel { output, verify } => {
            let tree = graft::kernel_tree(&layout)?;
            graft::graft(&layout, &tree)?;
            let kernel = kernel::build(&layout, &tree, output.as_deref(), verify)?;
            println!("{}", kernel.image().display());
        }
        Action::Registers => return registers::run(&layout),
        Action::Run => return run::run(&layout),
        Action::Bench {
            rounds,
            runs,
            no_emulation,
            caches,
        } => {
            let runs = (!no_emulation).then_some(runs);
            let options = bench::Options {
                rounds: rounds.into(),
                caches,
                sizes: SIZES,
            };
            bench::run(&layout, &options, runs)?;
        }
        Action::BenchStatic => {
            println!("{}", bench::standalone::build(&layout)?.display());
        }
        Action::Mutants { filter } => {
            let filter = filter.unwrap_or_default();
            return mutants::run(&layout, &|mutant| mutant.name.contains(&filter));
        }
        Action::Fuzz {
            seconds,
            runs,
            keep,
        } => return fuzz::run(&layout, seconds, runs, keep),
        Action::Series { pull } => {
            let tree = graft::kernel_tree(&layout)?;
            supported::series(&tree)?;
            let series = layout.build.join("series");
            return series::make(&layout, &tree, &series, pull.as_ref());
        }
        Action::SeriesCheck => return series::check::run(&layout),
        Action::DebianPatches => debian::source_patches::make(&layout)?,
        Action::Deb { profile } => {
            for package in debian::packages::make(&layout, profile, Build::First)? {
                println!("{}", package.display());
            }
        }
        Action::Faults { count, seed } => return faults::run(&layout, count.get(), seed),
        Action::Check { filter } => return test::run(&layout, Suite::Check, filter, None),
        Action::Test { filter, guest, .. } => {
            return test::run(&layout, Suite::Test, filter, Some(guest));
        }
        Action::Matrix { filter } => return test::run(&layout, Suite::Matrix, filter, None),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use walkdir::WalkDir;

    const TOOL: &str = env!("CARGO_MANIFEST_DIR");

    #[test]
    fn each_module_is_on_the_map() {
        let map = fs::read_to_string(Path::new(TOOL).join("../../CONTRIBUTING.md")).unwrap();
        for entry in Path::new(TOOL).join("src").read_dir().unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(map.contains(&format!("`{name}`")), "no {name}");
        }
    }

    #[test]
    fn each_file_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for entry in WalkDir::new(Path::new(TOOL).join("src")) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let name = entry.file_name().to_owned();
                assert!(
                    names.insert(name),
                    "another file has the name of {}",
                    entry.path().display()
                );
            }
        }
    }
}
