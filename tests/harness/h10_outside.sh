#!/usr/bin/env bash
# H10, from outside: the shipped library, unmodified, under strace that makes system calls fail, lag or kill.
#
#   h10_outside.sh PROGRAM      the program of h10_program.c, linked with the shared library
#
# The program puts records into a new store and prints one line per outcome ("put N LS_OK"); run again, without strace,
# it prints what it reads. Each run is judged by what was printed: what was acknowledged is read, a failed sync is
# LS_ERR_IO and sticky (E1), a full disk is LS_ERR_FULL and passes (E3), EINTR is not seen at all (E4).
#
# Exit 77 (skipped) where strace is missing or may not trace.
set -u
program=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
started=$(date +%s)
cases=0 violations=0
export ASAN_OPTIONS=detect_leaks=0

command -v strace >/dev/null || { echo "strace is not installed"; exit 77; }
strace -f -qq -o /dev/null true 2>/dev/null || { echo "strace may not trace here"; exit 77; }

fail() {
    violations=$((violations + 1))
    echo "h10: $title: $1"
    sed 's/^/    /' "$work/out"
}

# run MODE INJECTION: leaves the output in $work/out and the status in $status.
run() {
    title="$1, $2"
    cases=$((cases + 1))
    rm -rf "$work/store"
    { timeout 60 strace -f -qq -o "$work/trace" -e "trace=${2%%:*}" -e "inject=$2" "$program" "$work/store" "$1" \
        >"$work/out" 2>&1; } 2>/dev/null  # What the shell says of a kill.
    status=$?
}

# Every acknowledged record is read again by a program that knows nothing of before.
check() {
    if ! "$program" "$work/store" read >"$work/read" 2>&1; then
        cat "$work/read" >>"$work/out"
        fail "the store cannot be read"
        return
    fi
    sed -n 's/^put \([0-9]*\) LS_OK$/record \1/p' "$work/out" | grep -vxFf "$work/read" >"$work/lost"
    [ ! -s "$work/lost" ] || fail "lost: $(tr '\n' ' ' <"$work/lost")"
    [ -z "$(grep '^record' "$work/read" | sort | uniq -d)" ] || fail "a record is there twice"
}

# A sync fails, once or for good: LS_ERR_IO, and every later put is refused too, though later syncs would succeed.
for when in 3 5 9 3+; do
    run sync "fdatasync:error=EIO:when=$when"
    grep -q '^put [0-9]* LS_ERR_IO$' "$work/out" || fail "no LS_ERR_IO"
    awk '/LS_ERR_IO$/ { failed = 1 } /LS_OK$/ && failed { wrong = 1 } END { exit wrong }' "$work/out" ||
        fail "a put succeeded after a failed sync"
    check
done

# A full disk: LS_ERR_FULL, nothing was written, and when there is room again puts succeed.
run sync pwrite64,pwritev:error=ENOSPC:when=12..17
grep -q '^put [0-9]* LS_ERR_FULL$' "$work/out" || fail "no LS_ERR_FULL"
[ "$(grep '^put' "$work/out" | tail -n 1 | cut -d' ' -f3)" = LS_OK ] || fail "no put succeeds when there is room again"
check

# Interrupted calls are made again, and nobody is told.
for call in pwrite64,pwritev fdatasync fsync openat2; do
    run sync "$call:error=EINTR:when=2+3"
    [ "$status" -eq 0 ] && ! grep -q LS_ERR "$work/out" || fail "EINTR was passed on"
    check
done

# A slow disk changes nothing.
run sync fdatasync:delay_enter=5000
[ "$status" -eq 0 ] && ! grep -q LS_ERR "$work/out" || fail "a slow disk"
check

# Killed at the Nth call, in both modes: what was acknowledged is there.
for mode in sync kernel; do
    for call in pwrite64,pwritev fdatasync fsync renameat,renameat2; do
        for when in 1 2 3 5 8 13 21 34; do
            run $mode "$call:signal=KILL:when=$when"
            check
        done
    done
done

echo "harness=h10 seed=0 cases=$cases violations=$violations wall_s=$(($(date +%s) - started))"
[ "$violations" -eq 0 ]
