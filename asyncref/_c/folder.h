/* One folder of a local disk, read to its end with a stat of every file: system calls and copies, no Python objects, so
   that it runs without the GIL. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __APPLE__
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif

#define FOLDER_READ 0
#define FOLDER_TOO_LARGE -1 /* any other result is an errno */

typedef struct {
    char *bytes;
    size_t length, room;
} Growing;

typedef struct {
    Growing keys;   /* the head and the name of each file, one after the other */
    Growing ends;   /* int32: where each key ends */
    Growing states; /* int64, five a file: device, inode, size, mtime and ctime in nanoseconds */
    Growing others; /* what is no file: its kind, its name, a NUL */
    int64_t end, most;
} Folder;

/* Appends; 0 without memory. */
static int
append(Growing *growing, const void *bytes, size_t count)
{
    if (growing->room - growing->length < count) {
        size_t room = 2 * growing->room + count + 4096;
        char *moved = realloc(growing->bytes, room);
        if (moved == NULL) {
            return 0;
        }
        growing->bytes = moved;
        growing->room = room;
    }
    if (count > 0) {
        memcpy(growing->bytes + growing->length, bytes, count);
    }
    growing->length += count;
    return 1;
}

/* A time in nanoseconds; one beyond 1677 or 2262 is the last that there is room for. */
static int64_t
nanoseconds(struct timespec time)
{
    int64_t seconds = time.tv_sec;
    if (seconds > INT64_MAX / 1000000000 - 1) {
        return INT64_MAX;
    }
    if (seconds < INT64_MIN / 1000000000 + 1) {
        return INT64_MIN; /* also the second that Python's bound lets through by less than one */
    }
    return seconds * 1000000000 + time.tv_nsec;
}

static char
kind_of_mode(mode_t mode)
{
    return S_ISREG(mode) ? '-' : S_ISDIR(mode) ? '/' : S_ISLNK(mode) ? '@' : '?';
}

static char
kind_of_type(unsigned char type)
{
    return type == DT_DIR ? '/' : type == DT_LNK ? '@' : '?';
}

/* What tells a file from what it was at another time: device, inode, size, mtime and ctime in nanoseconds. */
static void
write_state(const struct stat *found, int64_t state[5])
{
    state[0] = (int64_t)found->st_dev;
    state[1] = (int64_t)found->st_ino;
    state[2] = (int64_t)found->st_size;
    state[3] = nanoseconds(found->st_mtim);
    state[4] = nanoseconds(found->st_ctim);
}

static int
take_file(Folder *folder, const char *name, size_t length, Value head, const struct stat *found)
{
    int64_t state[5];
    write_state(found, state);
    folder->end += (int64_t)length + head.length;
    if (folder->most-- <= 0 || folder->end > INT32_MAX) {
        return FOLDER_TOO_LARGE;
    }
    int32_t end = (int32_t)folder->end;
    int good = append(&folder->keys, head.at, (size_t)head.length) && append(&folder->keys, name, length) &&
               append(&folder->ends, &end, sizeof end) && append(&folder->states, state, sizeof state);
    return good ? FOLDER_READ : ENOMEM;
}

static int
take_entry(Folder *folder, int fd, const struct dirent *entry, Value head)
{
    size_t length = strlen(entry->d_name);
    if (entry->d_name[0] == '.' && (length == 1 || (length == 2 && entry->d_name[1] == '.'))) {
        return FOLDER_READ;
    }
    char kind = kind_of_type(entry->d_type);
    if (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN) {
        struct stat found;
        if (fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
            return errno;
        }
        kind = kind_of_mode(found.st_mode);
        if (kind == '-') {
            return take_file(folder, entry->d_name, length, head, &found);
        }
    }
    return append(&folder->others, &kind, 1) && append(&folder->others, entry->d_name, length + 1) ? FOLDER_READ : ENOMEM;
}

static int
read_folder(Folder *folder, const char *path, Value head)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *opened = fd < 0 ? NULL : fdopendir(fd);
    if (opened == NULL) {
        int failure = errno;
        if (fd >= 0) {
            close(fd);
        }
        return failure;
    }
    int result = FOLDER_READ;
    while (result == FOLDER_READ) {
        errno = 0;
        const struct dirent *entry = readdir(opened);
        if (entry == NULL) {
            result = errno;
            break;
        }
        result = take_entry(folder, fd, entry, head);
    }
    closedir(opened);
    return result;
}

static void
forget_folder(Folder *folder)
{
    free(folder->keys.bytes);
    free(folder->ends.bytes);
    free(folder->states.bytes);
    free(folder->others.bytes);
}

/* Looks at names in a folder, each ended by a NUL, following links: a state each, and an outcome: the kind of what is there,
   negative, or an errno. `path` holds the folder, with room for the longest name behind it. */
static void
look_at_names(char *path, size_t folder_length, const char *name, const char *end, int64_t *states, int32_t *outcomes)
{
    for (; name < end; name += strlen(name) + 1, states += 5, outcomes++) {
        strcpy(path + folder_length, name);
        struct stat found;
        if (stat(path, &found) != 0) {
            *outcomes = errno;
            continue;
        }
        *outcomes = -kind_of_mode(found.st_mode);
        write_state(&found, states);
    }
}
