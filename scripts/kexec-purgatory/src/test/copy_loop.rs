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

/// A test.
struct Case {
    name: &'static str,
    /// An addition to QEMU's name of the processor: an Intel model of
    /// arch/x86/include/asm/intel-family.h.
    model: &'static str,
    /// An addition to the kernel's command line.
    arguments: &'static str,
    cached: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "copy/granite-rapids",
        model: ",vendor=GenuineIntel,family=6,model=173",
        arguments: "",
        cached: false,
    },
    Case {
        name: "copy/sapphire-rapids",
        model: ",vendor=GenuineIntel,family=6,model=143",
        arguments: "",
        cached: true,
    },
    Case {
        name: "copy/emerald-rapids",
        model: ",vendor=GenuineIntel,family=6,model=207",
        arguments: "",
        cached: true,
    },
    // Another model, with the bug's flag.
    Case {
        name: "copy/tdx-erratum",
        model: "",
        arguments: " setcpuid=tdx_pw_mce",
        cached: true,
    },
];

pub fn names() -> Vec<String> {
    CASES.iter().map(|case| case.name.to_owned()).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let kernel = kernels.get(Verify::Y)?;
    let wanted: Vec<_> = CASES
        .iter()
        .filter(|case| report.wants(case.name))
        .collect();
    in_order(
        &wanted,
        |case| {
            let step = Step::start(case.name);
            let folder = memory::folder(kernels.layout)?;
            let mut guest = guest::commanded(kernels.layout, kernel.image(), "")?;
            guest.arguments += case.arguments;
            let setup = GuestSetup::new(folder.path(), &kernel, &guest)?;
            let processor = format!("{DIRECT_CPU}{}", case.model);
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
                (flags & CACHED != 0) == case.cached,
                "relocate_kernel() has the flags {flags:#x}"
            );
            setup.arrive(&mut machine)?;
            step.done();
            Ok(())
        },
        |case, result| report.record(case.name, result),
    );
    Ok(())
}
