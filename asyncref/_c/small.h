/* Small files written whole: system calls only, so that it runs without the GIL. */

#include <stdio.h>

/* Writes a file that has no name until it is whole, in the folder of `path`, and gives it that one, which nothing may have; its state.
   0: it could not, for whatever reason, and nothing was left. `path` is changed meanwhile. */
static int
write_small(char *path, const char *data, size_t left, int64_t state[5])
{
#if defined(O_TMPFILE)
    char *name = strrchr(path, '/');
    if (name == NULL) {
        return 0;
    }
    *name = 0;
    int fd = open(*path ? path : "/", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    *name = '/';
    if (fd < 0) {
        return 0;
    }
    int good = 1;
    for (off_t at = 0; left > 0 && good;) {
        ssize_t count = pwrite(fd, data + at, left, at);
        good = count > 0;
        at += good ? count : 0;
        left -= good ? (size_t)count : 0;
    }
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    good = good && linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
    struct stat found;
    good = good && fstat(fd, &found) == 0; /* now: a link changes ctime */
    if (good) {
        write_state(&found, state);
    }
    close(fd);
    return good;
#else
    (void)path, (void)data, (void)left, (void)state;
    return 0;
#endif
}
