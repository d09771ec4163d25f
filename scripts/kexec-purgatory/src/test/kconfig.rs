// SPDX-License-Identifier: GPL-2.0-only

//! Checks with Kconfig what the overlay's options depend on, and where they are asked; and that a
//! configuration is cleaned up without Rust.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Kernels, Report};
use crate::command::{logged, output};
use crate::kernel::config;
use crate::kernel::toolchain::Toolchain;
use crate::layout::Layout;
use crate::progress::Step;

/// Settings on top of [`FRAGMENTS`], and the options that result.
struct Case {
    name: &'static str,
    arch: &'static str,
    settings: &'static [&'static str],
    expected: &'static [&'static str],
}

impl Case {
    fn name(&self) -> String {
        format!("config/{}", self.name)
    }
}

/// What every case starts from; it does not choose a state.
const FRAGMENTS: &[&str] = &["base", "rust"];

const BUILT: &str = "CONFIG_KEXEC_PURGATORY_RUST=y";
const NOT_BUILT: &str = "# CONFIG_KEXEC_PURGATORY_RUST is not set";
const Y: &str = "CONFIG_KEXEC_PURGATORY_VERIFY=y";
const M: &str = "CONFIG_KEXEC_PURGATORY_VERIFY=m";
const N: &str = "# CONFIG_KEXEC_PURGATORY_VERIFY is not set";
const NO_MODULES: &str = "# CONFIG_MODULES is not set";
const SAMPLES: [&str; 3] = [
    "CONFIG_SAMPLES=y",
    "CONFIG_SAMPLES_RUST=y",
    "CONFIG_SAMPLE_RUST_KEXEC_POLICY=m",
];
const NO_SAMPLE: &str = "# CONFIG_SAMPLE_RUST_KEXEC_POLICY is not set";

const CASES: &[Case] = &[
    case("default", &[], &[BUILT, Y]),
    case(
        "m",
        &[M, SAMPLES[0], SAMPLES[1], SAMPLES[2]],
        &[BUILT, M, SAMPLES[2]],
    ),
    case("n", &[N], &[BUILT, N]),
    // The interface that the sample uses exists only with m.
    case(
        "sample-with-y",
        &[Y, SAMPLES[0], SAMPLES[1], SAMPLES[2]],
        &[BUILT, Y, NO_SAMPLE],
    ),
    case("no-modules", &[NO_MODULES], &[BUILT, Y]),
    case("no-modules-m", &[NO_MODULES, M], &[BUILT, Y]),
    case("no-modules-n", &[NO_MODULES, N], &[BUILT, N]),
    case(
        "no-rust",
        &["# CONFIG_RUST is not set", M],
        &[NOT_BUILT, N, "CONFIG_KEXEC_FILE=y"],
    ),
    case(
        "no-kexec-file",
        // Handover selects KEXEC_FILE.
        &[
            "# CONFIG_KEXEC_HANDOVER is not set",
            "# CONFIG_KEXEC_FILE is not set",
            M,
        ],
        &[NOT_BUILT, N, "CONFIG_RUST=y"],
    ),
    Case {
        arch: "i386",
        ..case(
            "i386",
            &["# CONFIG_64BIT is not set", M],
            &[NOT_BUILT, N, "CONFIG_KEXEC=y"],
        )
    },
];

const fn case(
    name: &'static str,
    settings: &'static [&'static str],
    expected: &'static [&'static str],
) -> Case {
    Case {
        name,
        arch: "x86_64",
        settings,
        expected,
    }
}

/// The menu that asks for the option, and its prompt there.
const MENU: &str = "Kexec and crash features";
const PROMPT: &str = "Verify normal kexec images between the two kernels (KEXEC_PURGATORY_VERIFY) ";

/// Names for reports, settings, and the answers that Kconfig offers.
const PROMPTS: &[(&str, &[&str], &str)] = &[
    ("config/prompt", &[], "[Y/n/m/?]"),
    ("config/prompt-no-modules", &[NO_MODULES], "[Y/n/?]"),
];

const CLEAN: &str = "config/clean-without-rust";

