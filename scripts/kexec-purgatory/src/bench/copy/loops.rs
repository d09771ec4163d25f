// SPDX-License-Identifier: GPL-2.0-only

//! The copy loop of `relocate_kernel`, and others that could be in its place.
//!
//! Each walks an indirection list as `swap_pages` does (arch/x86/kernel/relocate_kernel_64.S) and
//! uses general registers only: between two kernels `CR4.OSFXSR` is off.

use std::arch::asm;

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
pub unsafe fn walk(how: Loop, head: u64) {
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
