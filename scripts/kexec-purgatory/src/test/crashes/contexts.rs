// SPDX-License-Identifier: GPL-2.0-only

//! Crashes in every context, and counts how many leave a correct dump. Also crashes after the crash
//! image was damaged.

mod judge;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use self::judge::{Rates, judge};
use crate::engines::EngineKind;
use crate::files;
use crate::guest::{self, CRASH_CONTEXTS, Death};
use crate::kernel::{self, Built, Verify};
use crate::kexec;
use crate::parallel::in_order;
use crate::qemu::SerialLog;
use crate::root::Root;
use crate::test::{Kernels, Report};

/// Where a kernel dies: the module's name for it, and what the kernel prints there.
const CONTEXTS: &[(&str, &str)] = &[
    ("process", "crash_contexts: process"),
    ("oops", "BUG: kernel NULL pointer dereference"),
    ("irqs-off", "crash_contexts: interrupts off"),
    ("softirq", "crash_contexts: softirq"),
    ("hardirq", "crash_contexts: hardirq"),
    ("nmi", "crash_contexts: nmi"),
    ("stack", "stack guard page"),
    ("softlockup", "softlockup: hung tasks"),
];

/// What the other processors do meanwhile.
const OTHERS: &[&str] = &["idle", "busy", "avx", "hung"];

const STATES: &[Verify] = &[Verify::Y, Verify::N, Verify::M];

/// What is changed between the load and the crash.
const CHANGES: &[&str] = &["nothing", IMAGE, HEADERS];

/// With each of these, an oops ends in a panic.
const ARGUMENTS: &[&str] = &["oops=panic", "oops=panic crash_kexec_post_notifiers"];

/// With this, a panic calls its notifiers before it starts the crash kernel.
const POST_NOTIFIERS: &str = "crash_kexec_post_notifiers";

/// The machine of most crashes, and of some.
const PROCESSORS: u32 = 2;
const MANY_PROCESSORS: u32 = 4;

/// The number of crashes on request.
const MANY: usize = 200;

/// Where no crash kernel starts, as on a mainline kernel: a load and `kexec -e` hold the lock that
/// a crash must take.
const LOCKED: &[(&str, &str)] = &[
    ("load", "crash_contexts: load"),
    ("notifier", "crash_contexts: reboot notifier"),
    ("syscore", "crash_contexts: syscore shutdown"),
];

/// The changes of a loaded image: it is loaded again, its ELF headers are updated because memory is
/// added, or each of its segments is damaged, which the purgatory must find.
const IMAGE: &str = "image";
const HEADERS: &str = "headers";
const DAMAGE: &str = "damage";

/// Makes the crash kernel write a dump with makedumpfile, for which it needs memory.
const DUMP: &str = "oops=panic guest.dump=1 crashkernel=384M";

/// The crash of a machine with processors that the kernel did not start. The broadcast that stops
/// the others wakes these where they wait in SeaBIOS, whose memory the kernel uses by then. The
/// machine is reset, as with a mainline kernel.
const BROADCAST: &str = "oops=panic nr_cpus=2";

/// What happens after a crash.
#[derive(Clone, Copy)]
enum Outcome {
    /// The crash kernel starts.
    CrashKernel,
    /// Nothing is entered, as on a mainline kernel.
    Nothing,
    /// The purgatory finds the damage and resets the machine.
    Mismatch,
}

/// A crash.
pub struct Crash {
    name: String,
    verify: Verify,
    death: Death,
    /// What the kernel prints when it dies.
    says: &'static str,
    outcome: Outcome,
    /// The engine that must verify the image; None for any engine that the processor has.
    engine: Option<EngineKind>,
}

/// The crashes of every run of the tests: one in each context, some while another image is
/// loaded or entered, one whose crash kernel writes a dump with makedumpfile, and one after the
/// crash image was damaged.
pub fn few() -> Vec<Crash> {
    let contexts = (0..CONTEXTS.len()).map(|number| crash("crashes", number, number));
    let locked = locked("crashes", &[Verify::Norust, Verify::Y]);
    let others = [
        dump("crashes/makedumpfile", 0),
        damaged("crashes/damaged", None),
    ];
    contexts.chain(locked).chain(others).collect()
}

