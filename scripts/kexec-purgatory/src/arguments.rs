// SPDX-License-Identifier: GPL-2.0-only

//! The command line: the commands with their options and help, and what each command needs.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::bench::instruction_counts::LEAST_RUNS;
use crate::bench::processor::Caches;
use crate::debian::DebianOptions;
use crate::debian::packages::Profile;
use crate::kernel::Verify;
use crate::layout::Layout;
use crate::series::mail::Pull;
use crate::setup::Needs;
use crate::space::{self, Gigabytes};
use crate::supported;
use crate::test::{self, Suite};

#[derive(Parser)]
#[command(about, version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Action,
    /// Kernel tree to graft instead of the fetched one
    #[arg(long, global = true)]
    pub kdir: Option<PathBuf>,
    /// Kernel series to fetch instead of the newest supported one
    #[arg(long, global = true, conflicts_with = "kdir", value_parser = supported::named)]
    pub series: Option<&'static str>,
}

/// The end of a command's `--help`: its time, how much room it needs on the disk, and for what it
/// needs root.
fn help(time: &str, disk: impl Display, root: &str) -> String {
    format!(
        "Time: about {time}, on two cores, from a warm cache\nDisk: {disk}\nRoot: {root}\n\n\
         {STATUS}"
    )
}

/// [`help`] of a command that installs packages.
fn needs(time: &str, disk: impl Display) -> String {
    help(time, disk, INSTALLS)
}

/// [`help`] of a command that installs packages unless the user names a tree.
fn needs_unless_kdir(time: &str, disk: impl Display) -> String {
    help(time, disk, &format!("{INSTALLS}; with KDIR=, not at all"))
}

const INSTALLS: &str = "only to install packages that are missing, on Debian 12 or 13";

/// Why a command needs root that runs programs of another release.
const OTHER_RELEASE: &str = "to run programs of Debian 13 in a directory of their own, and to \
                             install packages that are missing, on Debian 12 or 13";

/// The exit status in `--help`.
const STATUS: &str = "Exit status: 1 if something failed, 2 for wrong use, 3 if something has to \
                      be installed, or room made on the disk, first";