pub fn names() -> Vec<String> {
    let others = PROMPTS.iter().map(|(name, ..)| *name).chain([CLEAN]);
    let others = others.map(str::to_owned);
    CASES.iter().map(Case::name).chain(others).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let scratch = Scratch::new(kernels)?;

    for case in CASES {
        report.test(&case.name(), || {
            let config = scratch.configure(case)?;
            let missing = config::missing(&config::parse_all(case.expected)?, &config);
            ensure!(
                missing.is_empty(),
                "not as expected: {}",
                missing.join(", ")
            );
            Ok(())
        });
    }
    for (name, settings, answers) in PROMPTS {
        report.test(name, || scratch.check_prompt(settings, answers));
    }
    report.test(CLEAN, || scratch.check_clean());
    Ok(())
}

/// A directory with a configuration and nothing else.
struct Scratch<'a> {
    layout: &'a Layout,
    tree: &'a Path,
    folder: PathBuf,
    /// What every case starts from.
    base: String,
}

impl<'a> Scratch<'a> {
    fn new(kernels: &'a Kernels) -> Result<Self> {
        let mut scratch = Self {
            layout: kernels.layout,
            tree: kernels.tree(),
            folder: kernels.layout.build.join("config"),
            base: String::new(),
        };
        fs::create_dir_all(&scratch.folder)?;
        scratch.make("base", "x86_64", "tinyconfig")?;
        let fragments = config::read(scratch.layout, FRAGMENTS)?;
        scratch.base = fs::read_to_string(scratch.file())? + &config::text(&fragments);
        Ok(scratch)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(".config")
    }

    fn make(&self, name: &str, arch: &str, target: &str) -> Result<()> {
        let mut step = Step::start(format!("configure {name}"));
        let log = self.layout.log(&format!("config-{name}"))?;
        let mut make = Toolchain::Machine.make(self.layout, self.tree, &self.folder, arch)?;
        logged(make.arg(target), &log, &mut step)?;
        step.done();
        Ok(())
    }

    /// Makes Kconfig complete a configuration. Returns the result.
    fn configure(&self, case: &Case) -> Result<String> {
        let settings = config::text(&config::parse_all(case.settings)?);
        fs::write(self.file(), format!("{}{settings}", self.base))?;
        self.make(case.name, case.arch, "olddefconfig")?;
        Ok(fs::read_to_string(self.file())?)
    }

    /// Checks that `make clean`, which reads the Makefiles of all directories, does not look for a
    /// Rust compiler.
    fn check_clean(&self) -> Result<()> {
        let mut make = Toolchain::Machine.make(self.layout, self.tree, &self.folder, "x86_64")?;
        let ended = make.args(["RUSTC=/no/rustc", "clean"]).output()?;
        let errors = String::from_utf8_lossy(&ended.stderr);
        ensure!(
            ended.status.success() && errors.is_empty(),
            "make clean: {}\n{errors}",
            ended.status
        );
        Ok(())
    }

    /// Checks that Kconfig asks for the option in its menu if it has no answer yet, and that it
    /// offers these answers. The default is a capital letter.
    fn check_prompt(&self, settings: &'static [&'static str], answers: &str) -> Result<()> {
        let open: String = self
            .configure(&case("prompt", settings, &[]))?
            .lines()
            .filter(|line| !line.contains("CONFIG_KEXEC_PURGATORY_VERIFY"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(self.file(), open)?;

        // Kconfig takes the default for every question, because there is no input to read.
        let mut make = Toolchain::Machine.make(self.layout, self.tree, &self.folder, "x86_64")?;
        let dialogue = output(make.arg("oldconfig"))?;
        let (before, after) = dialogue
            .split_once(PROMPT)
            .with_context(|| format!("not asked:\n{dialogue}"))?;
        let menu = before
            .lines()
            .filter_map(|line| line.strip_prefix("* "))
            .next_back()
            .context("asked outside of all menus")?;
        ensure!(menu == MENU, "asked in the menu '{menu}'");
        let found = after.split_whitespace().next().unwrap_or_default();
        ensure!(found == answers, "asked with {found}");
        Ok(())
    }
}