/// The crashes on request.
pub fn many() -> Vec<Crash> {
    let engine = EngineKind::Avx512X16;
    let damaged = damaged("matrix/avx512-x16-damaged", Some(engine));
    let dumps = (0..CONTEXTS.len()).map(|number| dump("matrix/makedumpfile", number));
    let broadcast = [Verify::Norust, Verify::Y].map(|verify| {
        let name = format!("matrix/broadcast-{}", verify.name());
        let mut crash = plain(name, verify, CONTEXTS[0], Outcome::Nothing);
        crash.death.arguments = BROADCAST;
        crash.death.processors = MANY_PROCESSORS;
        crash
    });
    (0..MANY)
        .map(|number| crash("matrix/crash", number, number / CONTEXTS.len()))
        .chain(dumps)
        .chain(broadcast)
        .chain(locked("matrix", &[Verify::Norust, Verify::N, Verify::M]))
        .chain([damaged])
        .collect()
}

/// Crashes that leave no dump, in kernels of these states.
fn locked(folder: &str, states: &[Verify]) -> impl Iterator<Item = Crash> {
    LOCKED.iter().flat_map(move |&context| {
        states.iter().map(move |&verify| {
            let name = format!("{folder}/{}-{}", context.0, verify.name());
            plain(name, verify, context, Outcome::Nothing)
        })
    })
}

/// A crash whose kernel writes a dump with makedumpfile. `number` selects the context.
fn dump(folder: &str, number: usize) -> Crash {
    let mut crash = crash(folder, number, number);
    crash.death.arguments = DUMP;
    crash
}

/// A crash in one of the [`CONTEXTS`] or [`LOCKED`] ones, and nothing else.
fn plain(
    name: String,
    verify: Verify,
    (context, says): (&'static str, &'static str),
    outcome: Outcome,
) -> Crash {
    Crash {
        name,
        verify,
        death: Death {
            context,
            others: OTHERS[0],
            change: CHANGES[0],
            arguments: ARGUMENTS[0],
            processors: PROCESSORS,
        },
        says,
        outcome,
        engine: None,
    }
}

/// A crash after the crash image was damaged, on a processor for `engine`.
fn damaged(name: &str, engine: Option<EngineKind>) -> Crash {
    let mut crash = plain(name.to_owned(), Verify::Y, CONTEXTS[0], Outcome::Mismatch);
    crash.death.change = DAMAGE;
    crash.engine = engine;
    crash
}

/// The crash with a number. `number` selects the context, `turn` everything else.
fn crash(folder: &str, number: usize, turn: usize) -> Crash {
    fn pick<T: Copy>(list: &[T], turn: usize) -> T {
        list[turn % list.len()]
    }

    let (context, says) = pick(CONTEXTS, number);
    let verify = pick(STATES, turn);
    let others = pick(OTHERS, turn);
    let name = format!(
        "{folder}/{}-{context}-{others}-{}",
        number + 1,
        verify.name()
    );
    let mut crash = plain(name, verify, (context, says), Outcome::CrashKernel);
    crash.death.others = others;
    crash.death.change = pick(CHANGES, turn / STATES.len());
    crash.death.arguments = pick(ARGUMENTS, turn / STATES.len());
    crash.death.processors = pick(&[PROCESSORS, MANY_PROCESSORS], turn / OTHERS.len());
    crash
}

/// The names of these crashes.
pub fn names(crashes: Vec<Crash>) -> Vec<String> {
    crashes.into_iter().map(|crash| crash.name).collect()
}

