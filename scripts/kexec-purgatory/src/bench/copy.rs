// SPDX-License-Identifier: GPL-2.0-only

//! The copy loop of `relocate_kernel`, and others that could be in its place.
//!
//! Each walks an indirection list as `swap_pages` does (arch/x86/kernel/relocate_kernel_64.S) and
//! uses general registers only: between two kernels `CR4.OSFXSR` is off.

use std::arch::asm;

use anyhow::{Result, bail};
use serde::Serialize;

use super::image::Image;
use super::memory::{Memory, PAGE};

/// Flags of an entry (include/linux/kexec.h).
const IND_DESTINATION: u64 = 1;
const IND_INDIRECTION: u64 = 2;
const IND_DONE: u64 = 4;
const IND_SOURCE: u64 = 8;

/// Entries in a page of the list.
const ENTRIES: usize = PAGE / size_of::<u64>();

/// Where the source pages of an image lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pages {
    /// In a row.
    Adjacent,
    /// In no order.
    Scattered,
}

impl Pages {
    pub const ALL: [Self; 2] = [Self::Adjacent, Self::Scattered];

    pub fn name(self) -> &'static str {
        match self {
            Self::Adjacent => "adjacent",
            Self::Scattered => "scattered",
        }
    }
}

/// Which part of each segment is copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// What was loaded.
    Loaded,
    /// The zero tail as well, as mainline does.
    WithTail,
}

/// A way to copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loop {
    /// What `swap_pages` does.
    Movsq,
    Movsb,
    /// Runs of adjacent pages at once.
    MovsqRuns,
    MovsbRuns,
    /// The next page is asked for before this one is copied.
    MovsqPrefetch,
    /// Plain loads and stores.
    Mov,
    /// Stores around the cache.
    Movnti,
    MovntiPrefetch,
}

impl Loop {
    pub const ALL: [Self; 8] = [
        Self::Movsq,
        Self::Movsb,
        Self::MovsqRuns,
        Self::MovsbRuns,
        Self::MovsqPrefetch,
        Self::Mov,
        Self::Movnti,
        Self::MovntiPrefetch,
    ];

    /// The one that the project's kernel has.
    pub const PROJECT: Self = Self::MovntiPrefetch;

    pub fn name(self) -> &'static str {
        match self {
            Self::Movsq => "movsq",
            Self::Movsb => "movsb",
            Self::MovsqRuns => "movsq-runs",
            Self::MovsbRuns => "movsb-runs",
            Self::MovsqPrefetch => "movsq-prefetch",
            Self::Mov => "mov",
            Self::Movnti => "movnti",
            Self::MovntiPrefetch => "movnti-prefetch",
        }
    }
}

/// The source pages of an image and the list of what is copied where.
pub struct Copy<'a> {
    list: Memory,
    // The list refers to both.
    source: Memory,
    _image: &'a Image,
}

impl<'a> Copy<'a> {
    /// Fills source pages with what `image` holds now, to be copied back over it.
    pub fn new(image: &'a Image, pages: Pages, extent: Extent) -> Result<Self> {
        let spans: Vec<(usize, usize)> = image
            .segments
            .iter()
            .map(|segment| match extent {
                Extent::Loaded => (segment.start, segment.loaded.div_ceil(PAGE)),
                Extent::WithTail => (segment.start, segment.memory.div_ceil(PAGE)),
            })
            .collect();
        let count = spans.iter().map(|(_, pages)| pages).sum();
        let mut order: Vec<usize> = (0..count).collect();
        if pages == Pages::Scattered {
            fastrand::Rng::with_seed(3).shuffle(&mut order);
        }

        let mut source = Memory::new(count * PAGE)?;
        let first = source.as_raw().addr();
        let mut entries = Vec::new();
        let mut order = order.into_iter().map(|page| page * PAGE);
        for (start, pages) in spans {
            entries.push((image.memory.as_raw().addr() + start) as u64 | IND_DESTINATION);
            for (page, from) in (0..pages).zip(&mut order) {
                let to = start + page * PAGE;
                source[from..from + PAGE].copy_from_slice(&image.memory[to..to + PAGE]);
                entries.push((first + from) as u64 | IND_SOURCE);
            }
        }
        entries.push(IND_DONE);
        Ok(Self {
            list: list(&entries)?,
            source,
            _image: image,
        })
    }

    /// Bytes that are copied.
    pub fn bytes(&self) -> usize {
        self.source.len()
    }

