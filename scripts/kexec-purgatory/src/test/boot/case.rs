// SPDX-License-Identifier: GPL-2.0-only

//! One kexec in a guest, and what it should do.

pub mod check;

use std::borrow::Cow;
use std::iter;

use anyhow::Result;

use crate::engines::EngineKind;
use crate::fetch::{DistributionKernel as Next, Release};
use crate::guest::Plan;
use crate::guest::{Extra, KUNIT, Loader, PAYLOAD, Purpose};
use crate::hardware::Hardware;
use crate::kernel::{Built, Verify};
use crate::kexec::{self, Kexec};
use crate::layout::Layout;
use crate::test::arm::Arm;
use crate::test::debug;

/// Makes IMA measure programs, libraries and modules.
const MEASURE: &str = " ima_policy=tcb";

/// What a kexec should do with the image.
#[derive(Clone, Copy)]
pub enum Expected {
    Decided(Arm),
    /// Another purgatory than the overlay's, which does not say what it does. sysfs shows this
    /// text.
    Undecided(&'static str),
}

/// A kernel that is entered.
#[derive(Clone, Copy, PartialEq)]
pub enum Target {
    /// The distribution's.
    Distribution,
    /// The kernel that also runs first.
    Own,
    /// The kernel of `KEXEC_PURGATORY_VERIFY=n`, compressed with this `CONFIG_KERNEL_` option.
    Compressed(&'static str),
    /// A kernel of the distribution from another series.
    Other(&'static Release),
    /// The kernel that also runs first, in a file with a MiB of other bytes at the end.
    Longer,
}

/// One kexec in a guest.
#[derive(Clone)]
pub struct Case {
    pub name: Cow<'static, str>,
    pub verify: Verify,
    purpose: Purpose,
    pub expected: Expected,
    loader: Loader,
    modules: &'static [&'static str],
    /// The engine that must verify it; None for any engine that the processor has.
    engine: Option<EngineKind>,
    /// Added to the first kernel's command line.
    arguments: &'static str,
    /// What the guest does besides loading.
    extra: Option<Extra>,
    /// The number of regions that must be verified, if the case says so.
    regions: Option<u32>,
    /// The kernel that is entered.
    pub target: Target,
    /// Whether that kernel takes over the IMA list.
    measured: bool,
    /// Whether to report the KUnit tests that the kernel ran at boot.
    kunit: bool,
    /// Added to the next kernel's command line.
    next_arguments: &'static str,
    /// Bytes in its initramfs that must arrive intact.
    payload: u64,
    hardware: Hardware,
    /// How many levels of page tables the first kernel and the next one must use, if the case says
    /// so.
    levels: Option<[u32; 2]>,
    /// How many processors they must use.
    processors: Option<[u32; 2]>,
    /// Whether KASLR must be on (1) or off (0) in them.
    kaslr: Option<[u32; 2]>,
    /// Whether the image must lie above 4 GiB.
    high: bool,
    /// A line that the log must have.
    logs: Option<&'static str>,
}

impl Case {
    pub const fn new(
        name: &'static str,
        verify: Verify,
        purpose: Purpose,
        expected: Expected,
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            verify,
            purpose,
            expected,
            loader: Loader::Kexec,
            modules: &[],
            engine: None,
            arguments: "",
            extra: None,
            regions: None,
            target: Target::Distribution,
            measured: false,
            next_arguments: "",
            payload: PAYLOAD,
            hardware: Hardware::USUAL,
            levels: None,
            processors: None,
            kaslr: None,
            high: false,
            logs: None,
            kunit: false,
        }
    }

    /// The prefix of the KUnit tests' names, if this case reports them.
    pub fn kunit(&self) -> Option<String> {
        let group = self.name.split('/').next().unwrap_or_default();
        self.kunit
            .then(|| format!("{group}/{}-kunit", self.verify.name()))
    }

    /// The names of everything that this case reports.
    pub fn names(&self) -> Vec<String> {
        let kunit = self.kunit().map(|kunit| kunit + "/");
        iter::once(self.name.to_string()).chain(kunit).collect()
    }

    /// With another name.
    pub fn named(mut self, name: String) -> Self {
        self.name = name.into();
        self
    }

    /// With modules loaded.
    pub const fn modules(mut self, modules: &'static [&'static str]) -> Self {
        self.modules = modules;
        self
    }

