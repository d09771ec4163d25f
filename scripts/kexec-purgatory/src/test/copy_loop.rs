// SPDX-License-Identifier: GPL-2.0-only

//! The loop that copies the image: with stores to the cache where other stores could poison memory
//! that is private to TDX, and around the cache elsewhere.

use anyhow::{Result, ensure};

use super::{Kernels, Report};
use crate::bench::copy::CACHED;
use crate::guest::{self, Purpose};
use crate::kernel::Verify;
use crate::machine::guest_setup::{DIRECT_CPU, GuestSetup};
use crate::machine::{gdb::Space, memory};
use crate::parallel::in_order;
use crate::progress::Step;

/// A name for reports, the processor's model if that matters, an Intel one of
/// arch/x86/include/asm/intel-family.h, an addition to the kernel's command line, and whether the
/// stores go to the cache.
const CASES: &[(&str, Option<u32>, &str, bool)] = &[
    ("copy/granite-rapids", Some(173), "", false),
    ("copy/sapphire-rapids", Some(143), "", true),
    ("copy/emerald-rapids", Some(207), "", true),
    // Another model, with the bug's flag.
    ("copy/tdx-erratum", None, " setcpuid=tdx_pw_mce", true),
];

pub fn names() -> Vec<String> {
    CASES.iter().map(|(name, ..)| (*name).to_owned()).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let kernel = kernels.get(Verify::Y)?;
    let wanted: Vec<_> = CASES
        .iter()
        .filter(|(name, ..)| report.wants(name))
        .collect();
    in_order(
        &wanted,
        |&&(name, model, arguments, cached)| {
            let step = Step::start(name);
            let folder = memory::folder(kernels.layout)?;
            let mut guest = guest::commanded(kernels.layout, kernel.image(), "")?;
            guest.arguments += arguments;
            let setup = GuestSetup::new(folder.path(), &kernel, &guest)?;
            let model = model.map_or(String::new(), |model| {
                format!(",vendor=GenuineIntel,family=6,model={model}")
            });
            let processor = format!("{DIRECT_CPU}{model}");
            let mut machine = setup.boot("ready", &processor)?.spawn()?;
            setup.load(&mut machine, Purpose::Enter)?;
            setup.leave(&mut machine, Purpose::Enter)?;

            // machine_kexec_prepare() has copied the code to the control page.
            let symbol = |name| setup.symbols.address(name);
            let page = machine
                .gdb
                .read_u64(Space::Virtual, symbol("kexec_va_control_page")?)?;
            let offset = symbol("relocate_kernel")? - symbol("__relocate_kernel_start")?;
            machine.run_to(page + offset)?;
            let flags = machine.gdb.registers()?.get("rcx")?;
            ensure!(
                (flags & CACHED != 0) == cached,
                "relocate_kernel() has the flags {flags:#x}"
            );
            setup.arrive(&mut machine)?;
            step.done();
            Ok(())
        },
        |(name, ..), result| report.record(name, result),
    );
    Ok(())
}
