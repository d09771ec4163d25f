// SPDX-License-Identifier: GPL-2.0-only

//! Tables for the terminal.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use indexmap::IndexMap;

use super::{Report, millions};
use crate::bench::blob::Engine;
use crate::bench::copy::{Loop, Pages};
use crate::bench::instructions::Repeated;
use crate::bench::measure::Spread;

impl Report {
    /// Prints all tables.
    pub fn print(&self) {
        println!(
            "{}, Linux {}\n",
            self.machine.processor, self.machine.kernel
        );
        println!(
            "Image of {} bytes, {} with zero tails. Median of {} interleaved rounds, and the\n\
             distance of the quartiles in percent of it. Time is processor time, cycles are those\n\
             of the time stamp counter. Ratios are mainline's time over that of the engine.\n",
            self.work.loaded, self.work.total, self.work.rounds
        );
        if !self.large_pages {
            println!(
                "Not all memory was in pages of 2 MiB: these figures are not those of the identity\n\
                 mapping between two kernels.\n"
            );
        }
        println!("{}", self.verification());
        for (name, engine) in &self.engines {
            if let Some(reason) = &engine.not_measured {
                println!("{name}: {reason}");
            }
        }
        println!();
        println!(
            "Copy loops, over what was loaded: MB/s, and times as fast as rep movsq for each page;\n\
             then ms for a copy of scattered pages and their verification by {}.\n",
            Engine::fastest().name()
        );
        println!("{}\n", self.copy_loops());
        match &self.load_digests {
            Some(digests) => println!(
                "Digests in kexec_file_load(), with the kernel's code for SHA-NI: mainline {} ms, here\n\
                 {} ms, ratio {}. Left out: reading the file, allocating, copying, and switching the\n\
                 FPU on and off.\n",
                figure(&digests.mainline_ms, 1),
                figure(&digests.ms, 1),
                figure(&digests.ratio, 2),
            ),
            None => println!("Digests in kexec_file_load(): not measured: no SHA-NI.\n"),
        }
        println!("Verification of images of several sizes without a tail, in ms.\n");
        println!("{}\n", self.sizes());
        if let Some(cases) = &self.instructions_in_parts {
            println!(
                "Millions of instructions in QEMU of kexec_file_load(), and from kexec -e to the next\n\
                 kernel's first one and to its /init: how many, not how long. In the next kernel,\n\
                 waits count a nanosecond as one.\n"
            );
            println!("{}", instructions_table(cases));
            match self.different()[..] {
                [] => println!("All runs of each counted the same, to the instruction.\n"),
                ref cases => println!("Runs differ: {}\n", cases.join(", ")),
            }
        }
    }

    fn verification(&self) -> Table {
        let mut table = new_table(&[
            "verification",
            "MB/s",
            "cycles/B",
            "per byte",
            "image, ms",
            "ratio",
            "and copy, ms",
            "ratio",
        ]);
        let mainline = &self.mainline;
        table.add_row([
            "mainline, tail".to_owned(),
            with_spread(&mainline.speed.mb_per_s, 0),
            figure(&mainline.speed.cycles_per_byte, 2),
            "1".to_owned(),
            with_spread(&mainline.verify_ms, 1),
            "1".to_owned(),
            with_spread(&mainline.verify_copy_ms, 1),
            "1".to_owned(),
        ]);
        for (name, speed) in &self.references {
            let mut row = [const { String::new() }; 8];
            row[0] = (*name).to_owned();
            row[1] = with_spread(&speed.mb_per_s, 0);
            row[2] = figure(&speed.cycles_per_byte, 2);
            table.add_row(row);
        }
        for engine in Engine::all() {
            table.add_row(self.engine_row(engine.name()));
        }
        table
    }

    fn engine_row(&self, name: &str) -> [String; 8] {
        let mut row = [const { String::new() }; 8];
        row[0] = name.to_owned();
        let (Some(engine), Some(image)) = (self.engines.get(name), self.image.get(name)) else {
            return row;
        };
        if let Some(speed) = &engine.speed {
            row[1] = with_spread(&speed.mb_per_s, 0);
            row[2] = figure(&speed.cycles_per_byte, 2);
        }
        let figures = [
            (&engine.per_byte_ratio_spread, 3),
            (&image.verify_ratio_spread, 5),
            (&image.verify_copy_ratio_spread, 7),
        ];
        for (spread, column) in figures {
            row[column] = spread.map(|spread| figure(&spread, 2)).unwrap_or_default();
        }
        for (spread, column) in [(&image.verify_ms, 4), (&image.verify_copy_ms, 6)] {
            row[column] = spread
                .map(|spread| with_spread(&spread, 1))
                .unwrap_or_default();
        }
        row
    }

    fn copy_loops(&self) -> Table {
        let mut table = new_table(&[
            "loop",
            "adjacent",
            "ratio",
            "scattered",
            "ratio",
            "and verify",
        ]);
        for how in Loop::ALL {
            let mut row = vec![how.name().to_owned()];
            for pages in Pages::ALL {
                let Some(figures) = self
                    .copy
                    .get(how.name())
                    .and_then(|by| by.get(pages.name()))
                else {
                    continue;
                };
                row.push(with_spread(&figures.mb_per_s, 0));
                row.push(with_spread(&figures.ratio, 2));
            }
            if let Some(spread) = self.copy_verify_ms.get(how.name()) {
                row.push(with_spread(spread, 1));
            }
            table.add_row(row);
        }
        table
    }

    fn sizes(&self) -> Table {
        let engines: Vec<&str> = Engine::all().iter().map(|engine| engine.name()).collect();
        let mut table = new_table(&[&["MiB", "mainline"], &engines[..]].concat());
        for growth in &self.growth {
            let mut row = vec![growth.mib.to_string(), with_spread(&growth.mainline_ms, 1)];
            row.extend(engines.iter().map(|engine| {
                growth
                    .engines_ms
                    .get(engine)
                    .map(|spread| with_spread(spread, 1))
                    .unwrap_or_default()
            }));
            table.add_row(row);
        }
        table
    }
}

fn instructions_table(cases: &IndexMap<&'static str, Repeated>) -> Table {
    let mut table = new_table(&[
        "case",
        "runs",
        "load",
        "shut down",
        "copy",
        "verify",
        "to entry",
        "next kernel",
        "to /init",
    ]);
    for (name, Repeated { counted, runs, .. }) in cases {
        let mut row = vec![(*name).to_owned(), runs.to_string()];
        let parts = [
            counted.load,
            counted.shut_down,
            counted.copy,
            counted.verify,
            counted.to_entry(),
        ];
        row.extend(parts.map(|part| format!("{:.3}", millions(part))));
        if let Some(boot) = counted.boot {
            let parts = [boot, counted.to_entry() + boot];
            row.extend(parts.map(|part| format!("{:.3}", millions(part))));
        }
        table.add_row(row);
    }
    table
}

/// Names to the left, figures to the right.
fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_padding((1, 1));
    }
    table
}

fn figure(spread: &Spread, digits: usize) -> String {
    format!("{:.digits$}", spread.median)
}

fn with_spread(spread: &Spread, digits: usize) -> String {
    format!("{:.digits$} {:>2.0}%", spread.median, spread.percent())
}