#[derive(Subcommand)]
pub enum Action {
    /// Links the overlay into a kernel tree
    #[command(after_help = needs_unless_kdir("1 min", space::GRAFT))]
    Graft,
    /// Takes the overlay out of a kernel tree
    #[command(after_help = help("1 min", "nothing", "no"))]
    Ungraft,
    /// Builds the grafted kernel
    #[command(after_help = help(
        "10 min",
        space::KERNEL,
        &format!("{INSTALLS}; for options and options-m, also to run programs of Debian 13")
    ))]
    Kernel {
        /// Build directory
        #[arg(long)]
        output: Option<PathBuf>,
        /// CONFIG_KEXEC_PURGATORY_VERIFY: y, m or n; norust builds a kernel without Rust. The
        /// states options and options-m build y and m with all options that the tests try, lockdep
        /// and kmemleak; options-m also has KASAN
        #[arg(long, value_enum, default_value = "y")]
        verify: Verify,
    },
    /// Compares the registers that the next kernel finds with those after mainline's purgatory
    #[command(after_help = needs("15 min", space::REGISTERS))]
    Registers,
    /// Enters a distribution's kernel for each KEXEC_PURGATORY_VERIFY, crashes one, prints a table
    #[command(after_help = needs("20 min", space::RUN))]
    Run,
    /// Measures the purgatory and the copy before it, compared with mainline's
    #[command(after_help = needs(
        "20 min, or a minute with --no-emulation",
        format_args!("{}, or {} with --no-emulation", space::BENCH, space::BENCH_NO_EMULATION)
    ))]
    Bench {
        /// How often each piece of work is done
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
        /// In how many runs QEMU counts the instructions to the next kernel's /init
        #[arg(long, default_value_t = LEAST_RUNS, conflicts_with = "no_emulation",
              value_parser = clap::value_parser!(u16).range(i64::from(LEAST_RUNS)..))]
        runs: u16,
        /// Skip counting instructions in QEMU, which builds kernels and takes most of the time
        #[arg(long)]
        no_emulation: bool,
        /// What the processor's caches hold of the image before each run
        #[arg(long, value_enum, default_value_t = Caches::Warm)]
        caches: Caches,
    },
    /// Builds the measurements as one static program that runs on other machines
    #[command(after_help = needs("3 min", space::BENCH_STATIC))]
    BenchStatic,
    /// Breaks the purgatory and the kernel in many ways, and shows which tests notice
    #[command(after_help = needs(
        "2 h, of which mutants of the kernel take all but 15 min",
        space::MUTANTS
    ))]
    Mutants {
        /// Only mutants whose name contains this text
        #[arg(long)]
        filter: Option<String>,
    },
    /// Fuzzes the purgatory's parameter checks and digests
    #[command(after_help = needs("3 min, or as long as you choose", space::FUZZ))]
    Fuzz {
        /// How many seconds to try each property
        #[arg(long, default_value_t = 60, conflicts_with = "runs",
              value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// How many inputs to try for each property
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        runs: Option<u64>,
        /// Adds inputs that reach something new to the corpus in the overlay
        #[arg(long)]
        keep: bool,
    },
    /// Makes the project a patch series and runs checkpatch on it
    ///
    /// KDIR= names a git repository: the series is made against the commit that is checked out
    /// there. The last line of output names the directory with the patches.
    #[command(after_help = needs_unless_kdir("2 min", space::SERIES))]
    Series {
        /// "URL BRANCH" of the repository to pull the series from. The cover letter names it, and
        /// mails/ beside the patches has them for mailing lists, without diffs of more than 100 kB
        #[arg(long)]
        pull: Option<Pull>,
    },
    /// Builds the kernel after each patch of the series, with and without Rust, boots some, and
    /// compares the last with the grafted tree
    ///
    /// An interrupted run continues when you run it again.
    #[command(after_help = needs("an hour", space::SERIES_CHECK))]
    SeriesCheck,
    /// Makes patches for Debian's source package linux, and applies them to its tree
    #[command(after_help = needs("3 min", space::DEBIAN_PATCHES))]
    DebianPatches,
    /// Builds Debian packages of the grafted kernel, with Debian's configuration and Debian 13's
    /// compilers
    ///
    /// The kernel installs beside Debian's own. An interrupted build continues when you run it
    /// again.
    #[command(after_help = help(
        "20 min for a guest's packages, 3 hours for all",
        format_args!("{}, or {} for all", space::DEB_GUEST, space::DEB_FULL),
        OTHER_RELEASE
    ))]
    Deb {
        /// Which modules to build
        #[arg(long, value_enum, default_value = "full")]
        profile: Profile,
    },
    /// Damages images in memory, and checks that the purgatory notices
    #[command(after_help = needs(
        "40 min for 1000 faults, and 15 min to build kernels",
        space::FAULTS
    ))]
    Faults {
        /// How many faults to inject
        #[arg(long, default_value = "1000")]
        count: NonZeroUsize,
        /// Seed for the choice of faults; the same seed chooses the same faults
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Runs the tests that need no root, no kernel, and no packages except git, a C compiler and
    /// Rust
    #[command(after_help = help("3 min", space::CHECK, "no"))]
    Check {
        /// Only tests that this text selects, as for test
        #[arg(long)]
        filter: Option<String>,
    },
    /// Runs and counts every test;
    /// compilers, options, toolchain, matrix, debian, debug, long and cargo-mutants only
    /// if a filter names them
    ///
    /// Prints KTAP, with the counts in the last line; writes JUnit XML to build/test/junit.xml.
    ///
    /// The name of a test begins with its group and a slash. Names of KUnit tests and of tests
    /// inside kselftests are known only when they run. A filter for such a test starts with the
    /// part of its name that is known before, or with the end of that part, as in
    /// boot/y-kunit/rust_kexec or y-kunit/rust_kexec.
    #[command(after_help = help(
        "an hour; compilers 6 min, options 20 min, toolchain 15 min, debug 40 min, matrix \
         40 min, long an hour, debian an hour or more plus the time to build packages, \
         cargo-mutants not measured",
        format_args!(
            "{}; debian {}, or {} with --profile full",
            space::TEST, space::TEST_DEBIAN_GUEST, space::TEST_DEBIAN_FULL
        ),
        &format!("{OTHER_RELEASE}; some groups need none")
    ))]
    Test {
        /// GROUP or GROUP/PREFIX selects tests of that group. Other text matches anywhere in a
        /// name, except in groups that run only if a filter names them
        #[arg(long)]
        filter: Option<String>,
        /// Prints the names of the tests, one per line; builds and runs nothing
        #[arg(long)]
        list: bool,
        #[command(flatten)]
        guest: DebianOptions,
    },
    /// Boots many machines, with kernels of many configurations and compilers, which enter many
    /// other kernels and crash some 270 times; ends with a table
    ///
    /// These are the groups compilers, options, debug, toolchain, matrix and long of the command
    /// test. A run that was interrupted goes on where it ended, unless a file was changed since, or
    /// KDIR= is used. Runs one machine for each processor and 8 GiB of free memory at a time.
    /// Writes JUnit XML to build/matrix/junit.xml.
    #[command(after_help = help("2 to 3 hours", space::MATRIX, OTHER_RELEASE))]
    Matrix {
        /// Only tests that this text selects, as for test
        #[arg(long)]
        filter: Option<String>,
    },
}