    /// On a processor for that engine, which must verify the image.
    pub const fn picking(mut self, engine: EngineKind) -> Self {
        self.engine = Some(engine);
        self
    }

    /// A normal image on a processor for that engine.
    pub fn engine(engine: EngineKind) -> Self {
        Self {
            name: format!("boot/y-{}", engine.name()).into(),
            engine: Some(engine),
            ..Self::new(
                "",
                Verify::Y,
                Purpose::Enter,
                Expected::Decided(Arm::VerifiedConfig),
            )
            .debug()
        }
    }

    /// With `kexec_load()`, for which the distribution's kexec brings the purgatory.
    pub const fn kexec_load(mut self) -> Self {
        self.loader = Loader::KexecLoad;
        self
    }

    /// With `KEXEC_FILE_DEBUG`, so that the purgatory says what it did.
    pub const fn debug(mut self) -> Self {
        self.loader = Loader::Debug;
        self
    }

    /// With more on the first kernel's command line.
    pub const fn arguments(mut self, arguments: &'static str) -> Self {
        self.arguments = arguments;
        self
    }

    /// With something done besides loading.
    pub const fn extra(mut self, extra: Extra) -> Self {
        self.extra = Some(extra);
        self
    }

    /// With a number of regions to verify.
    pub const fn regions(mut self, regions: u32) -> Self {
        self.regions = Some(regions);
        self
    }

    /// With a next kernel other than the distribution's.
    pub const fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// With this kernel as the next one, which takes over the IMA list. Only the first one measures
    /// programs. Needs [`Case::debug`].
    pub const fn ima(mut self) -> Self {
        self.measured = true;
        self.target(Target::Own)
    }

    /// With more on the next kernel's command line.
    pub const fn next_arguments(mut self, arguments: &'static str) -> Self {
        self.next_arguments = arguments;
        self
    }

    /// With a number of bytes in the next kernel's initramfs.
    pub const fn payload(mut self, bytes: u64) -> Self {
        self.payload = bytes;
        self
    }

    pub const fn hardware(mut self, hardware: Hardware) -> Self {
        self.hardware = hardware;
        self
    }

    /// The first kernel and the next one must use this many levels of page tables.
    pub const fn levels(mut self, first: u32, next: u32) -> Self {
        self.levels = Some([first, next]);
        self
    }

    /// The first kernel and the next one must use this many processors.
    pub const fn processors(mut self, first: u32, next: u32) -> Self {
        self.processors = Some([first, next]);
        self
    }

    /// KASLR must be on (1) or off (0) in the first kernel and in the next one.
    pub const fn kaslr(mut self, first: u32, next: u32) -> Self {
        self.kaslr = Some([first, next]);
        self
    }

    /// All segments of the image must lie above 4 GiB. Needs [`Case::debug`].
    pub const fn high(mut self) -> Self {
        self.high = true;
        self
    }

    /// The log must have this line.
    pub const fn logs(mut self, line: &'static str) -> Self {
        self.logs = Some(line);
        self
    }

    /// Reports the KUnit tests that ran at boot. Some need memory for a crash kernel.
    pub const fn kunit_reported(mut self) -> Self {
        self.kunit = true;
        self
    }
}

/// Boots the kernel of a case.
pub fn boot(layout: &Layout, case: &Case, kernel: &Built, next: &Next) -> Result<Kexec> {
    let mut arguments = match case.kunit {
        true => [case.arguments, KUNIT].join(" "),
        false => case.arguments.to_owned(),
    };
    let mut next_arguments = case.next_arguments.to_owned();
    if case.measured {
        arguments += MEASURE;
    }
    if case.verify == Verify::OptionsM {
        arguments += debug::FOUR_LEVELS;
        if case.target == Target::Own {
            next_arguments += debug::FOUR_LEVELS;
        }
    }
    kexec::run(
        layout,
        &case.name.replace('/', "-"),
        kernel,
        next,
        &Plan {
            loader: case.loader,
            modules: &kernel.modules(case.modules)?,
            engine: case.engine,
            arguments: &arguments,
            extra: case.extra,
            purpose: case.purpose,
            next_arguments: &next_arguments,
            payload: case.payload,
            hardware: case.hardware,
        },
    )
}
