/*
 * Entries from the host. Both come with RSP = 8 (mod 16), the state right after a `call` (guest-abi 1.5), so 8 is
 * taken off before the C function is called.
 */
        .text
        .globl entrypoint, mf_dispatch, mf_halt

/* entrypoint(rdi = PEB, rsi = seed, rdx = page size, rcx = log level), once. */
        .type entrypoint, @function
entrypoint:
        sub     $8, %rsp
        call    mf_initialise
        jmp     mf_halt

/* For each call, with all general registers 0. Ring 0 first flushes the TLB: the host may have restored memory. */
        .type mf_dispatch, @function
mf_dispatch:
        sub     $8, %rsp
#ifndef MAYFLY_RING0                    /* built for ring 0 alone: nothing is asked */
        mov     %cs, %eax
        test    $3, %al
        jnz     1f
#endif
        mov     %cr4, %rax
        xor     $0x80, %rax             /* PGE */
        mov     %rax, %cr4
        xor     $0x80, %rax
        mov     %rax, %cr4
1:      call    mf_serve
        /* The halt carries what is left of the trace: mf_runtime starts with its place and length. */
        xor     %r8d, %r8d
        mov     mf_runtime(%rip), %r9
        mov     8 + mf_runtime(%rip), %r10
        test    %r10, %r10
        jz      mf_halt
        mov     $104, %r8d
        /* Falls into mf_halt. */

/* One site for the end of initialisation and of every call: a host that rewrites the halt finds both at once. */
        .type mf_halt, @function
mf_halt:
        hlt
        jmp     mf_halt

/* Exception entries, used in ring 0 only: vectors 0 to 30, 16 bytes apart. */
        .globl mf_exception_entries
        .balign 16
mf_exception_entries:
        .set    vector, 0
        .rept   31
        .balign 16
        .if     vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 30
        .else
        push    $0                      /* the processor pushes no error code */
        .endif
        push    $vector
        jmp     exception
        .set    vector, vector + 1
        .endr

/* The frame {vector, error code, rip, cs, rflags, rsp, ss}; nothing is saved, for no handler returns. */
exception:
        mov     %rsp, %rdi
        mov     %cr2, %rsi
        cld
        and     $-16, %rsp
        call    mf_exception
        ud2

        .section .note.GNU-stack, "", @progbits