impl Action {
    /// What has to be installed before.
    pub fn needs(&self, layout: &Layout) -> Vec<Needs> {
        let needs: &[Needs] = match self {
            Self::Check { .. } | Self::Ungraft => &[],
            Self::Fuzz { .. } => &[Needs::Fuzz],
            // The user named a tree: nothing is fetched.
            Self::Graft | Self::Series { .. } if layout.kdir.is_some() => &[],
            Self::Graft | Self::Series { .. } => &[Needs::Source],
            Self::DebianPatches => &[Needs::Source, Needs::Quilt],
            Self::Deb { .. } => &[Needs::Source, Needs::Root],
            Self::Kernel {
                verify: Verify::Options | Verify::OptionsM,
                ..
            } => &[Needs::Source, Needs::Kernel, Needs::Root],
            Self::Kernel { .. }
            | Self::BenchStatic
            | Self::Bench {
                no_emulation: true, ..
            } => &[Needs::Source, Needs::Kernel],
            Self::Bench { .. }
            | Self::Run
            | Self::SeriesCheck
            | Self::Registers
            | Self::Faults { .. } => &[Needs::Source, Needs::Kernel, Needs::Guest],
            Self::Mutants { .. } => &[Needs::Source, Needs::Kernel, Needs::Guest, Needs::Bochs],
            Self::Test { filter, .. } => return test::needs(layout, Suite::Test, filter.clone()),
            Self::Matrix { filter } => return test::needs(layout, Suite::Matrix, filter.clone()),
        };
        needs.to_vec()
    }

    /// How much room the command needs in the build directory and in the cache. `None` if it needs
    /// none, or an amount that is not known.
    pub fn disk(&self, layout: &Layout) -> Option<Gigabytes> {
        let disk = match self {
            Self::Ungraft => return None,
            // The user named a tree: nothing is fetched.
            Self::Graft | Self::Series { .. } if layout.kdir.is_some() => return None,
            Self::Test {
                filter: Some(filter),
                guest,
                ..
            } if filter == "debian" => match guest.profile {
                Profile::Full => space::TEST_DEBIAN_FULL,
                Profile::Guest => space::TEST_DEBIAN_GUEST,
            },
            // A part needs less than all.
            Self::Check { filter: Some(_) }
            | Self::Matrix { filter: Some(_) }
            | Self::Mutants { filter: Some(_) }
            | Self::Test {
                filter: Some(_), ..
            } => return None,
            Self::Bench {
                no_emulation: true, ..
            } => space::BENCH_NO_EMULATION,
            Self::Bench { .. } => space::BENCH,
            Self::BenchStatic => space::BENCH_STATIC,
            Self::Check { .. } => space::CHECK,
            Self::Deb { profile } => match profile {
                Profile::Full => space::DEB_FULL,
                Profile::Guest => space::DEB_GUEST,
            },
            Self::DebianPatches => space::DEBIAN_PATCHES,
            Self::Faults { .. } => space::FAULTS,
            Self::Fuzz { .. } => space::FUZZ,
            Self::Graft => space::GRAFT,
            // Its objects are somewhere else.
            Self::Kernel {
                output: Some(_), ..
            } => space::GRAFT,
            Self::Kernel { .. } => space::KERNEL,
            Self::Matrix { .. } => space::MATRIX,
            Self::Mutants { .. } => space::MUTANTS,
            Self::Registers => space::REGISTERS,
            Self::Run => space::RUN,
            Self::Series { .. } => space::SERIES,
            Self::SeriesCheck => space::SERIES_CHECK,
            Self::Test { .. } => space::TEST,
        };
        Some(disk)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::{CommandFactory, Parser};

    use super::Arguments;
    use crate::layout::Layout;

    #[test]
    fn no_effort_is_refused() {
        for (command, option) in [
            ("fuzz", "--seconds"),
            ("fuzz", "--runs"),
            ("bench", "--rounds"),
            ("bench", "--runs"),
        ] {
            let parse = |value| {
                Arguments::try_parse_from(["kexec-purgatory", command, option, value]).is_ok()
            };
            assert!(parse("1000") && !parse("0"), "{command} {option}");
        }
    }

    #[test]
    fn help_says_how_much_room_is_checked_for() {
        let layout = Layout {
            overlay: PathBuf::new(),
            build: PathBuf::new(),
            cache: PathBuf::new(),
            kdir: None,
            series: None,
        };
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            let help = command.get_after_help().unwrap().to_string();
            let arguments = Arguments::try_parse_from(["kexec-purgatory", name]).unwrap();
            match arguments.command.disk(&layout) {
                Some(disk) => assert!(help.contains(&disk.to_string()), "{name}: {help}"),
                None => assert_eq!(name, "ungraft"),
            }
        }
    }
}
