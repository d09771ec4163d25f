// SPDX-License-Identifier: GPL-2.0-only

//! One kexec in a guest, and what it should do.

pub mod kexec_check;

use std::borrow::Cow;
use std::iter;

use anyhow::Result;

use crate::engines::EngineKind;
use crate::fetch::{DistributionKernel as Next, Release};
use crate::guest::{Extra, KUNIT, Loader, Plan, Purpose};
use crate::kernel::{Built, VERIFY_MODULE, Verify};
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

/// What sysfs shows on a mainline kernel.
const ABSENT: Expected = Expected::Undecided("absent");

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
    pub expected: Expected,
    /// What the guest does. Its engine, if any, must verify the image.
    plan: Plan<'static>,
    /// The number of regions that must be verified, if the case says so.
    regions: Option<u32>,
    /// The kernel that is entered.
    pub target: Target,
    /// Whether that kernel takes over the IMA list.
    measured: bool,
    /// Whether to report the KUnit tests that the kernel ran at boot.
    kunit: bool,
    /// How many levels of page tables the first kernel and the next one must use, if the case says
    /// so.
    levels: Option<[u32; 2]>,
    /// How many processors they must use.
    processors: Option<[u32; 2]>,
    /// Whether KASLR must be on (1) or off (0) in them.
    kaslr: Option<[u32; 2]>,
    /// Whether the image must lie above 4 GiB.
    high: bool,
    /// A line that the first kernel must log.
    logs: Option<&'static str>,
    /// Whether the kernels must not complain, see [`debug::are_quiet`].
    quiet: bool,
}

/// Defines methods that set something in a [`Case`].
macro_rules! with {
    ($($(#[$doc:meta])* $name:ident($($value:ident: $type:ty),*) { $($field:ident).+ = $set:expr })*) => {
        impl Case {
            $($(#[$doc])*
            pub const fn $name(mut self, $($value: $type),*) -> Self {
                self.$($field).+ = $set;
                self
            })*
        }
    };
}

with! {
    /// With modules loaded.
    modules(names: &'static [&'static str]) { plan.modules = names }

    /// On a processor for that engine, which must verify the image.
    picking(engine: EngineKind) { plan.engine = Some(engine) }

    /// With `kexec_load()`, for which the distribution's kexec brings the purgatory.
    kexec_load() { plan.loader = Loader::KexecLoad }

    /// With `KEXEC_FILE_DEBUG`, so that the purgatory says what it did.
    debug() { plan.loader = Loader::Debug }

    /// With more on the first kernel's command line.
    arguments(arguments: &'static str) { plan.arguments = arguments }

    /// With more on the next kernel's command line.
    next_arguments(arguments: &'static str) { plan.next_arguments = arguments }

    /// With something done besides loading.
    extra(extra: Extra) { plan.extra = Some(extra) }

    /// With a number of bytes in the next kernel's initramfs that must arrive intact.
    payload(bytes: u64) { plan.payload = bytes }

    /// On a machine with UEFI instead of SeaBIOS.
    uefi() { plan.hardware.uefi = true }

    /// On a machine with a TPM.
    tpm() { plan.hardware.tpm = true }

    /// On a machine with this much memory, in MiB.
    memory(mib: u64) { plan.hardware.memory = mib }

    /// On a machine with this many processors. [`Case::processors`] says how many the kernels use.
    smp(processors: u32) { plan.hardware.processors = processors }

    /// On a processor without these features: QEMU's options, such as `,-la57`.
    without(features: &'static str) { plan.hardware.without = features }

    /// On QEMU's own processor, which has page tables with five levels. This machine's may lack
    /// them.
    emulated() { plan.hardware.emulated = true }

    /// With a number of regions to verify.
    regions(regions: u32) { regions = Some(regions) }

    /// With a next kernel other than the distribution's.
    target(target: Target) { target = target }

    /// The first kernel and the next one must use this many levels of page tables.
    levels(first: u32, next: u32) { levels = Some([first, next]) }

    /// The first kernel and the next one must use this many processors.
    processors(first: u32, next: u32) { processors = Some([first, next]) }

    /// KASLR must be on (1) or off (0) in the first kernel and in the next one.
    kaslr(first: u32, next: u32) { kaslr = Some([first, next]) }

    /// All segments of the image must lie above 4 GiB. Needs [`Case::debug`].
    high() { high = true }

    /// The first kernel must log this line.
    logs(line: &'static str) { logs = Some(line) }

    /// The kernels must not complain, see [`debug::are_quiet`].
    quiet() { quiet = true }

    /// Reports the KUnit tests that ran at boot. Some need memory for a crash kernel.
    kunit_reported() { kunit = true }
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
            expected,
            plan: Plan::new(purpose),
            regions: None,
            target: Target::Distribution,
            measured: false,
            kunit: false,
            levels: None,
            processors: None,
            kaslr: None,
            high: false,
            logs: None,
            quiet: matches!(verify, Verify::Options | Verify::OptionsM),
        }
    }

    /// A normal image. The kernel decides as it was configured, as no policy module is loaded. One
    /// without Rust does not decide.
    pub const fn enter(name: &'static str, verify: Verify) -> Self {
        let expected = match verify {
            Verify::Y | Verify::Options => Expected::Decided(Arm::VerifiedConfig),
            Verify::M | Verify::OptionsM => Expected::Decided(Arm::DirectNoPolicy),
            Verify::N => Expected::Decided(Arm::DirectConfig),
            Verify::Norust => ABSENT,
        };
        Self::new(name, verify, Purpose::Enter, expected)
    }

    /// A crash image, which every kernel with the Rust purgatory verifies.
    pub const fn crash(name: &'static str, verify: Verify) -> Self {
        let expected = match verify {
            Verify::Norust => ABSENT,
            _ => Expected::Decided(Arm::VerifiedCrash),
        };
        Self::new(name, verify, Purpose::Crash, expected)
    }

    /// A normal image that the loaded module [`VERIFY_MODULE`] has verified.
    pub const fn policy(name: &'static str, verify: Verify) -> Self {
        let expected = Expected::Decided(Arm::VerifiedPolicy);
        Self::new(name, verify, Purpose::Enter, expected).modules(&[VERIFY_MODULE])
    }

    /// A normal image on a processor for that engine.
    pub fn engine(engine: EngineKind) -> Self {
        Self::enter("", Verify::Y)
            .named(format!("boot/y-{}", engine.name()))
            .picking(engine)
            .debug()
    }

    /// With another name.
    pub fn named(mut self, name: String) -> Self {
        self.name = name.into();
        self
    }

    /// With this kernel as the next one, which takes over the IMA list. Only the first one measures
    /// programs. Needs [`Case::debug`].
    pub const fn ima(mut self) -> Self {
        self.measured = true;
        self.target(Target::Own)
    }

    /// With this kernel as the next one, which must get the machine's device tree. Needs
    /// [`Case::debug`].
    pub const fn device_tree(mut self) -> Self {
        self.plan.hardware.device_tree = true;
        self.extra(Extra::DeviceTree).target(Target::Own)
    }

    /// The prefix of the KUnit tests' names, if this case reports them.
    pub fn kunit(&self) -> Option<String> {
        let group = self.name.split('/').next().unwrap_or_default();
        self.kunit
            .then(|| format!("{group}/{}-kunit", self.verify.name()))
    }

    /// How the image is loaded.
    pub fn plan(&self) -> &Plan<'static> {
        &self.plan
    }

    /// Whether the image is one that is verified only if a policy asks for it.
    pub fn is_spared(&self) -> bool {
        let direct = matches!(
            self.expected,
            Expected::Decided(Arm::DirectKho | Arm::DirectCma)
        );
        direct || self.plan.extra == Some(Extra::VerifySpared)
    }

    /// The names of everything that this case reports.
    pub fn names(&self) -> Vec<String> {
        let kunit = self.kunit().map(|kunit| kunit + "/");
        iter::once(self.name.to_string()).chain(kunit).collect()
    }
}

/// Boots the kernel of a case.
pub fn boot(layout: &Layout, case: &Case, kernel: &Built, next: &Next) -> Result<Kexec> {
    let mut arguments = case.plan.arguments.to_owned();
    let mut next_arguments = case.plan.next_arguments.to_owned();
    if case.kunit {
        arguments += &format!(" {KUNIT}");
    }
    if case.measured {
        arguments += MEASURE;
    }
    if case.verify == Verify::OptionsM {
        arguments += debug::FOUR_LEVELS;
        if case.target == Target::Own {
            next_arguments += debug::FOUR_LEVELS;
        }
    }
    let plan = Plan {
        arguments: &arguments,
        next_arguments: &next_arguments,
        ..case.plan
    };
    let name = case.name.replace('/', "-");
    kexec::run(layout, &name, kernel, next, &plan)
}
