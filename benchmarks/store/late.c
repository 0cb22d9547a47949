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

#define LATE_BY_PATH(name, kind) \
    int name(const char *path, struct kind *found) \
    { \
        REAL(name) \
        hold_back(path); \
        return real(path, found); \
    }

#define LATE_IN_FOLDER(name, kind) \
    int name(int folder, const char *path, struct kind *found, int flags) \
    { \
        REAL(name) \
        hold_back(folder == AT_FDCWD ? path : getenv("LATE_UNDER")); \
        return real(folder, path, found, flags); \
    }

/* As programs that were built with a glibc before 2.33 ask. */
#define LATE_BY_VERSION(name, kind) \
    int name(int version, const char *path, struct kind *found); \
    int name(int version, const char *path, struct kind *found) \
    { \
        REAL(name) \
        hold_back(path); \
        return real(version, path, found); \
    }

LATE_BY_PATH(stat, stat)
LATE_BY_PATH(stat64, stat64)
LATE_BY_PATH(lstat, stat)
LATE_BY_PATH(lstat64, stat64)
LATE_IN_FOLDER(fstatat, stat)
LATE_IN_FOLDER(fstatat64, stat64)
LATE_BY_VERSION(__xstat, stat)
LATE_BY_VERSION(__xstat64, stat64)
LATE_BY_VERSION(__lxstat, stat)
LATE_BY_VERSION(__lxstat64, stat64)

DIR *
opendir(const char *path)
{
    REAL(opendir)
    hold_back(path);
    return real(path);
}
