// SPDX-License-Identifier: GPL-2.0-only

//! Tables for the terminal.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use super::{BenchReport, OfEngine, millions};
use crate::bench::copy::Loop;
use crate::bench::instruction_counts::{Counts, Repeated};
use crate::bench::mapped::Engine;
use crate::bench::measure::Spread;
use crate::bench::processor::{Caches, SMALL_REGION, SMALL_REGIONS};

impl BenchReport {
    /// Prints all tables.
    pub fn print(&self) {
        println!("{}\n", self.machine.describe());
        println!(
            "Image of {} bytes, {} with zero tails. Median and minimum of {} interleaved rounds, and\n\
             the distance of the quartiles in percent of the median. Time is processor time, cycles\n\
             are those of the time stamp counter. Ratios are mainline's time over that of the engine,\n\
             as the median of the rounds, and of the fastest run of each. Before each run, the\n\
             caches hold {}.\n",
            self.work.loaded,
            self.work.total,
            self.work.rounds,
            match self.work.caches {
                Caches::Warm => "what the run before left there",
                Caches::Cold => "nothing that the run reads",
            }
        );
        if !self.large_pages {
            println!(
                "Not all memory was in pages of 2 MiB: these figures are not those of the identity\n\
                 mapping between two kernels.\n"
            );
        }
        println!("{}\n", self.per_byte());
        println!(
            "\"small regions\": time per byte of {SMALL_REGIONS} regions of {} KiB over that of the image.\n",
            SMALL_REGION >> 10
        );
        println!("{}\n", self.of_image());
        for (name, engine) in &self.engines {
            if let OfEngine::NotMeasured { not_measured } = engine {
                println!("{name}: {not_measured}");
            }
        }
        println!();
        println!(
            "Copy loops, over what was loaded, and how many times as fast each is as rep movsq for\n\
             each page; then a copy of scattered pages and their verification by {}.\n",
            Engine::fastest().name()
        );
        println!("{}\n", self.copy_loops());
        match &self.load_digests {
            Some(digests) => println!(
                "Digests in kexec_file_load(), with the kernel's code for SHA-NI. Mainline: {} ms;\n\
                 here: {} ms; ratio: {}. Left out: reading\n\
                 the file, allocating, copying, and switching the FPU on and off.\n",
                in_words(&digests.mainline_ms, 1),
                in_words(&digests.ms, 1),
                in_words(&digests.ratio, 2),
            ),
            None => println!("Digests in kexec_file_load(): not measured: no SHA-NI.\n"),
        }
        match &self.decompress_ms {
            Some(decompress) => println!(
                "After that the next kernel decompresses itself, here with the kernel's code for zstd:\n\
                 {} ms.\n",
                in_words(decompress, 1)
            ),
            None => println!("The next kernel's decompression was not measured.\n"),
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

    fn per_byte(&self) -> Table {
        let mut table = new_table(&[
            "SHA-256",
            "MB/s",
            "",
            "cycles/B",
            "min",
            "per byte",
            "min",
            "small regions",
        ]);
        let mainline = &self.mainline.speed;
        let mut rows = vec![(
            "mainline, tail",
            mainline,
            ["1".to_owned(), "1".to_owned(), String::new()],
        )];
        for (name, speed) in &self.references {
            rows.push((name, speed, Default::default()));
        }
        for engine in Engine::all() {
            let Some(OfEngine::Measured(figures)) = self.engines.get(engine.name()) else {
                continue;
            };
            let ratios = [
                figures.per_byte_ratio,
                figures.per_byte_ratio_of_minima,
                figures.small_regions_ratio,
            ];
            rows.push((engine.name(), &figures.speed, ratios.map(two_digits)));
        }
        for (name, speed, ratios) in rows {
            let figures = [
                name.to_owned(),
                figure(&speed.mb_per_s, 0),
                percent(&speed.mb_per_s),
                figure(&speed.cycles_per_byte, 2),
                two_digits(speed.cycles_per_byte.min),
            ];
            table.add_row(figures.into_iter().chain(ratios));
        }
        table
    }

    fn of_image(&self) -> Table {
        let mut table = new_table(&[
            "image",
            "verify, ms",
            "min",
            "",
            "ratio",
            "min",
            "and copy, ms",
            "min",
            "",
            "ratio",
            "min",
        ]);
        let mut row = vec!["mainline, tail".to_owned()];
        for time in [&self.mainline.verify_ms, &self.mainline.verify_copy_ms] {
            row.extend(columns(time, 1));
            row.extend(["1".to_owned(), "1".to_owned()]);
        }
        table.add_row(row);
        for engine in Engine::all() {
            let Some(image) = self.image.get(engine.name()) else {
                continue;
            };
            let mut row = vec![engine.name().to_owned()];
            for (time, ratio, minima) in [
                (
                    image.verify_ms,
                    image.verify_ratio,
                    image.verify_ratio_of_minima,
                ),
                (
                    image.verify_copy_ms,
                    image.verify_copy_ratio,
                    image.verify_copy_ratio_of_minima,
                ),
            ] {
                row.extend(columns(&time, 1));
                row.extend([ratio, minima].map(two_digits));
            }
            table.add_row(row);
        }
        table
    }

    fn copy_loops(&self) -> Table {
        let mut table = new_table(&["loop", "pages", "ms", "min", "", "MB/s", "ratio", "min", ""]);
        for how in Loop::ALL {
            for (pages, figures) in self.copy.get(how.name).into_iter().flatten() {
                let mut row = vec![how.name.to_owned(), (*pages).to_owned()];
                row.extend(columns(&figures.ms, 1));
                row.push(figure(&figures.mb_per_s, 0));
                row.extend(columns(&figures.ratio, 2));
                table.add_row(row);
            }
            if let Some(spread) = self.copy_verify_ms.get(how.name) {
                let row = [how.name.to_owned(), "and verify".to_owned()];
                table.add_row(row.into_iter().chain(columns(spread, 1)));
            }
        }
        table
    }

    fn sizes(&self) -> Table {
        let mut table = new_table(&["MiB", "", "ms", "min", ""]);
        for growth in &self.growth {
            let engines = Engine::all().into_iter().map(Engine::name);
            let engines = engines.filter_map(|name| Some((name, growth.engines_ms.get(name)?)));
            for (name, time) in [("mainline", &growth.mainline_ms)]
                .into_iter()
                .chain(engines)
            {
                let row = [growth.mib.to_string(), name.to_owned()];
                table.add_row(row.into_iter().chain(columns(time, 1)));
            }
        }
        table
    }
}

fn instructions_table(cases: &Counts) -> Table {
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
        let mut row = vec![name.clone(), runs.to_string()];
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

/// Names on the left, figures on the right.
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

fn two_digits(figure: f64) -> String {
    format!("{figure:.2}")
}

fn percent(spread: &Spread) -> String {
    format!("{:.0}%", spread.percent())
}

/// Median, minimum and spread, for a row of a table.
fn columns(spread: &Spread, digits: usize) -> [String; 3] {
    let min = format!("{:.digits$}", spread.min);
    [figure(spread, digits), min, percent(spread)]
}

/// The same in a sentence.
fn in_words(spread: &Spread, digits: usize) -> String {
    let [median, min, percent] = columns(spread, digits);
    format!("{median} (minimum {min}, spread {percent})")
}