/// Runs those of `crashes` that are selected.
pub fn run(kernels: &mut Kernels, report: &mut Report, crashes: &[Crash]) -> Result<()> {
    let layout = kernels.layout;
    let wanted: Vec<&Crash> = crashes
        .iter()
        .filter(|crash| report.wants(&crash.name))
        .collect();
    let dumps = wanted.iter().any(|crash| crash.death.arguments == DUMP);
    // Its version in Debian 12 is older than the kernels here.
    let makedumpfile = dumps
        .then(|| Root::of_package(layout, "makedumpfile"))
        .transpose()?;
    let mut module = None;
    let mut guests: BTreeMap<&str, (Built, PathBuf)> = BTreeMap::new();
    for crash in &wanted {
        let state = crash.verify.name();
        if guests.contains_key(state) {
            continue;
        }
        let kernel = kernels.get(crash.verify)?;
        // These states have the same modules.
        let module = match module.as_ref() {
            Some(module) => module,
            None => module.insert(build_module(kernels, crash.verify)?),
        };
        let made = guest::crashing(layout, kernel.image(), module, makedumpfile.as_ref())?;
        let initramfs = made.with_file_name(format!("crash-contexts-{state}.cpio"));
        fs::rename(made, &initramfs)?;
        guests.insert(state, (kernel, initramfs));
    }
    let mut rates: BTreeMap<&str, Rates> = BTreeMap::new();
    // A crash that an interrupted run has passed met every condition.
    for crash in crashes {
        let before = report.has(&crash.name) && !report.wants(&crash.name);
        if before && let Outcome::CrashKernel = crash.outcome {
            let rates = rates.entry(crash.death.context).or_default();
            rates.crashes += 1;
            rates.started += 1;
            rates.complete += 1;
            rates.right += 1;
        }
    }
    let run = |crash: &&Crash| -> Result<SerialLog> {
        let (kernel, initramfs) = &guests[crash.verify.name()];
        let guest = guest::crash_in(initramfs, &crash.death);
        let log = crash.name.replace('/', "-");
        kexec::boot(layout, &log, kernel.image(), &guest, crash.engine)
    };
    let mut ended = |crash: &&Crash, log: Result<SerialLog>| {
        let mut none = Rates::default();
        let rates = match crash.outcome {
            Outcome::CrashKernel => rates.entry(crash.death.context).or_default(),
            Outcome::Nothing | Outcome::Mismatch => &mut none,
        };
        rates.crashes += 1;
        let result = log.and_then(|log| judge(crash, &log, rates).with_context(|| log.tail()));
        report.record(&crash.name, result);
    };
    // QEMU has failed to boot a machine beside one that keeps four processors busy.
    let (usual, alone): (Vec<&Crash>, Vec<&Crash>) = wanted
        .iter()
        .partition(|crash| crash.death.processors <= PROCESSORS);
    in_order(&usual, run, &mut ended);
    for crash in &alone {
        ended(crash, run(crash));
    }
    if rates.is_empty() {
        return Ok(());
    }
    let mut all = Rates::default();
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(["context", "crashes", "started", "complete", "right"]);
    for (context, rates) in &rates {
        table.add_row(rates.row(context));
        all.crashes += rates.crashes;
        all.started += rates.started;
        all.complete += rates.complete;
        all.right += rates.right;
    }
    table.add_row(all.row("all"));
    report.add_table(table);
    Ok(())
}

/// Builds the module that crashes a kernel, for the state that was last built.
fn build_module(kernels: &Kernels, verify: Verify) -> Result<PathBuf> {
    let layout = kernels.layout;
    let source = layout.build.join("crash-contexts");
    fs::create_dir_all(&source)?;
    let from = layout.tool("guest/crash-contexts");
    for file in ["Kbuild".to_owned(), format!("{CRASH_CONTEXTS}.c")] {
        copy_changed(&from.join(&file), &source.join(&file))?;
    }
    kernel::build_module(layout, kernels.tree(), verify, &source, CRASH_CONTEXTS)
}

/// Copies a file, unless the copy is up to date.
fn copy_changed(from: &Path, to: &Path) -> Result<()> {
    let content = files::read(from)?;
    if fs::read(to).ok().as_ref() != Some(&content) {
        fs::write(to, content)?;
    }
    Ok(())
}