    /// Copies every page to its place in the image.
    pub fn run(&self, how: Loop) {
        // SAFETY: The list is well formed and ends. Its sources are pages of `source`; its
        // destinations pages of the image, whose bytes nobody borrows meanwhile: a borrow would
        // have to come from another thread, and `Copy` is not `Sync`.
        unsafe { walk(how, self.list.as_raw().addr() as u64 | IND_INDIRECTION) }
    }
}

/// How the pages of an image lie that a kernel has loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Runs {
    /// Pages that are copied.
    pub pages: u64,
    /// Runs of pages that follow each other both where they lie and where they go.
    pub runs: u64,
}

impl Runs {
    /// Walks the list of an image, which begins with `head`; `read` reads an entry at a physical
    /// address.
    pub fn of_list(head: u64, mut read: impl FnMut(u64) -> Result<u64>) -> Result<Self> {
        let page_of = |entry: u64| entry & !(PAGE as u64 - 1);
        let mut found = Self::default();
        let (mut entry, mut next, mut follows) = (head, 0, None);
        loop {
            match entry & (PAGE as u64 - 1) {
                IND_DONE => return Ok(found),
                IND_DESTINATION => follows = None,
                IND_INDIRECTION => next = page_of(entry),
                IND_SOURCE => {
                    found.pages += 1;
                    found.runs += u64::from(follows != Some(page_of(entry)));
                    follows = Some(page_of(entry) + PAGE as u64);
                }
                flags => bail!("an entry of the indirection list with flags {flags:#x}"),
            }
            entry = read(next)?;
            next += size_of::<u64>() as u64;
        }
    }
}

/// Puts entries in pages, each of which ends with where the next one is.
fn list(entries: &[u64]) -> Result<Memory> {
    let pages = entries.chunks(ENTRIES - 1);
    let mut list = Memory::new(pages.len() * PAGE)?;
    let start = list.as_raw().addr();
    for (number, entries) in pages.enumerate() {
        let next = (start + (number + 1) * PAGE) as u64 | IND_INDIRECTION;
        let page = &mut list[number * PAGE..(number + 1) * PAGE];
        for (bytes, entry) in page.chunks_exact_mut(8).zip(entries.iter().chain([&next])) {
            bytes.copy_from_slice(&entry.to_le_bytes());
        }
    }
    Ok(list)
}

/// `swap_pages` without the swap, for a body that copies from `%rsi` to `%rdi`, which it moves on.
/// `%r8` is the next entry of the list.
macro_rules! walk {
    ($head:expr, $($body:literal),+ $(,)?) => {
        asm!(
            "jmp 3f",
            "2: movq (%r8), %rcx",
            "addq $8, %r8",
            "3: testb $1, %cl",
            "jz 4f",
            "movq %rcx, %rdi",
            "andq $-4096, %rdi",
            "jmp 2b",
            "4: testb $2, %cl",
            "jz 5f",
            "movq %rcx, %r8",
            "andq $-4096, %r8",
            "jmp 2b",
            "5: testb $4, %cl",
            "jnz 9f",
            "testb $8, %cl",
            "jz 2b",
            "movq %rcx, %rsi",
            "andq $-4096, %rsi",
            $($body,)+
            "jmp 2b",
            // Non-temporal stores are to be counted in, until they are seen.
            "9: sfence",
            inout("rcx") $head => _,
            out("rax") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _,
            out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("r13") _,
            options(att_syntax, nostack),
        )
    };
}

