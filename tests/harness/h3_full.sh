#!/usr/bin/env bash
# H3, full disks: file systems that are really full, and quotas that are really used up (E3).
#
#   h3_full.sh PROGRAM          the program of h3_program.c, linked with the shared library
#
# Each file system is made on a loop device (or is a tmpfs), small, and mounted where only this script and its children
# see it, so nothing stays mounted whatever happens. On each the program runs in each durability.
#
#   tmpfs    size=                       ENOSPC
#   ext4     8 MiB                       ENOSPC
#   ext4     project quota of 4 MiB      EDQUOT
#   btrfs    128 MiB, full               ENOSPC, with Linux 6.17 and later
#   btrfs    qgroup limit of 6 MiB       EDQUOT
#            On btrfs a store into a mapped page needs a little of the quota, whatever was allocated before, so at the
#            limit the control file is SIGBUS (README, limits). Here it lies outside of the limit.
#   xfs      project quota of 6 MiB      ENOSPC (that is xfs's answer to a project's)
#
# Exit 77 (skipped) without root, or where nothing can be mounted; what a single file system lacks is said, and passed
# over.
set -u
[ "$(id -u)" -eq 0 ] || { echo "only root can mount"; exit 77; }
if [ "${H3_INSIDE:-}" != 1 ]; then
    unshare -m --propagation private true 2>/dev/null || { echo "no mount namespace can be made"; exit 77; }
    exec env H3_INSIDE=1 unshare -m --propagation private "${BASH_SOURCE[0]}" "$@"
fi
program=$1
work=$(mktemp -d) || exit 1
mount -t tmpfs -o size=600m none "$work" 2>/dev/null  # Images in memory: fast, and a busy disk is left alone.
mkdir "$work/disk"
trap 'umount "$work/disk" 2>/dev/null; umount "$work" 2>/dev/null; rm -rf "$work"' EXIT
started=$(date +%s)
cases=0 violations=0 systems=0

# lacks NAME WHY: that file system cannot be had.
lacks() { echo "h3: no $1: $2"; }

why() { grep -v 'dmesg' "$work/said" | tail -n 1; }

# try NAME ERRNO DIRECTORY: all durabilities on what is mounted. A directory of its own for each, removed afterwards.
try() {
    local name=$1 err=$2 at=$3 mode status
    systems=$((systems + 1))
    for mode in sync interval kernel; do
        if [ "$name" = "btrfs with a quota" ]; then  # See above.
            mkdir "$at/store" && : >"$at/store/control" && : >"$work/control" &&
                mount --bind "$work/control" "$at/store/control" || exit 1
        fi
        timeout 120 "$program" "$at" $mode "$err" >"$work/out" 2>&1
        status=$?
        sed "s/^/h3: $name, $mode: /" "$work/out"
        [ $status -eq 0 ] || { violations=$((violations + 1)); echo "h3: $name, $mode: ended with $status"; }
        cases=$((cases + $(sed -n 's/^cases=\([0-9]*\) .*/\1/p' "$work/out" | grep . || echo 1)))
        umount "$at/store/control" 2>/dev/null
        rm -rf "$at/store" "$at/junk"
        sync -f "$at"
    done
}

# image SIZE COMMAND...: makes a file system in $work/image and mounts it with $options.
image() {
    local size=$1
    shift
    rm -f "$work/image"
    truncate -s "$size" "$work/image"
    "$@" "$work/image" >"$work/said" 2>&1 &&
        mount -o "loop${options:+,$options}" "$work/image" "$work/disk" 2>>"$work/said"
}

leave() { umount "$work/disk"; }

if mount -t tmpfs -o size=6m none "$work/disk" 2>"$work/said"; then
    try "tmpfs" ENOSPC "$work/disk"
    leave
else
    lacks tmpfs "$(why)"
fi

options=
if image 8M mkfs.ext4 -q -F; then
    try "ext4" ENOSPC "$work/disk"
    leave
else
    lacks ext4 "$(why)"
fi

options=prjquota
if image 24M mkfs.ext4 -q -F -O quota,project -E quotatype=prjquota && mkdir "$work/disk/limited" &&
    chattr +P -p 7 "$work/disk/limited" 2>"$work/said" && setquota -P 7 0 4096 0 0 "$work/disk" 2>"$work/said"; then
    try "ext4 with a quota" EDQUOT "$work/disk/limited"
    leave
else
    lacks "ext4 with a project quota" "$(why)"
    leave 2>/dev/null
fi

options=
if [ "$(printf '6.17\n%s\n' "$(uname -r)" | sort -V | head -n 1)" != 6.17 ]; then
    lacks btrfs "before Linux 6.17 a store into a mapped file may be SIGBUS there"
elif image 128M mkfs.btrfs -q; then
    try "btrfs" ENOSPC "$work/disk"
    leave
else
    lacks btrfs "$(why)"
fi

if image 128M mkfs.btrfs -q && btrfs -q quota enable "$work/disk" 2>"$work/said" &&
    btrfs -q subvolume create "$work/disk/limited" 2>"$work/said" &&
    btrfs -q qgroup limit 6M "$work/disk/limited" 2>"$work/said"; then
    try "btrfs with a quota" EDQUOT "$work/disk/limited"
    leave
else
    lacks "btrfs with a quota" "$(why)"
    leave 2>/dev/null
fi

options=prjquota
if command -v xfs_quota >/dev/null && image 320M mkfs.xfs -q && mkdir "$work/disk/limited" &&
    xfs_quota -x -c "project -s -p $work/disk/limited 7" -c 'limit -p bhard=6m 7' "$work/disk" >"$work/said" 2>&1; then
    try "xfs with a quota" ENOSPC "$work/disk/limited"
    leave
else
    lacks "xfs with a quota" "$(command -v xfs_quota >/dev/null && why || echo 'xfsprogs is not there')"
    leave 2>/dev/null
fi

[ $systems -gt 0 ] || { echo "no file system can be mounted here"; exit 77; }
echo "harness=h3 seed=0 cases=$cases violations=$violations wall_s=$(($(date +%s) - started))"
[ $violations -eq 0 ]
