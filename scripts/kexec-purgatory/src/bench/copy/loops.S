/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The copy loop of relocate_kernel(), and alternatives to it
 *
 * Follows kexec_copy_page.S of the kernel, which defines KEXEC_COPY_PAGE.  The other
 * loops have the same interface and, like it, only use general registers:
 * between two kernels CR4.OSFXSR is off.
 */

/*
 * swap_pages of arch/x86/kernel/relocate_kernel_64.S without the swap
 *
 * Takes the head of the list and the flags RELOC_KERNEL_*.  Returns 1 if \copy
 * falls through, else 0.
 */
.macro WALK name:req copy:req
	.globl	\name
	.hidden	\name
	.type	\name, @function
\name:
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	movq	%rdi, %rcx
	movq	%rsi, %r11
	jmp	.Lentry_\name
.Lnext_\name:
	movq	(%rbx), %rcx
	addq	$8, %rbx
.Lentry_\name:
	testb	$IND_DESTINATION, %cl
	jz	1f
	movq	%rcx, %rdi
	andq	$-PAGE_SIZE, %rdi
	jmp	.Lnext_\name
1:
	testb	$IND_INDIRECTION, %cl
	jz	2f
	movq	%rcx, %rbx
	andq	$-PAGE_SIZE, %rbx
	jmp	.Lnext_\name
2:
	testb	$IND_DONE, %cl
	jnz	3f
	testb	$IND_SOURCE, %cl
	jz	.Lnext_\name
	movq	%rcx, %rsi
	andq	$-PAGE_SIZE, %rsi
	\copy	.Lnext_\name
	movl	$1, %eax
	jmp	4f
3:
	/* Waits until non-temporal stores are visible, so that they count. */
	sfence
	xorl	%eax, %eax
4:
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	ret
	.size	\name, . - \name
.endm

/* What mainline does */
.macro COPY_MOVSQ next:req
	movl	$(PAGE_SIZE / 8), %ecx
	rep movsq
	jmp	\next
.endm

.macro COPY_MOVSB next:req
	movl	$PAGE_SIZE, %ecx
	rep movsb
	jmp	\next
.endm

/*
 * Sets %rcx to the bytes of a run of adjacent pages, and %rbx to the entry
 * after the run.
 */
.macro FIND_RUN
	leaq	PAGE_SIZE + IND_SOURCE(%rsi), %rax
.Lrun\@:
	cmpq	%rax, (%rbx)
	jne	.Lend\@
	addq	$8, %rbx
	addq	$PAGE_SIZE, %rax
	jmp	.Lrun\@
.Lend\@:
	leaq	-IND_SOURCE(%rax), %rcx
	subq	%rsi, %rcx
.endm

.macro COPY_MOVSQ_RUNS next:req
	FIND_RUN
	shrq	$3, %rcx
	rep movsq
	jmp	\next
.endm

.macro COPY_MOVSB_RUNS next:req
	FIND_RUN
	rep movsb
	jmp	\next
.endm

/* Prefetches the next page before it copies this one */
.macro COPY_MOVSQ_PREFETCH next:req
	movq	(%rbx), %rax
	andq	$-PAGE_SIZE, %rax
	movl	$(PAGE_SIZE / 256), %ecx
.Lline\@:
	prefetcht0	   (%rax)
	prefetcht0	 64(%rax)
	prefetcht0	128(%rax)
	prefetcht0	192(%rax)
	addq	$256, %rax
	decl	%ecx
	jnz	.Lline\@
	COPY_MOVSQ \next
.endm

/* Loads, and stores with the instruction \store */
.macro COPY_LINES next:req store:req
	movl	$(PAGE_SIZE / 64), %ecx
.Lline\@:
	movq	  (%rsi), %rdx
	movq	 8(%rsi), %r9
	movq	16(%rsi), %r10
	movq	24(%rsi), %r12
	movq	32(%rsi), %r13
	movq	40(%rsi), %r14
	\store	%rdx,   (%rdi)
	movq	48(%rsi), %rdx
	\store	%r9,   8(%rdi)
	movq	56(%rsi), %r9
	\store	%r10, 16(%rdi)
	\store	%r12, 24(%rdi)
	\store	%r13, 32(%rdi)
	\store	%r14, 40(%rdi)
	\store	%rdx, 48(%rdi)
	\store	%r9,  56(%rdi)
	addq	$64, %rsi
	addq	$64, %rdi
	decl	%ecx
	jnz	.Lline\@
	jmp	\next
.endm

.macro COPY_MOV next:req
	COPY_LINES \next, movq
.endm

/* Stores around the cache */
.macro COPY_MOVNTI next:req
	COPY_LINES \next, movnti
.endm

	.text
	WALK	walk_movsq, COPY_MOVSQ
	WALK	walk_movsb, COPY_MOVSB
	WALK	walk_movsq_runs, COPY_MOVSQ_RUNS
	WALK	walk_movsb_runs, COPY_MOVSB_RUNS
	WALK	walk_movsq_prefetch, COPY_MOVSQ_PREFETCH
	WALK	walk_mov, COPY_MOV
	WALK	walk_movnti, COPY_MOVNTI
	WALK	walk_project, KEXEC_COPY_PAGE