/// # Safety
///
/// `head` must be the first entry of a list that ends, of which nobody borrows the destinations.
unsafe fn walk(how: Loop, head: u64) {
    // SAFETY: By the safety requirements of this function. The bodies write to destinations only,
    // and prefetches have no effect.
    unsafe {
        match how {
            Loop::Movsq => walk!(head, "movl $512, %ecx", "rep movsq"),
            Loop::Movsb => walk!(head, "movl $4096, %ecx", "rep movsb"),
            Loop::MovsqRuns => walk!(
                head,
                "leaq 4096 + 8(%rsi), %rax",
                "6: cmpq %rax, (%r8)",
                "jne 7f",
                "addq $8, %r8",
                "addq $4096, %rax",
                "jmp 6b",
                "7: leaq -8(%rax), %rcx",
                "subq %rsi, %rcx",
                "shrq $3, %rcx",
                "rep movsq",
            ),
            Loop::MovsbRuns => walk!(
                head,
                "leaq 4096 + 8(%rsi), %rax",
                "6: cmpq %rax, (%r8)",
                "jne 7f",
                "addq $8, %r8",
                "addq $4096, %rax",
                "jmp 6b",
                "7: leaq -8(%rax), %rcx",
                "subq %rsi, %rcx",
                "rep movsb",
            ),
            Loop::MovsqPrefetch => walk!(
                head,
                "movq (%r8), %rax",
                "andq $-4096, %rax",
                "movl $16, %ecx",
                "6: prefetcht0 (%rax)",
                "prefetcht0 64(%rax)",
                "prefetcht0 128(%rax)",
                "prefetcht0 192(%rax)",
                "addq $256, %rax",
                "decl %ecx",
                "jnz 6b",
                "movl $512, %ecx",
                "rep movsq",
            ),
            Loop::Mov => walk!(
                head,
                "movl $64, %ecx",
                "6: movq (%rsi), %rax",
                "movq 8(%rsi), %rdx",
                "movq 16(%rsi), %r9",
                "movq 24(%rsi), %r10",
                "movq 32(%rsi), %r11",
                "movq 40(%rsi), %r12",
                "movq 48(%rsi), %r13",
                "movq %rax, (%rdi)",
                "movq 56(%rsi), %rax",
                "movq %rdx, 8(%rdi)",
                "movq %r9, 16(%rdi)",
                "movq %r10, 24(%rdi)",
                "movq %r11, 32(%rdi)",
                "movq %r12, 40(%rdi)",
                "movq %r13, 48(%rdi)",
                "movq %rax, 56(%rdi)",
                "addq $64, %rsi",
                "addq $64, %rdi",
                "decl %ecx",
                "jnz 6b",
            ),
            Loop::Movnti => walk!(
                head,
                "movl $64, %ecx",
                "6: movq (%rsi), %rax",
                "movq 8(%rsi), %rdx",
                "movq 16(%rsi), %r9",
                "movq 24(%rsi), %r10",
                "movq 32(%rsi), %r11",
                "movq 40(%rsi), %r12",
                "movq 48(%rsi), %r13",
                "movnti %rax, (%rdi)",
                "movq 56(%rsi), %rax",
                "movnti %rdx, 8(%rdi)",
                "movnti %r9, 16(%rdi)",
                "movnti %r10, 24(%rdi)",
                "movnti %r11, 32(%rdi)",
                "movnti %r12, 40(%rdi)",
                "movnti %r13, 48(%rdi)",
                "movnti %rax, 56(%rdi)",
                "addq $64, %rsi",
                "addq $64, %rdi",
                "decl %ecx",
                "jnz 6b",
            ),
            Loop::MovntiPrefetch => walk!(
                head,
                // A line of the next page with each line of this one.
                "movq (%r8), %r11",
                "andq $-4096, %r11",
                "subq %rsi, %r11",
                "movl $64, %ecx",
                "6: prefetcht0 (%rsi, %r11)",
                "movq (%rsi), %rax",
                "movq 8(%rsi), %rdx",
                "movq 16(%rsi), %r9",
                "movq 24(%rsi), %r10",
                "movq 32(%rsi), %r12",
                "movq 40(%rsi), %r13",
                "movnti %rax, (%rdi)",
                "movq 48(%rsi), %rax",
                "movnti %rdx, 8(%rdi)",
                "movq 56(%rsi), %rdx",
                "movnti %r9, 16(%rdi)",
                "movnti %r10, 24(%rdi)",
                "movnti %r12, 32(%rdi)",
                "movnti %r13, 40(%rdi)",
                "movnti %rax, 48(%rdi)",
                "movnti %rdx, 56(%rdi)",
                "addq $64, %rsi",
                "addq $64, %rdi",
                "decl %ecx",
                "jnz 6b",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_a_page_does_not_follow() {
        let words = [0x5001, 0x8008, 0x9008, 0x3008, 0x7001, 0x4008, 4];
        let read = |address: u64| Ok(words[(address - 0x10000) as usize / 8]);
        let found = Runs::of_list(0x10002, read).unwrap();
        assert_eq!(found, Runs { pages: 4, runs: 3 });
        assert!(Runs::of_list(0x10003, read).is_err());
    }

    #[test]
    fn every_loop_copies_every_page() {
        // More than one page of entries.
        let image = Image::of_size(700 * PAGE).unwrap();
        let expected = image.memory.to_vec();
        for pages in Pages::ALL {
            let copy = Copy::new(&image, pages, Extent::Loaded).unwrap();
            assert_eq!(copy.bytes(), expected.len());
            for how in Loop::ALL {
                // SAFETY: Nobody borrows the memory.
                unsafe { image.memory.as_raw().write_bytes(0, expected.len()) };
                copy.run(how);
                assert!(
                    *image.memory == *expected,
                    "{}, {}",
                    how.name(),
                    pages.name()
                );
            }
        }
    }
}
