/* Preloaded, it holds back every look at a path below LATE_UNDER, and every opening of such a folder, by LATE_NS: as a file
   server behind a network does, whoever calls, with the interpreter's lock or without. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static void
hold_back(const char *path)
{
    const char *under = getenv("LATE_UNDER");
    if (path == NULL || under == NULL || strncmp(path, under, strlen(under)) != 0) {
        return;
    }
    long nanoseconds = atol(getenv("LATE_NS"));
    struct timespec pause = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    while (nanosleep(&pause, &pause) != 0) {
    }
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (real == NULL) { \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name); \
    }

int
stat(const char *path, struct stat *found)
{
    REAL(stat)
    hold_back(path);
    return real(path, found);
}

int
stat64(const char *path, struct stat64 *found)
{
    REAL(stat64)
    hold_back(path);
    return real(path, found);
}

int
lstat(const char *path, struct stat *found)
{
    REAL(lstat)
    hold_back(path);
    return real(path, found);
}

int
lstat64(const char *path, struct stat64 *found)
{
    REAL(lstat64)
    hold_back(path);
    return real(path, found);
}

int
fstatat(int folder, const char *path, struct stat *found, int flags)
{
    REAL(fstatat)
    hold_back(folder == AT_FDCWD ? path : getenv("LATE_UNDER"));
    return real(folder, path, found, flags);
}

int
fstatat64(int folder, const char *path, struct stat64 *found, int flags)
{
    REAL(fstatat64)
    hold_back(folder == AT_FDCWD ? path : getenv("LATE_UNDER"));
    return real(folder, path, found, flags);
}

DIR *
opendir(const char *path)
{
    REAL(opendir)
    hold_back(path);
    return real(path);
}

int __xstat(int version, const char *path, struct stat *found);
int __xstat64(int version, const char *path, struct stat64 *found);
int __lxstat(int version, const char *path, struct stat *found);
int __lxstat64(int version, const char *path, struct stat64 *found);

/* As programs that were built with a glibc before 2.33 ask. */
int
__xstat(int version, const char *path, struct stat *found)
{
    REAL(__xstat)
    hold_back(path);
    return real(version, path, found);
}

int
__xstat64(int version, const char *path, struct stat64 *found)
{
    REAL(__xstat64)
    hold_back(path);
    return real(version, path, found);
}

int
__lxstat(int version, const char *path, struct stat *found)
{
    REAL(__lxstat)
    hold_back(path);
    return real(version, path, found);
}

int
__lxstat64(int version, const char *path, struct stat64 *found)
{
    REAL(__lxstat64)
    hold_back(path);
    return real(version, path, found);
}
