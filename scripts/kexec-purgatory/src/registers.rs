// SPDX-License-Identifier: GPL-2.0-only

//! What the next kernel finds in the registers, held against what it finds after mainline's
//! purgatory.

mod paging;
mod state;

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use self::state::State;
use crate::engines::EngineKind;
use crate::faults::stage::{DIRECT_CPU, Setting, check_engine};
use crate::graft;
use crate::guest::{self, Purpose};
use crate::kernel::{self, Built, Verify};
use crate::layout::Layout;
use crate::machine::memory;
use crate::processors::{self, qemu_engines};
use crate::progress::Step;

/// A register that may differ from mainline's, and why. All others must be the same.
struct Allowed {
    register: &'static str,
    /// Where: after the Rust purgatory, or in a kernel that is entered directly.
    direct: bool,
    reason: &'static str,
}

/// Why the code segment is marked as accessed.
const ACCESSED: &str = "marked as accessed before it is loaded: a processor marks it itself, QEMU's \
    emulator does not in a far return";

const ALLOWED: &[Allowed] = &[
    Allowed {
        register: "CS",
        direct: false,
        reason: ACCESSED,
    },
    Allowed {
        register: "GDT[0x10]",
        direct: false,
        reason: ACCESSED,
    },
    Allowed {
        register: "CS",
        direct: true,
        reason: "that of the kernel that was left, marked as accessed when it was loaded",
    },
    Allowed {
        register: "GDT",
        direct: true,
        reason: "that of relocate_kernel, with the same descriptors; there is no purgatory",
    },
    Allowed {
        register: "rsp",
        direct: true,
        reason: "the stack of relocate_kernel; there is no purgatory",
    },
];

/// What the way is called without a purgatory.
const DIRECT: &str = "direct";

/// Kernels that enter an image, each in its own way.
pub struct Kernels {
    pub mainline: Built,
    pub verified: Built,
    pub direct: Built,
}

/// What the next kernel finds when it is entered in one of the ways.
pub struct Entered {
    pub name: String,
    direct: bool,
    state: State,
}

/// One register that differs from mainline's.
pub struct Difference {
    register: &'static str,
    mainline: String,
    found: String,
    /// Why it may, if it may.
    reason: Option<&'static str>,
}

/// Builds kernels and prints a table; says whether all differences are allowed.
pub fn run(layout: &Layout) -> Result<bool> {
    let tree = graft::kernel_tree(layout)?;
    graft::graft(layout, &tree)?;
    let kernels = Kernels {
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
            good &= difference.reason.is_some();
            println!("  {difference}");
        }
    }
    Ok(good)
}

/// What the ways are called in which [`enter`] has others than mainline enter.
pub fn names() -> impl Iterator<Item = String> {
    let direct = DIRECT.to_owned();
    qemu_engines().map(verified).chain([direct])
}

fn verified(engine: EngineKind) -> String {
    format!("verified, {}", engine.name())
}

/// Enters the same image in every way; mainline's comes first.
pub fn enter(layout: &Layout, kernels: &Kernels) -> Result<(Entered, Vec<Entered>)> {
    let folder = memory::folder(layout)?;
    let guest = guest::commanded(layout, kernels.verified.image(), "")?;
    let mut step = Step::start("enter the next kernel");
    let mut enter = |name: String, kernel, cpu: &str, engine, direct| -> Result<Entered> {
        step.line(&name);
        let setting = Setting::new(folder.path(), kernel, &guest)?;
        // A path in QEMU's options has no comma.
        let mut machine = setting.boot(&name.replace(", ", "-"), cpu)?.spawn()?;
        let image = setting.load(&mut machine, Purpose::Enter)?;
        if let Some(engine) = engine {
            check_engine(&machine, &[Purpose::Enter], engine)?;
        }
        setting.leave(&mut machine, Purpose::Enter)?;
        machine.run_to(image.entry()?)?;
        let state = state::read(&setting, &mut machine, &image).with_context(|| name.clone())?;
        Ok(Entered {
            name,
            direct,
            state,
        })
    };
    let mainline = enter(
        "mainline".to_owned(),
        &kernels.mainline,
        DIRECT_CPU,
        None,
        false,
    )?;
    let mut others = Vec::new();
    for engine in qemu_engines() {
        let processor = processors::that_picks(engine).context("QEMU has no such processor")?;
        others.push(enter(
            verified(engine),
            &kernels.verified,
            &processor,
            Some(engine),
            false,
        )?);
    }
    others.push(enter(
        DIRECT.to_owned(),
        &kernels.direct,
        DIRECT_CPU,
        None,
        true,
    )?);
    step.done();
    Ok((mainline, others))
}

impl Entered {
    /// What differs from mainline's.
    pub fn differences(&self, mainline: &Entered) -> Vec<Difference> {
        let reason = |register| {
            ALLOWED
                .iter()
                .find(|allowed| allowed.register == register && allowed.direct == self.direct)
                .map(|allowed| allowed.reason)
        };
        mainline
            .state
            .iter()
            .filter_map(|(&register, mainline)| {
                let found = self.state.get(register).cloned().unwrap_or_default();
                (found != *mainline).then(|| Difference {
                    register,
                    mainline: mainline.clone(),
                    found,
                    reason: reason(register),
                })
            })
            .collect()
    }

    /// Checks that only what may differ does, and that all of that does: what does not any more
    /// need not be allowed.
    pub fn check(&self, mainline: &Entered) -> Result<()> {
        let differences = self.differences(mainline);
        let unexplained: Vec<String> = differences
            .iter()
            .filter(|difference| difference.reason.is_none())
            .map(Difference::to_string)
            .collect();
        ensure!(unexplained.is_empty(), "{}", unexplained.join("\n"));
        for allowed in ALLOWED
            .iter()
            .filter(|allowed| allowed.direct == self.direct)
        {
            ensure!(
                differences
                    .iter()
                    .any(|difference| difference.register == allowed.register),
                "{} does not differ any more",
                allowed.register
            );
        }
        Ok(())
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} in place of {}: {}",
            self.register,
            self.found,
            self.mainline,
            self.reason.unwrap_or("NO REASON")
        )
    }
}
