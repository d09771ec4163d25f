/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in for the previous kernel and its relocate_kernel: enters the
 * purgatory in the state that these leave.  QEMU enters this program by the PVH
 * boot protocol, in 32-bit mode without paging.
 *
 * JOB is where src/bare/image.rs puts what differs from run to run.
 */

#define JOB_CR0		(JOB + 0)
#define JOB_CR4		(JOB + 8)
#define JOB_XCR0	(JOB + 16)
#define JOB_ENTRY	(JOB + 24)
#define JOB_RSI		(JOB + 32)
/* JOB + 40 is for probe.S */
#define JOB_HANDLERS	(JOB + 48)
#define JOB_RDX		(JOB + 56)
#define JOB_RCX		(JOB + 64)

/* As many as kexec_debug_idt in relocate_kernel_64.S has */
#define VECTORS		16
#define INTERRUPT_GATE	0x8e00

#define CR0_PG		0x80000000
#define CR4_PAE		0x20
#define CR4_OSXSAVE	0x40000
#define MSR_EFER	0xc0000080
#define EFER_LME	0x100

#define XEN_ELFNOTE_PHYS32_ENTRY	18

	.section .note.pvh, "a", @note
	.long	4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	_start

	.text
	.code32
	.globl	_start
_start:
	cli
	cld

	/* Maps the first 4 GiB one to one, in writable pages of 2 MiB. */
	movl	$pdpt + 3, pml4
	movl	$pd + 3, %eax
	xorl	%ecx, %ecx
0:	movl	%eax, pdpt(,%ecx,8)
	addl	$0x1000, %eax
	incl	%ecx
	cmpl	$4, %ecx
	jne	0b

	movl	$0x83, %eax
	xorl	%ecx, %ecx
0:	movl	%eax, pd(,%ecx,8)
	addl	$0x200000, %eax
	incl	%ecx
	cmpl	$2048, %ecx
	jne	0b

	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PG, %eax
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmpl	$0x08, $long_mode

	.code64
long_mode:
	movl	$0x20, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%eax, %fs
	movl	%eax, %gs

	/* XCR0 keeps its value when CR4.OSXSAVE is cleared. */
	movq	JOB_XCR0, %rdx
	testq	%rdx, %rdx
	jz	0f
	movl	$CR4_PAE | CR4_OSXSAVE, %eax
	movq	%rax, %cr4
	movl	%edx, %eax
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	xsetbv
0:
	movq	JOB_CR4, %rax
	movq	%rax, %cr4
	movq	JOB_CR0, %rax
	movq	%rax, %cr0
	cmpq	$0, JOB_HANDLERS
	jne	0f
	lidt	none
	jmp	2f

	/* Handlers that halt, in a code segment that the purgatory also has. */
0:	movl	$handler, %eax
	movl	$idt, %edi
	movl	$VECTORS, %ecx
1:	movw	%ax, (%rdi)
	movw	$0x10, 2(%rdi)
	movw	$INTERRUPT_GATE, 4(%rdi)
	movq	%rax, %rdx
	shrq	$16, %rdx
	movq	%rdx, 6(%rdi)
	movw	$0, 14(%rdi)
	addq	$16, %rdi
	loop	1b
	lidt	idt_pointer
2:	lgdt	none

	/* The next kernel must find these values again, see src/bare/probe.rs. */
	movq	%cr3, %rax
	movq	%rax, STATE + 232
	movl	$MSR_EFER, %ecx
	rdmsr
	movl	%eax, STATE + 240
	movl	%edx, STATE + 244

	movl	$stack_end, %esp
	pushq	JOB_ENTRY
	movq	JOB_RSI, %rsi
	movq	JOB_RDX, %rdx
	movq	JOB_RCX, %rcx
	xorl	%eax, %eax
	xorl	%ebx, %ebx
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d
	xorl	%r12d, %r12d
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
	ret

handler:
	hlt
	jmp	handler

	/* The selectors differ from the purgatory's and from a 64-bit kernel's. */
	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0, 0
	.quad	0x00cf93000000ffff
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:
	.word	16 * VECTORS - 1
	.quad	idt
none:
	.skip	10

	.bss
	.balign	16
idt:	.skip	16 * VECTORS
	.balign	4096
pml4:	.skip	4096
pdpt:	.skip	4096
pd:	.skip	4 * 4096
	.skip	4096
stack_end:
