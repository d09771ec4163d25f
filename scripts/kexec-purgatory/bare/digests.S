/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs in place of the purgatory: makes the purgatory's code compute digests
 * with two engines, prints how many there are and how many differ, and enters
 * the next kernel.  Reading a page that the table at GUARD_TABLE leaves out
 * causes a triple fault: boot.S leaves no IDT.
 *
 * DIGESTS is where src/bare/cases/digests.rs puts what differs from run to run.
 */

#define DIGESTS_FUNCTION	(DIGESTS + 0)
#define DIGESTS_NEXT		(DIGESTS + 8)
/* Numbers of enum EngineKind. */
#define DIGESTS_REFERENCE	(DIGESTS + 16)
#define DIGESTS_TESTED		(DIGESTS + 24)
/* Start and length of each region, 32 bits each; the last start is 0. */
#define DIGESTS_REGIONS		(DIGESTS + 32)

/* struct Region and REGIONS_MAX of arch/x86/purgatory/rust/abi.rs */
#define REGION_START		0
#define REGION_LEN		8
#define REGION_SIZE		56
#define DIGESTS_SIZE		(16 * 32)

#define UART			0x3f8
#define UART_LSR		0x3fd
#define LSR_READY		0x20

	.text
	.code64
	.globl	_start
_start:
	movl	$stack_end, %esp

	/* boot.S mapped GUARDED, in the first GiB, as one page of 2 MiB. */
	movq	%cr3, %rbx
	movq	(%rbx), %rax
	andq	$-4096, %rax
	movq	(%rax), %rax
	andq	$-4096, %rax
	movq	$GUARD_TABLE + 3, 8 * (GUARDED >> 21)(%rax)
	movq	%rbx, %cr3

	/* %r12d digests, %r13d wrong, the first of %r14d bytes at %r15d */
	movl	$DIGESTS_REGIONS, %ebx
	xorl	%r12d, %r12d
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
0:	cmpl	$0, (%rbx)
	je	2f
	/* The old contents must not be a digest of this region. */
	notq	found
	movl	DIGESTS_REFERENCE, %edi
	movl	$expected, %ecx
	call	digest
	movl	DIGESTS_TESTED, %edi
	movl	$found, %ecx
	call	digest
	incl	%r12d
	movl	$expected, %esi
	movl	$found, %edi
	movl	$4, %ecx
	repe cmpsq
	je	1f
	incl	%r13d
	cmpl	$1, %r13d
	jne	1f
	movl	(%rbx), %r15d
	movl	4(%rbx), %r14d
1:	addq	$8, %rbx
	jmp	0b

2:	movl	%r12d, %eax
	movl	$digests, %edi
	call	decimal
	movl	%r13d, %eax
	movl	$wrong, %edi
	call	decimal
	movl	%r14d, %eax
	movl	$length, %edi
	call	decimal
	movl	%r15d, %eax
	movl	$start, %edi
	call	decimal

	movl	$line, %esi
	movl	$line_end - line, %ecx
3:	movl	$UART_LSR, %edx
4:	inb	%dx, %al
	testb	$LSR_READY, %al
	jz	4b
	movl	$UART, %edx
	outsb
	loop	3b
	jmp	*DIGESTS_NEXT

	/*
	 * Writes the digest of one region to %rcx, which has room for
	 * DIGESTS_SIZE bytes.
	 */
digest:
	movl	(%rbx), %eax
	movq	%rax, region + REGION_START
	movl	4(%rbx), %eax
	movq	%rax, region + REGION_LEN
	movl	$region, %esi
	movl	$1, %edx
	jmp	*DIGESTS_FUNCTION

	/* Writes %eax as a decimal number that ends before %rdi */
decimal:
	movl	$10, %ecx
5:	xorl	%edx, %edx
	divl	%ecx
	addb	$'0', %dl
	decq	%rdi
	movb	%dl, (%rdi)
	testl	%eax, %eax
	jnz	5b
	ret

	.data
line:
	.ascii	"          "
digests:
	.ascii	" digests,           "
wrong:
	.ascii	" wrong, the first of           "
length:
	.ascii	" bytes at           "
start:
	.ascii	"\r\n"
line_end:

	.bss
	.balign	16
region:
	.skip	REGION_SIZE
	.balign	16
expected:
	.skip	DIGESTS_SIZE
found:
	.skip	DIGESTS_SIZE
	.skip	16384
stack_end:
