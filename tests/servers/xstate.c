/* user-mode Linux up to 6.x keeps 2,696 bytes of a process's extended registers. A host kernel takes them back only whole, and on a
   processor with AMX the whole is 11,008 bytes: every process inside would die at its first instruction. Preloaded, this puts
   what the host has behind them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>

#define GETREGSET 0x4204
#define SETREGSET 0x4205
#define X86_XSTATE 0x202

long ptrace(int request, ...) {
    static long (*real)(int, ...);
    static char whole[1 << 16];
    va_list rest;
    va_start(rest, request);
    long pid = va_arg(rest, long), address = va_arg(rest, long);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (!real) real = (long (*)(int, ...))dlsym(RTLD_NEXT, "ptrace");
    if (request != SETREGSET || address != X86_XSTATE) return real(request, pid, address, data);
    struct iovec *given = data, full = {whole, sizeof whole};
    if (real(GETREGSET, pid, address, &full) < 0 || full.iov_len <= given->iov_len)
        return real(request, pid, address, data);
    memcpy(whole, given->iov_base, given->iov_len);
    return real(request, pid, address, &full);
}
