// SPDX-License-Identifier: GPL-2.0-only

//! Counts in QEMU the instructions that `kexec_file_load()` takes, and those from `kexec -e` to the
//! next kernel's first instruction.
//!
//! Each iteration of a `rep movsq` is an instruction. Only the next kernel's way to its `/init` is
//! measured with its time stamp counter: with `-icount shift=0` the guest's clock advances by a
//! nanosecond with each instruction, and jumps when the processor waits for a timer. None of this
//! depends on the machine that QEMU runs on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use serde::Serialize;

use super::copy::Runs;
use super::present_memory::PAGE;
use crate::bzimage::ENTRY_OFFSET;
use crate::engines::EngineKind;
use crate::fetch::DistributionKernel;
use crate::graft;
use crate::guest::{self, EVERY_KERNEL, Guest, Loader, Plan, Purpose};
use crate::kernel::{self, Built, VERIFY_MODULE, Verify};
use crate::kexec::expect_engine;
use crate::layout::Layout;
use crate::machine::gdb::{Gdb, Space};
use crate::machine::symbols::Symbols;
use crate::machine::{Boot, Machine, Stop, memory};
use crate::parallel::in_parallel;
use crate::processors::{self, picked_in_qemu};
use crate::progress::Step;
use crate::qemu::SerialLog;

/// `rdtsc`.
const RDTSC: [u8; 2] = [0x0f, 0x31];

/// Minimum number of runs of a case: with fewer, no difference could show.
pub const LEAST_RUNS: u16 = 2;

/// A way to the next kernel.
#[derive(Clone)]
struct Case {
    name: String,
    verify: Verify,
    module: Option<&'static str>,
    /// The engine that the processor is chosen for.
    engine: EngineKind,
    /// Whether the next kernel is followed until its `/init` runs.
    to_init: bool,
}

/// All cases. Mainline's kernel also hashes with what the processor has, when it loads an image.
/// Each processor therefore has a case of it. Those on the processor that picks the fastest engine
/// are followed until `/init`, once for each of the three ways.
fn cases() -> Vec<Case> {
    let case = |name: String, verify, engine| Case {
        name,
        verify,
        module: None,
        engine,
        to_init: false,
    };
    let engines: Vec<EngineKind> = picked_in_qemu().collect();
    let fastest = engines[0];
    let on_each = |prefix: &'static str, verify| {
        engines.iter().map(move |&engine| Case {
            to_init: engine == fastest,
            ..case(format!("{prefix}-{}", engine.name()), verify, engine)
        })
    };
    on_each("mainline-for", Verify::Norust)
        .chain(on_each("y", Verify::Y))
        .chain([
            Case {
                module: Some(VERIFY_MODULE),
                ..case("m-module".to_owned(), Verify::M, fastest)
            },
            case("m".to_owned(), Verify::M, fastest),
            Case {
                to_init: true,
                ..case("n".to_owned(), Verify::N, fastest)
            },
        ])
        .collect()
}

/// The instructions that one way takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counted {
    /// In the system call `kexec_file_load()`.
    pub load: u64,
    /// Until `machine_kexec()`.
    pub shut_down: u64,
    /// Until the purgatory is entered, or the next kernel if there is no purgatory.
    pub copy: u64,
    pub verify: u64,
    /// From the next kernel's first instruction until its `/init` runs, in nanoseconds of its clock:
    /// one for each instruction, and waits.
    pub boot: Option<u64>,
    /// The image's pages before the copy.
    pub image: Runs,
}

impl Counted {
    /// From `kexec -e` to the next kernel's first instruction.
    pub fn to_entry(&self) -> u64 {
        self.shut_down + self.copy + self.verify
    }
}

/// The counts of a case.
#[derive(Serialize)]
pub struct Repeated {
    /// The counts of the first run.
    #[serde(flatten)]
    pub counted: Counted,
    /// How often the case was run.
    pub runs: usize,
    /// The counts of each run, if they differ.
    pub different: Option<Vec<Counted>>,
}

/// The counts of all cases by their names, in the order of the cases.
pub type Counts = IndexMap<String, Repeated>;

/// What a case boots.
struct Prepared {
    case: Case,
    kernel: Built,
    guest: Guest,
}

/// Counts all cases. Runs those that are followed until `/init` `runs` times, and the others
/// [`LEAST_RUNS`] times.
pub fn count(layout: &Layout, next: &DistributionKernel, runs: u16) -> Result<Counts> {
    let tree = graft::kernel_tree(layout)?;
    let folder = memory::folder(layout)?;
    let mut prepared = Vec::new();
    let mut kernels = BTreeMap::new();
    // Builds similar states one after the other, because they share a build directory.
    for verify in [Verify::Y, Verify::M, Verify::N, Verify::Norust] {
        let built = kernel::build(layout, &tree, None, verify)?;
        kernels.insert(verify.name(), built);
    }
    let cases = cases();
    for case in &cases {
        let kernel: &Built = &kernels[case.verify.name()];
        let plan = Plan {
            loader: Loader::Debug,
            modules: case.module.as_slice(),
            ..Plan::new(Purpose::Enter)
        };
        let (guest, _) = guest::loading(layout, kernel, next, &plan)?;
        // The next case writes its guest to the same file.
        let initramfs = folder.path().join(format!("{}.cpio", case.name));
        fs::copy(&guest.initramfs, &initramfs)?;
        prepared.push(Prepared {
            case: case.clone(),
            kernel: kernel.clone(),
            guest: Guest { initramfs, ..guest },
        });
    }

    let mut step = Step::start("count instructions in QEMU");
    let runs: Vec<(u16, &Prepared)> = (0..runs.max(LEAST_RUNS))
        .flat_map(|run| prepared.iter().map(move |prepared| (run, prepared)))
        .filter(|(run, prepared)| *run < LEAST_RUNS || prepared.case.to_init)
        .collect();
    let count = |&(run, prepared): &(u16, &Prepared)| {
        let memory = folder.path().join(format!("{}-{run}", prepared.case.name));
        let counted = prepared
            .count(&memory)
            .with_context(|| prepared.case.name.clone())?;
        fs::remove_file(&memory)?;
        Ok(counted)
    };
    let counted = in_parallel(&runs, count, |number, _| {
        step.line(&format!("{} is counted", runs[number].1.case.name));
    })?;
    step.done();

    let repeated = |case: &Case| {
        let counted: Vec<Counted> = runs
            .iter()
            .zip(&counted)
            .filter(|((_, prepared), _)| prepared.case.name == case.name)
            .map(|(_, counted)| counted.clone())
            .collect();
        let first = counted.first().context("no run")?.clone();
        let repeated = Repeated {
            runs: counted.len(),
            different: counted.iter().any(|run| *run != first).then_some(counted),
            counted: first,
        };
        Ok((case.name.clone(), repeated))
    };
    cases.iter().map(repeated).collect()
}

