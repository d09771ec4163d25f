// SPDX-License-Identifier: GPL-2.0-only

//! Compares the registers that the next kernel finds with those that it finds after mainline's
//! purgatory.

mod in_bochs;
mod paging;
mod state;

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

pub use self::in_bochs::enter as enter_in_bochs;
use self::state::State;
use crate::engines::EngineKind;
use crate::graft;
use crate::guest::{self, Purpose};
use crate::kernel::{self, Built, Verify};
use crate::layout::Layout;
use crate::machine::guest_setup::{DIRECT_CPU, GuestSetup, check_engine};
use crate::machine::memory;
use crate::processors::{self, picked_in_qemu};
use crate::progress::Step;

/// A register that may differ from mainline's, and why. All others must be equal.
type Allowed = (&'static str, &'static str);

/// Why the code segment is marked as accessed.
const ACCESSED: &str = "marked as accessed before it is loaded: a processor marks it itself, QEMU's \
    emulator does not in a far return";

/// In a kernel after the Rust purgatory, in QEMU.
const AFTER_PURGATORY: &[Allowed] = &[("CS", ACCESSED), ("GDT[0x10]", ACCESSED)];

/// In a kernel that is entered directly.
const ENTERED_DIRECTLY: &[Allowed] = &[
    (
        "CS",
        "that of the kernel that was left, marked as accessed when it was loaded",
    ),
    (
        "GDT",
        "that of relocate_kernel, with the same descriptors; there is no purgatory",
    ),
    ("rsp", "the stack of relocate_kernel; there is no purgatory"),
];

/// The name of the way without a purgatory.
const DIRECT: &str = "direct";

/// Kernels that enter an image, each in its own way.
pub struct ComparedKernels {
    pub mainline: Built,
    pub verified: Built,
    pub direct: Built,
}

/// The state that the next kernel finds when it is entered in one of the ways.
pub struct Entered {
    pub name: String,
    /// Each of these differs, and no other register.
    allowed: &'static [Allowed],
    state: State,
}

/// One register that differs from mainline's.
pub struct Difference {
    register: &'static str,
    /// Both values, and why it may differ.
    text: String,
    allowed: bool,
}

/// Builds kernels and prints a table. Returns whether all differences are allowed.
pub fn run(layout: &Layout) -> Result<bool> {
    let tree = graft::kernel_tree(layout)?;
    graft::graft(layout, &tree)?;
    let kernels = ComparedKernels {
        mainline: kernel::build(layout, &tree, None, Verify::Norust)?,
        verified: kernel::build(layout, &tree, None, Verify::Y)?,
        direct: kernel::build(layout, &tree, None, Verify::N)?,
    };
    let (mainline, others) = enter(layout, &kernels)?;
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(["register", "mainline"]);
    for (register, value) in &mainline.state {
        table.add_row([*register, value]);
    }
    println!("{table}");
    let mut good = true;
    for entered in &others {
        let differences = entered.differences(&mainline);
        println!("\n{}: {} differences", entered.name, differences.len());
        for difference in differences {
            good &= difference.allowed;
            println!("  {}", difference.text);
        }
    }
    Ok(good)
}

/// The names of the ways, other than mainline's, in which [`enter`] enters an image.
pub fn names() -> impl Iterator<Item = String> {
    let direct = DIRECT.to_owned();
    picked_in_qemu().map(verified).chain([direct])
}

fn verified(engine: EngineKind) -> String {
    format!("verified, {}", engine.name())
}

/// Enters the same image in every way. Mainline's result comes first.
pub fn enter(layout: &Layout, kernels: &ComparedKernels) -> Result<(Entered, Vec<Entered>)> {
    let folder = memory::folder(layout)?;
    let guest = guest::commanded(layout, kernels.verified.image(), "")?;
    let mut step = Step::start("enter the next kernel");
    let mut enter = |name: String, kernel, cpu: &str, engine, allowed| -> Result<Entered> {
        step.line(&name);
        let setup = GuestSetup::new(folder.path(), kernel, &guest)?;
        // A path in QEMU's options must not have a comma.
        let mut machine = setup.boot(&name.replace(", ", "-"), cpu)?.spawn()?;
        let image = setup.load(&mut machine, Purpose::Enter)?;
        if let Some(engine) = engine {
            check_engine(&machine, &[Purpose::Enter], engine)?;
        }
        setup.leave(&mut machine, Purpose::Enter)?;
        machine.run_to(image.entry()?)?;
        let state = state::read(&setup, &mut machine, &image).with_context(|| name.clone())?;
        Ok(Entered {
            name,
            allowed,
            state,
        })
    };
    let mainline = enter(
        "mainline".to_owned(),
        &kernels.mainline,
        DIRECT_CPU,
        None,
        &[],
    )?;
    let mut others = Vec::new();
    for engine in picked_in_qemu() {
        let processor = processors::that_picks(engine).context("QEMU has no such processor")?;
        others.push(enter(
            verified(engine),
            &kernels.verified,
            &processor,
            Some(engine),
            AFTER_PURGATORY,
        )?);
    }
    others.push(enter(
        DIRECT.to_owned(),
        &kernels.direct,
        DIRECT_CPU,
        None,
        ENTERED_DIRECTLY,
    )?);
    step.done();
    Ok((mainline, others))
}

impl Entered {
    /// The registers that differ from mainline's.
    pub fn differences(&self, mainline: &Entered) -> Vec<Difference> {
        mainline
            .state
            .iter()
            .filter_map(|(&register, mainline)| {
                let found = self.state.get(register).map_or("", String::as_str);
                let allowed = self.allowed.iter().find(|(name, _)| *name == register);
                let reason = allowed.map_or("NO REASON", |(_, reason)| reason);
                (found != mainline).then(|| Difference {
                    register,
                    text: format!("{register}: {found} in place of {mainline}: {reason}"),
                    allowed: allowed.is_some(),
                })
            })
            .collect()
    }

    /// Checks that only allowed registers differ, and that each of them does: one that no longer
    /// differs needs no entry in the list.
    pub fn check(&self, mainline: &Entered) -> Result<()> {
        let differences = self.differences(mainline);
        let unexplained: Vec<&str> = differences
            .iter()
            .filter(|difference| !difference.allowed)
            .map(|difference| difference.text.as_str())
            .collect();
        ensure!(unexplained.is_empty(), "{}", unexplained.join("\n"));
        for (register, _) in self.allowed {
            ensure!(
                differences
                    .iter()
                    .any(|difference| difference.register == *register),
                "{register} no longer differs"
            );
        }
        Ok(())
    }
}