impl Prepared {
    fn count(&self, memory: &Path) -> Result<Counted> {
        let case = &self.case;
        let symbols = Symbols::read(&self.kernel.vmlinux())?;
        let processor =
            processors::that_picks(case.engine).context("no processor for the engine")?;
        let boot = Boot {
            kernel: self.kernel.image(),
            initramfs: &self.guest.initramfs,
            // The memory of the image must be at the same place in each run.
            cmdline: &format!("{EVERY_KERNEL} nokaslr {}", self.guest.arguments),
        };
        let mut machine = Machine::boot_counting(&processor, memory, &boot)?;

        machine.run_to(symbols.address("__x64_sys_kexec_file_load")?)?;
        let before = machine.qmp.instructions()?;
        let caller = return_address(&mut machine.gdb)?;
        machine.run_to(caller)?;
        let load = machine.qmp.instructions()? - before;

        machine.run_to(symbols.address("kernel_kexec")?)?;
        let begin = machine.qmp.instructions()?;
        machine.run_to(symbols.address("machine_kexec")?)?;
        let shut_down = machine.qmp.instructions()?;
        let image = image_pages(&mut machine.gdb)?;

        let log = machine.log();
        let start = number_after(&log, "start:0x")?;
        let entry = number_after(&log, "Loaded 64bit kernel at 0x")? + ENTRY_OFFSET;
        // Mainline's image and one that is entered directly are not verified.
        if case.verify == Verify::Y || case.module.is_some() {
            expect_engine(&log, Purpose::Enter, case.engine)?;
        }
        machine.run_to(start)?;
        let copied = machine.qmp.instructions()?;
        if start != entry {
            machine.run_to(entry)?;
        }
        let entered = machine.qmp.instructions()?;
        let boot = match case.to_init {
            true => {
                let entered = machine.gdb.execute(&RDTSC)?;
                Some(until_init(&mut machine)? - entered)
            }
            false => None,
        };
        Ok(Counted {
            load,
            shut_down: shut_down - begin,
            copy: copied - shut_down,
            verify: entered - copied,
            boot,
            image,
        })
    }
}

/// The return address of a function that is stopped at its first instruction.
fn return_address(gdb: &mut Gdb) -> Result<u64> {
    let stack = gdb.registers()?.get("rsp")?;
    gdb.read_u64(Space::Virtual, stack)
}

/// How the pages of the image lie that `machine_kexec()` is called with. `struct kimage` begins
/// with the first entry of the list.
fn image_pages(gdb: &mut Gdb) -> Result<Runs> {
    let kimage = gdb.registers()?.get("rdi")?;
    let head = gdb.read_u64(Space::Virtual, kimage)?;
    // The last page of the list that was read.
    let mut last: Option<(u64, Vec<u8>)> = None;
    Runs::of_list(head, |address| {
        let offset = address % PAGE as u64;
        let page = match last.take() {
            Some((start, page)) if start == address - offset => page,
            _ => gdb.read(Space::Physical, address - offset, PAGE)?,
        };
        let entry = page[offset as usize..].first_chunk();
        let entry = entry.context("an entry that crosses pages").copied();
        last = Some((address - offset, page));
        entry.map(u64::from_le_bytes)
    })
}

/// The time stamp counter that the next kernel's `/init` has read.
fn until_init(machine: &mut Machine) -> Result<u64> {
    const PREFIX: &str = "guest: time stamp ";
    let stop =
        machine.run(|log| log.after(PREFIX).is_some() && log.after("guest: release").is_some())?;
    let log = machine.log();
    match (stop, log.after(PREFIX)) {
        (Stop::Printed | Stop::Ended, Some(number)) => number
            .parse()
            .with_context(|| format!("not a number: {number}")),
        _ => bail!("the next kernel did not start: {stop:?}\n{}", log.tail()),
    }
}

/// The last hexadecimal number that follows `prefix` in the log.
fn number_after(log: &SerialLog, prefix: &str) -> Result<u64> {
    let digits = log
        .lines()
        .filter_map(|line| line.split_once(prefix))
        .map(|(_, rest)| {
            rest.split(|c: char| !c.is_ascii_hexdigit())
                .next()
                .unwrap_or(rest)
        })
        .last()
        .with_context(|| format!("the log has no {prefix}"))?;
    u64::from_str_radix(digits, 16).with_context(|| format!("not a number: {digits}"))
}
